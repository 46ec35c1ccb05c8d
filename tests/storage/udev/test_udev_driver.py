import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from xapi.storage.contract import CHECKS, MIB, Subject, content, new_uuid, write
from xapi.storage.existing_disks import ExistingDisksSr
from xapi.storage.udev.driver import UdevDriver
from xapi.system.command import CommandFailed, run

SR = "5a000000-0000-4000-8000-000000000006"


def attach(path: Path, **sm_config: str) -> ExistingDisksSr:
    return UdevDriver().attach(SR, {"location": str(path)}, sm_config)


def test_devices_come_and_go(tmp_path: Path) -> None:
    sr = attach(tmp_path / "devices")
    assert sr.scan().vdis == ()
    (tmp_path / "devices").mkdir()
    (tmp_path / "stick").write_bytes(b"x" * 4096)
    (tmp_path / "devices" / "sdb").symlink_to(tmp_path / "stick")
    (vdi,) = sr.scan().vdis
    assert (vdi.location, vdi.virtual_size, vdi.read_only) == (str(tmp_path / "devices" / "sdb"), 4096, False)
    assert vdi.sm_config["hotplugged_at"].endswith("Z")
    assert sr.attach(vdi.location, False).path == str(tmp_path / "stick")  # type: ignore[union-attr]
    (tmp_path / "stick").unlink()
    assert sr.scan().vdis == ()


def test_cd_drives_are_read_only(tmp_path: Path) -> None:
    (tmp_path / "sr0").write_bytes(b"x" * 2048)
    (vdi,) = attach(tmp_path, type="cd").scan().vdis
    assert vdi.read_only


def test_character_devices_are_no_disks(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    assert attach(tmp_path).scan().vdis == ()


class Drives:
    """Loop devices that are plugged in by a link in a directory."""

    def __init__(self, tmp_path: Path, stack: ExitStack) -> None:
        self.directory = tmp_path / "devices"
        self.directory.mkdir()
        self.tmp_path = tmp_path
        self.stack = stack

    def plug(self) -> str:
        image = self.tmp_path / f"{new_uuid()}.img"
        image.write_bytes(b"device" * 4096 + bytes(MIB - 6 * 4096))
        device = run(["losetup", "-f", "--show", str(image)]).text.strip()
        self.stack.callback(run, ["losetup", "-d", device])
        link = self.directory / new_uuid()
        link.symlink_to(device)
        return str(link)


@pytest.fixture
def drives(tmp_path: Path) -> Iterator[Drives]:
    if os.geteuid() != 0:
        pytest.skip("needs root, for loop devices")
    with ExitStack() as stack:
        try:
            found = Drives(tmp_path, stack)
            found.plug()
        except CommandFailed as error:
            pytest.skip(f"needs loop devices and losetup (Debian: mount): {error}")
        yield found


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_block_devices_satisfy(check, drives: Drives) -> None:
    check(Subject(UdevDriver(), {"location": str(drives.directory)}, prepare=drives.plug))


def test_block_device_is_read_and_written_and_may_be_read_only(drives: Drives) -> None:
    location = drives.plug()
    sr = attach(drives.directory)
    facts = sr.find(location)
    assert (facts.virtual_size, facts.read_only) == (MIB, False)
    write(sr, location, 4096, b"written " * 64)
    assert content(sr, location)[4096:4608] == b"written " * 64
    run(["blockdev", "--setro", os.path.realpath(location)])
    assert sr.find(location).read_only
    run(["blockdev", "--setrw", os.path.realpath(location)])
