import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from xapi.storage.contract import MIB, new_uuid, write
from xapi.storage.existing_disks import ExistingDisksSr
from xapi.storage.interface import (
    CreateVdi,
    InvalidConfiguration,
    SrUnavailable,
    Unsupported,
    VdiExists,
    VdiMissing,
    VdiReadOnly,
)
from xapi.storage.iso.driver import IsoDriver, nfs_mount, smb_mount

SR = "5a000000-0000-4000-8000-000000000005"


def local(tmp_path: Path, **config: str) -> ExistingDisksSr:
    device_config = {"location": str(tmp_path), "legacy_mode": "true", **config}
    return IsoDriver(str(tmp_path / "mounts")).attach(SR, device_config, {})


def test_images_are_disks_and_nothing_else_is(tmp_path: Path) -> None:
    own = new_uuid()
    for name in ("debian.iso", "UPPER.ISO", "floppy.img", f"{own}.iso", "naïve ☃.iso"):
        (tmp_path / name).write_bytes(b"x" * 2048)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "directory.iso").mkdir()
    os.mkfifo(tmp_path / "fifo.iso")
    (tmp_path / "line\nbreak.iso").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.iso")).write_bytes(b"x")
    found = {vdi.location: vdi for vdi in local(tmp_path).scan().vdis}
    assert found.keys() == {"debian.iso", "UPPER.ISO", "floppy.img", f"{own}.iso", "naïve ☃.iso"}
    assert found[f"{own}.iso"].uuid == own
    assert all(vdi.read_only and vdi.virtual_size == 2048 for vdi in found.values())
    assert {vdi.location: vdi.uuid for vdi in local(tmp_path).scan().vdis} == {
        name: vdi.uuid for name, vdi in found.items()
    }


def test_images_are_read_only(tmp_path: Path) -> None:
    (tmp_path / "a.iso").write_bytes(b"x" * 2048)
    sr = local(tmp_path)
    with pytest.raises(VdiReadOnly):
        sr.attach("a.iso", False)
    with pytest.raises(VdiReadOnly):
        sr.open_for_writing("a.iso")
    with pytest.raises(Unsupported):
        sr.destroy("a.iso")
    assert (tmp_path / "a.iso").exists()


def test_uploaded_image_gets_the_name_that_was_asked_for(tmp_path: Path) -> None:
    sr = local(tmp_path)
    facts = sr.create(CreateVdi(new_uuid(), MIB, sm_config={"path": "Upload 1.iso"}))
    assert (facts.location, facts.read_only) == ("Upload 1.iso", False)
    write(sr, "Upload 1.iso", 0, b"x" * 512)
    with pytest.raises(VdiExists):
        sr.create(CreateVdi(new_uuid(), MIB, sm_config={"path": "Upload 1.iso"}))
    sr.destroy("Upload 1.iso")
    assert sr.scan().vdis == ()


@pytest.mark.parametrize(
    "name", ["../x.iso", "/etc/x.iso", "x", ".hidden.iso", "-o.iso", "a\n.iso", "x" * 300 + ".iso"]
)
def test_uploaded_image_cannot_leave_the_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "below").mkdir()
    with pytest.raises(InvalidConfiguration):
        local(tmp_path / "below").create(CreateVdi(new_uuid(), MIB, sm_config={"path": name}))
    assert os.listdir(tmp_path / "below") == []


def test_tools_image_is_marked(tmp_path: Path) -> None:
    (tmp_path / "xs-tools-8.2.0-1.iso").write_bytes(b"x")
    facts = local(tmp_path).find("xs-tools-8.2.0-1.iso")
    assert facts.name_label == "xs-tools.iso"
    assert facts.sm_config["xs-tools-version"] == "8.2.0"
    assert facts.sm_config["xs-tools-build"] == "1"


def test_local_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x" * 100)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "link.iso").symlink_to(tmp_path / "real")
    sr = local(tmp_path / "images")
    assert sr.find("link.iso").virtual_size == 100
    with sr.open_for_reading("link.iso") as disk:
        assert disk.pread(0, 100) == b"x" * 100


