"""Discovery, CHAP and sessions with a real target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.lab.inside.shell import active_volumes, command_lines, sh, write_text
from tests.lab.inside.target import backstore, discovery_asks, target
from xapi.storage.contract import MIB, content, new_uuid, refuses, write
from xapi.storage.errors import InvalidConfiguration, SrUnavailable, StorageFailure
from xapi.storage.interface import CreateVdi, SrHealth
from xapi.storage.lvm.san import LvmOverIscsi

IQN, OTHER = "iqn.2026-11.lab:one", "iqn.2026-11.lab:two"
CHAP = {"userid": "lab-user", "password": "lab-password-1"}
KNOWN = {"chapuser": CHAP["userid"], "chappassword": CHAP["password"]}
PORTAL = {"target": "127.0.0.1"}


@pytest.fixture
def stores(initiator: None, store: Path) -> Iterator[list[Path]]:
    with ExitStack() as stack:
        yield [stack.enter_context(backstore(f"lun{each}", store / f"lun{each}.img", 1 << 30)) for each in range(2)]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LvmOverIscsi]:
    yield LvmOverIscsi(str(tmp_path / "state"))
    assert sh("iscsiadm", "-m", "session", check=False) == ""


def rows(xml: str, name: str) -> list[dict[str, str]]:
    """What a client makes of a probe's answer."""
    return [{part.tag: (part.text or "").strip() for part in each} for each in ElementTree.fromstring(xml).iter(name)]


def lun_of(driver: LvmOverIscsi, config: dict[str, str]) -> dict[str, str]:
    return dict(driver.probe_ext(config, {})[0].configuration)


def test_targets_and_luns_are_told_as_clients_look_for_them(driver: LvmOverIscsi, stores: list[Path]) -> None:
    with target(IQN, stores), target(OTHER, stores[:1]):
        failure = refuses(InvalidConfiguration, lambda: driver.probe(PORTAL, {}))
        assert failure.number == 96
        found = rows(failure.params[2], "TGT")
        assert {row["TargetIQN"] for row in found} == {IQN, OTHER, "*"}
        assert {row["IPAddress"] for row in found} == {"127.0.0.1"}
        assert [row["Index"] for row in found] == ["0", "1", "2"]
        failure = refuses(InvalidConfiguration, lambda: driver.probe({**PORTAL, "targetIQN": IQN}, {}))
        assert failure.number == 107
        luns = rows(failure.params[2], "LUN")
        assert [row["LUNid"] for row in luns] == ["0", "1"]
        assert [row["size"] for row in luns] == [str(1 << 30)] * 2
        assert [row["vendor"] for row in luns] == ["LIO-ORG"] * 2
        assert len({row["SCSIid"] for row in luns}) == 2
        configs = [result.configuration for result in driver.probe_ext({**PORTAL, "targetIQN": IQN}, {})]
        assert [config["SCSIid"] for config in configs] == [row["SCSIid"] for row in luns]
        everything = driver.probe_ext({**PORTAL, "targetIQN": "*"}, {})
        assert {result.configuration["SCSIid"] for result in everything} == {row["SCSIid"] for row in luns}


def test_only_the_right_password_opens_a_target(driver: LvmOverIscsi, stores: list[Path]) -> None:
    config = {**PORTAL, "targetIQN": IQN}
    with target(IQN, stores[:1], CHAP):
        for wrong in ({}, {**KNOWN, "chappassword": "lab-password-2"}, {**KNOWN, "chapuser": "nobody"}):
            attempt = partial(driver.probe_ext, {**config, **wrong}, {})
            assert refuses(StorageFailure, attempt).number == 68
        assert len(driver.probe_ext({**config, **KNOWN}, {})) == 1
        with discovery_asks("lab-user", "lab-password-1"):
            assert driver.probe_ext({**PORTAL, **KNOWN}, {})[0].configuration["targetIQN"] == IQN
            assert refuses(StorageFailure, lambda: driver.probe_ext(PORTAL, {})).number == 83
        with discovery_asks("other-user", "other-password"):
            assert refuses(StorageFailure, lambda: driver.probe_ext({**PORTAL, **KNOWN}, {})).number == 68


def test_a_target_has_to_show_a_password_too(driver: LvmOverIscsi, stores: list[Path]) -> None:
    mutual = {**CHAP, "userid_mutual": "the-target", "password_mutual": "target-password"}
    config = {**PORTAL, **KNOWN, "targetIQN": IQN, "incoming_chapuser": "the-target"}
    with target(IQN, stores[:1], mutual):
        assert len(driver.probe_ext({**config, "incoming_chappassword": "target-password"}, {})) == 1
        wrong = {**config, "incoming_chappassword": "another-password"}
        assert refuses(StorageFailure, lambda: driver.probe_ext(wrong, {})).number == 68


def test_nobody_sees_a_password_in_the_list_of_processes(driver: LvmOverIscsi, stores: list[Path]) -> None:
    with target(IQN, stores[:1], CHAP):
        with command_lines() as seen:
            config = lun_of(driver, {**PORTAL, **KNOWN, "targetIQN": IQN})
            uuid = new_uuid()
            driver.create(uuid, config, 0, "user", {})
            sr = driver.attach(uuid, config, {})
        assert any(b"iscsiadm" in each for each in seen)
        assert not any(CHAP["password"].encode() in each for each in seen)
        kept = sh("grep", "-r", "-l", "--", CHAP["password"], "/etc/iscsi").split()
        assert [Path(each).stat().st_mode & 0o777 for each in kept] == [0o600]
        sr.destroy_sr()
        assert sh("grep", "-r", "-l", "--", CHAP["password"], "/etc/iscsi", check=False) == ""


def test_a_session_that_ends_beneath_an_sr_is_told_and_what_was_written_is_there_again(
    driver: LvmOverIscsi, stores: list[Path]
) -> None:
    with target(IQN, stores[:1]):
        config = lun_of(driver, {**PORTAL, "targetIQN": IQN})
        uuid = new_uuid()
        driver.create(uuid, config, 0, "user", {})
        sr = driver.attach(uuid, config, {})
        disk = sr.create(CreateVdi(new_uuid(), 8 * MIB)).location
        write(sr, disk, MIB, b"kept" * 1024)
        before = content(sr, disk)
        sh("iscsiadm", "-m", "session", "-u")
        assert sr.stat().health is SrHealth.UNREACHABLE
        for action in (sr.scan, lambda: sr.snapshot(disk, new_uuid()), lambda: sr.attach(disk, False)):
            refuses(StorageFailure, action)
        sr.detach_sr()
        again = driver.attach(uuid, config, {})
        assert content(again, disk) == before
        again.destroy(disk)
        again.destroy_sr()
        assert active_volumes() == []


def test_a_lun_that_has_gone_is_named_and_leaves_no_session(driver: LvmOverIscsi, stores: list[Path]) -> None:
    with target(IQN, stores[:1]) as group:
        config = lun_of(driver, {**PORTAL, "targetIQN": IQN})
        uuid = new_uuid()
        driver.create(uuid, config, 0, "user", {})
        assert refuses(StorageFailure, lambda: driver.attach(new_uuid(), config, {})).number == SrUnavailable.number
        write_text(group / "enable", "0\n")
        assert refuses(StorageFailure, lambda: driver.attach(uuid, config, {})).number in (68, 83)
        write_text(group / "enable", "1\n")
        driver.attach(uuid, config, {}).destroy_sr()
