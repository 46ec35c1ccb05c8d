"""SRs as administrators and their programs use them: a real server, the PyPI client over TLS."""

from __future__ import annotations

import logging
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import XenAPI

from tests.fakes.served import Served
from xapi.system.command import CommandFailed, run

MIB = 1 << 20
NULL = "OpaqueRef:NULL"
FIGURES = ("physical_size", "physical_utilisation", "virtual_allocation")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.fixture
def api(served: Served) -> Iterator[Any]:
    session = served.over_tls()
    session.login_with_password("root", served.password, "1.0", "storage administrator")
    yield session.xenapi
    session.xenapi.session.logout()
    served.close_clients()


def refusal(call: Any, *params: object) -> list[str]:
    with pytest.raises(XenAPI.Failure) as caught:
        call(*params)
    details: list[str] = caught.value.details
    return details


def disk(sr: str, name: str, **values: Any) -> dict[str, Any]:
    return {
        "name_label": name,
        "name_description": "",
        "SR": sr,
        "virtual_size": str(8 * MIB),
        "type": "user",
        "sharable": False,
        "read_only": False,
        "other_config": {},
        **values,
    }


def made(api: Any, kind: str, config: dict[str, str], shared: bool = False) -> str:
    (host,) = api.host.get_all()
    sr: str = api.SR.create(host, config, "0", f"{kind} of a test", "", kind, "", shared, {})
    return sr


def check_figures(api: Any, sr: str) -> None:
    """What the record says right after an operation is what a scan finds."""
    record = api.SR.get_record(sr)
    told = {name: record[name] for name in FIGURES}
    disks = {ref: api.VDI.get_record(ref) for ref in record["VDIs"]}
    api.SR.scan(sr)
    after = api.SR.get_record(sr)
    assert {name: after[name] for name in FIGURES} == told
    assert {ref: api.VDI.get_record(ref) for ref in after["VDIs"]} == disks
    managed = [row for row in disks.values() if row["managed"]]
    assert int(told["virtual_allocation"]) == sum(int(row["virtual_size"]) for row in managed)
    assert after["current_operations"] == {}


def live(api: Any, sr: str) -> None:
    """Make, copy, grow and remove disks, looking at the figures after each."""
    check_figures(api, sr)
    first = api.VDI.create(disk(sr, "first"))
    check_figures(api, sr)
    clone = api.VDI.clone(first, {})
    check_figures(api, sr)
    snapshot = api.VDI.snapshot(first, {})
    check_figures(api, sr)
    api.VDI.resize(first, str(20 * MIB))
    check_figures(api, sr)
    copy = api.VDI.copy(clone, sr)
    check_figures(api, sr)
    for ref in (snapshot, clone, copy, first):
        api.VDI.destroy(ref)
        check_figures(api, sr)
    assert [ref for ref in api.SR.get_VDIs(sr) if api.VDI.get_managed(ref)] == []