class Share:
    """A share that is mounted by making files."""

    def __init__(self) -> None:
        self.mounted: dict[str, tuple[str, str, tuple[str, ...], dict[str, str]]] = {}

    def mount(
        self, kind: str, source: str, target: str, options: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        os.makedirs(target)
        (Path(target) / "a.iso").write_bytes(b"x")
        (Path(target) / "leak.iso").symlink_to("/etc/passwd")
        (Path(target) / "out").symlink_to("/etc")
        self.mounted[target] = (kind, source, tuple(options), dict(environment or {}))

    def unmount(self, target: str) -> None:
        del self.mounted[target]

    def is_mounted(self, target: str) -> bool:
        return target in self.mounted


def test_links_on_a_share_are_not_followed(tmp_path: Path) -> None:
    share = Share()
    sr = IsoDriver(str(tmp_path), share).attach(SR, {"location": "filer:/isos"}, {})
    assert [vdi.location for vdi in sr.scan().vdis] == ["a.iso"]
    with pytest.raises(VdiMissing):
        sr.attach("leak.iso", True)
    sr.detach_sr()
    assert share.mounted == {}


def test_directory_below_a_share_cannot_lead_out_of_it(tmp_path: Path) -> None:
    share = Share()
    driver = IsoDriver(str(tmp_path), share)
    for below in ("out", "../..", "/out"):
        with pytest.raises(InvalidConfiguration):
            driver.attach(SR, {"location": "filer:/isos", "iso_path": below}, {})
        assert share.mounted == {}
        if (tmp_path / SR).exists():
            for name in os.listdir(tmp_path / SR):
                (tmp_path / SR / name).unlink()
            (tmp_path / SR).rmdir()


def test_password_of_a_share_is_nowhere_on_a_command_line() -> None:
    config = {"username": "DOM\\user", "cifspassword": "s3cret,x", "vers": "3.0"}
    source, options, environment = smb_mount("\\\\filer\\isos", config)
    assert source == "//filer/isos"
    assert {"vers=3.0", "domain=DOM", "iocharset=utf8"} <= set(options)
    assert not any("s3cret" in option for option in options)
    assert environment == {"USER": "user", "PASSWD": "s3cret,x"}


@pytest.mark.parametrize(
    ("location", "config", "number"),
    [
        ("\\\\filer", {}, 225),
        ("//filer/a/../b", {}, 225),
        ("//filer/a,credentials=/etc/shadow", {}, 225),
        ("//-filer/a", {}, 140),
        ("//filer/a", {"vers": "9"}, 227),
        ("//filer/a", {"username": "a,credentials=/etc/shadow"}, 2),
        ("//filer/a", {"options": "credentials=/etc/shadow"}, 1),
    ],
)
def test_wrong_smb_share_is_refused(location: str, config: dict[str, str], number: int) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        smb_mount(location, config)
    assert caught.value.number == number


def test_nfs_location_is_taken_apart() -> None:
    assert nfs_mount("[fe80::1]:/a/b", {}).source == "[fe80::1]:/a/b"
    for location in ("filer", "filer:a", "[::1]/a", ":/a", "fi ler:/a"):
        with pytest.raises(InvalidConfiguration):
            nfs_mount(location, {})


def test_vanished_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    sr = local(tmp_path / "images")
    (tmp_path / "images").rmdir()
    with pytest.raises(SrUnavailable):
        sr.scan()
    with pytest.raises(InvalidConfiguration) as caught:
        local(tmp_path / "images")
    assert caught.value.number == 226


def test_names_on_a_share_are_in_the_character_set_that_was_asked_for() -> None:
    _, options, _ = smb_mount("\\\\filer\\isos", {"options": "iocharset=cp850"})
    assert [option for option in options if option.startswith("iocharset=")] == ["iocharset=cp850"]