def unplugged(api: Any, sr: str) -> None:
    for pbd in api.SR.get_PBDs(sr):
        api.PBD.unplug(pbd)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """A loop device of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a loop device")
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(128 * MIB)
    with ExitStack() as stack:
        try:
            loop = run(["losetup", "-f", "--show", str(image)]).text.strip()
        except CommandFailed as error:
            pytest.skip(f"needs loop devices and losetup (Debian: mount): {error}")
        stack.callback(run, ["losetup", "-d", loop])
        yield loop


def test_a_local_disk_from_the_probe_to_the_end(api: Any, device: str) -> None:
    (host,) = api.host.get_all()
    assert ElementTree.fromstring(api.SR.probe(host, {"device": device}, "ext", {})).findall("SR") == []
    (found,) = api.SR.probe_ext(host, {"device": device}, "ext", {})
    assert found["complete"] and "sr" not in found
    sr = made(api, "ext", {"device": device})
    record = api.SR.get_record(sr)
    assert (record["type"], record["content_type"], record["shared"]) == ("ext", "user", False)
    assert 0 < int(record["physical_utilisation"]) < int(record["physical_size"]) <= 128 * MIB
    live(api, sr)
    # In use, it is neither made anew nor taken away.
    assert refusal(made, api, "ext", {"device": device})[0] == "SR_BACKEND_FAILURE_16"
    assert refusal(api.SR.destroy, sr) == ["SR_HAS_PBD", sr]
    kept = api.VDI.create(disk(sr, "kept"))
    identity = api.VDI.get_uuid(kept)
    unplugged(api, sr)
    assert refusal(api.SR.destroy, sr) == ["SR_NOT_EMPTY"]
    assert refusal(api.SR.scan, sr) == ["SR_HAS_NO_PBDS", sr]
    assert refusal(api.VDI.create, disk(sr, "late")) == ["SR_HAS_NO_PBDS", sr]
    api.SR.forget(sr)

    # Another administrator finds it.
    (uuid,) = [
        element.text.strip()
        for element in ElementTree.fromstring(api.SR.probe(host, {"device": device}, "ext", {})).iter("UUID")
        if element.text
    ]
    assert uuid == record["uuid"]
    (found,) = api.SR.probe_ext(host, {"device": device}, "ext", {})
    assert found["sr"]["uuid"] == uuid
    again = api.SR.introduce(uuid, "found", "", "ext", "user", False, {})
    pbd = api.PBD.create({"host": host, "SR": again, "device_config": {"device": device}})
    api.PBD.plug(pbd)
    (back,) = api.SR.get_VDIs(again)
    assert (api.VDI.get_uuid(back), api.VDI.get_name_label(back)) == (identity, "kept")
    check_figures(api, again)
    api.VDI.destroy(back)
    unplugged(api, again)
    api.SR.destroy(again)
    assert refusal(api.SR.get_by_uuid, uuid)[0] == "UUID_INVALID"
    assert device not in Path("/proc/self/mounts").read_text()


def test_figures_are_right_after_each_operation(api: Any, tmp_path: Path) -> None:
    sr = made(api, "dummy", {"size": str(1 << 30)})
    live(api, sr)
    unplugged(api, sr)
    api.SR.destroy(sr)


def test_a_disk_of_images_follows_the_directory(api: Any, tmp_path: Path) -> None:
    (tmp_path / "first.iso").write_bytes(bytes(MIB))
    sr = made(api, "iso", {"location": str(tmp_path), "legacy_mode": "true"})
    record = api.SR.get_record(sr)
    assert record["content_type"] == "iso"
    (first,) = record["VDIs"]
    assert api.VDI.get_record(first)["read_only"]
    (tmp_path / "second.iso").write_bytes(bytes(MIB))
    (tmp_path / "first.iso").unlink()
    api.SR.scan(sr)
    assert [api.VDI.get_name_label(ref) for ref in api.SR.get_VDIs(sr)] == ["second.iso"]
    assert refusal(api.SR.update, sr) == ["SR_OPERATION_NOT_SUPPORTED", sr]
    unplugged(api, sr)
    api.SR.forget(sr)
    assert (tmp_path / "second.iso").exists()


NUMBERS = [
    ("file", {}, 94),
    ("file", {"location": "relative"}, 1),
    ("file", {"location": "/no/such/place/at/all"}, 61),
    ("ext", {}, 90),
    ("ext", {"device": "/dev/no-such-device"}, 91),
    ("ext", {"device": "/dev/null"}, 91),
    ("nfs", {}, 102),
    ("nfs", {"server": "not a name!", "serverpath": "/x"}, 140),
    ("nfs", {"server": "192.0.2.1", "serverpath": "relative"}, 103),
    ("lvm", {}, 90),
    ("lvmoiscsi", {}, 95),
    ("lvmohba", {}, 107),
    ("iso", {}, 94),
    ("iso", {"location": "\\\\only-a-server"}, 225),
    ("iso", {"location": "/no/such/place", "legacy_mode": "true"}, 226),
    ("iso", {"location": "//server/share", "type": "cifs", "vers": "9"}, 227),
    ("udev", {}, 94),
]


@pytest.mark.parametrize(("kind", "config", "number"), NUMBERS)
def test_settings_that_cannot_be_have_the_usual_numbers(
    api: Any, kind: str, config: dict[str, str], number: int
) -> None:
    before = api.SR.get_all()
    code, status, text, _ = refusal(made, api, kind, config)
    assert (code, status) == (f"SR_BACKEND_FAILURE_{number}", "")
    assert text
    assert api.SR.get_all() == before


def test_records_of_drivers_have_what_programs_look_for(api: Any) -> None:
    records = {record["type"]: record for record in api.SM.get_all_records().values()}
    assert set(api.SR.get_supported_types()) == set(records)
    for record in records.values():
        assert set(record["capabilities"]) == set(record["features"])
        assert all(version.isdigit() for version in record["features"].values())
        assert all(record[name] for name in ("name_label", "vendor", "version", "driver_filename", "configuration"))
    for kind in ("ext", "file", "nfs", "lvm", "lvmoiscsi", "lvmohba"):
        assert {"VDI_CREATE", "VDI_SNAPSHOT", "VDI_CLONE", "VDI_RESIZE", "SR_PROBE"} <= set(records[kind]["features"])
    assert "device" in records["ext"]["configuration"]
    assert {"server", "serverpath"} <= set(records["nfs"]["configuration"])
    assert {"target", "targetIQN", "SCSIid"} <= set(records["lvmoiscsi"]["configuration"])


def test_a_password_is_seen_by_nobody(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the log nor an error has it; the settings name a secret, which is copied and goes with the PBD."""
    caplog.set_level(logging.DEBUG)
    (host,) = api.host.get_all()
    secret = api.secret.create({"value": "hunter2-hunter2", "other_config": {}})
    config = {
        "location": "//192.0.2.1/images",
        "type": "cifs",
        "username": "installer",
        "cifspassword_secret": api.secret.get_uuid(secret),
        "options": "port=1",  # refused before anything is asked of the network
    }
    told = refusal(made, api, "iso", config)
    sr = api.SR.introduce("", "images", "", "iso", "iso", True, {})
    pbd = api.PBD.create({"host": host, "SR": sr, "device_config": config})
    told += refusal(api.PBD.plug, pbd)
    kept = api.PBD.get_device_config(pbd)
    assert kept["cifspassword_secret"] != config["cifspassword_secret"]
    assert api.secret.get_value(api.secret.get_by_uuid(kept["cifspassword_secret"])) == "hunter2-hunter2"
    api.SR.forget(sr)
    assert refusal(api.secret.get_by_uuid, kept["cifspassword_secret"])[0] == "UUID_INVALID"
    assert "hunter2" not in caplog.text + "".join(told) + repr(kept)
    unknown = {**config, "cifspassword_secret": "none such"}
    assert refusal(made, api, "iso", unknown) == ["UUID_INVALID", "secret", "none such"]
    api.secret.destroy(secret)
