"""The same on real file systems: one that is full, one whose mount or device goes away or becomes read-only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.storage.faults.operations import LONG, OPERATIONS, PLAIN, SR, TRACKED, Operation, furnish, furnish_chain
from tests.storage.faults.state import State, assert_clean, content, state
from xapi.storage.contract import MIB, new_uuid
from xapi.storage.file.driver import ExtDriver, FileDriver
from xapi.storage.file.repository import FileSr
from xapi.storage.interface import (
    CreateVdi,
    DataDamaged,
    SrFull,
    SrHealth,
    SrReadOnly,
    SrUnavailable,
    StorageFailure,
    VdiUnavailable,
)
from xapi.storage.mounts import mount_table
from xapi.system.command import CommandFailed, run

PAGE = 4096
CHANGING = [operation for operation in OPERATIONS if operation.changes]
SAMPLE = {"create", "snapshot", "import", "scan"}


def sampled(operations: Sequence[Operation]) -> pytest.MarkDecorator:
    """All operations, of which most are slow only because there are many."""
    marked = [pytest.param(one, marks=() if one.name in SAMPLE else pytest.mark.slow) for one in operations]
    return pytest.mark.parametrize("operation", marked, ids=[one.name.replace(" ", "-") for one in operations])


each = sampled(OPERATIONS)
each_changing = sampled(CHANGING)


@pytest.fixture(scope="module")
def mounting(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip what follows where nothing can be mounted."""
    here = tmp_path_factory.mktemp("trial")
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount file systems")
    try:
        run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(here)])
        run(["umount", str(here)])
        image = here / "image"
        image.write_bytes(bytes(MIB))
        loop = run(["losetup", "-f", "--show", str(image)]).text.strip()
        run(["losetup", "-d", loop])
    except CommandFailed as error:
        pytest.skip(f"needs tmpfs, loop devices and losetup (Debian: mount): {error}")


@pytest.fixture
def tidy(mounting: None, tmp_path: Path) -> Iterator[ExitStack]:
    """Takes down what a test has mounted."""
    with ExitStack() as stack:
        yield stack
        for entry in reversed(mount_table()):
            if entry.target.startswith(str(tmp_path)):
                run(["umount", "-l", entry.target])


class Ext:
    """An SR of the type `ext` on a loop device."""

    def __init__(self, tmp_path: Path, tidy: ExitStack, size: int = 64 * MIB) -> None:
        self.image = tmp_path / "device.img"
        with self.image.open("wb") as file:
            file.truncate(size)
        self.loop = run(["losetup", "-f", "--show", str(self.image)]).text.strip()
        tidy.callback(self._detach_loop)
        self.driver = ExtDriver(str(tmp_path / "mounts"))
        self.config = {"device": self.loop}
        self.driver.create(SR, self.config, 0, "user", {})
        self.sr = self.attach()
        furnish(self.sr)
        furnish_chain(self.sr)
        self.path = Path(self.sr.path)
        self.old = state(self.sr)

    def _detach_loop(self) -> None:
        with suppress(CommandFailed):
            run(["blockdev", "--setrw", self.loop])
            run(["losetup", "-d", self.loop])

    def attach(self) -> FileSr:
        return self.driver.attach(SR, self.config, {})


class Memory:
    """An SR of the type `file` on a tmpfs, where free space is known to the page."""

    @staticmethod
    def mounted(tmp_path: Path, size: int) -> Path:
        mount = tmp_path / "memory"
        mount.mkdir()
        run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)])
        return mount

    def __init__(self, tmp_path: Path, size: int = 24 * MIB) -> None:
        self.mount = self.mounted(tmp_path, size)
        self.path = self.mount / "sr"
        self.config = {"location": str(self.path)}
        FileDriver().create(SR, self.config, 0, "user", {})
        self.sr = self.attach()
        furnish(self.sr)
        furnish_chain(self.sr)
        self.old = state(self.sr)

    def attach(self) -> FileSr:
        return FileDriver().attach(SR, self.config, {})

    def leave(self, pages: int) -> None:
        """Take all of the space but for so many pages."""
        found = os.statvfs(self.mount)
        size = (found.f_bavail - pages) * found.f_frsize
        with (self.mount / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def make_room(self) -> None:
        (self.mount / "ballast").unlink(missing_ok=True)


def fill(path: Path) -> None:
    """Write until nothing fits any more."""
    with (path / "ballast").open("wb", buffering=0) as file:
        for size in (MIB, PAGE, 512):
            with suppress(OSError):
                while True:
                    file.write(b"\xff" * size)
                    if size == MIB:
                        continue
        with suppress(OSError):
            os.fsync(file.fileno())


def is_told(failure: StorageFailure, *expected: type[StorageFailure]) -> None:
    assert isinstance(failure, expected), repr(failure)
    assert failure.text


def same_disks(sr: FileSr, old: State, operation: Operation) -> None:
    """All disks that there were hold what they held."""
    now = state(sr)[1]
    for location, disk in old[1].items():
        if operation.written == "" or location != operation.written:
            assert now.get(location) == disk, location


@each
def test_space_that_ends_page_by_page(operation: Operation, tidy: ExitStack, tmp_path: Path) -> None:
    """However far an operation comes in what space there is, nothing is lost, and room makes it work."""
    place = Memory(tmp_path)
    pages = 0
    for pages in (0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 24, 520):
        place.leave(pages)
        try:
            operation.do(place.sr)
        except SrFull as failure:
            assert failure.number == 44
            place.make_room()
            same_disks(place.sr, place.old, operation)
        else:
            place.make_room()
            break
    if pages == 520:
        operation.do(place.sr)
    state(place.sr)
    place.sr.detach_sr()
    again = place.attach()
    state(again)
    assert_clean(place.path)


@each_changing
def test_full_ext4_on_a_loop_device(operation: Operation, tidy: ExitStack, tmp_path: Path) -> None:
    place = Ext(tmp_path, tidy)
    fill(place.path)
    try:
        operation.do(place.sr)
    except StorageFailure as failure:
        is_told(failure, SrFull)
        same_disks(place.sr, place.old, operation)
    # A full SR can be attached, looked at, and disks can be destroyed in it.
    again = place.attach()
    assert again.stat().health is SrHealth.HEALTHY
    state(again)
    (place.path / "ballast").unlink()
    with suppress(StorageFailure):
        operation.do(place.sr)  # what was destroyed cannot be destroyed again
    state(place.sr)
    place.sr.detach_sr()


@each
def test_mount_that_goes_away(operation: Operation, tidy: ExitStack, tmp_path: Path) -> None:
    place = Ext(tmp_path, tidy)
    run(["umount", "-l", str(place.path)])
    if operation.silent:
        assert place.sr.stat().health is SrHealth.UNREACHABLE
    else:
        with pytest.raises(SrUnavailable) as caught:
            operation.do(place.sr)
        assert "mounted" in caught.value.text
    assert os.listdir(place.path) == []
    again = place.attach()  # plugged again, it is mounted again
    assert state(again) == place.old
    operation.do(again)
    state(again)
    again.detach_sr()


@each_changing
def test_file_system_that_becomes_read_only(operation: Operation, tidy: ExitStack, tmp_path: Path) -> None:
    place = Ext(tmp_path, tidy)
    run(["mount", "-o", "remount,ro", str(place.path)])
    with pytest.raises(SrReadOnly) as caught:
        operation.do(place.sr)
    assert "written" in caught.value.text
    assert state(place.sr) == place.old
    assert state(place.attach()) == place.old
    run(["mount", "-o", "remount,rw", str(place.path)])
    operation.do(place.sr)
    state(place.sr)
    assert_clean_but_lost_and_found(place.path)
    place.sr.detach_sr()


def test_device_that_is_read_only_when_it_is_plugged(tidy: ExitStack, tmp_path: Path) -> None:
    """Its disks can be read, and what would change it is refused with the reason."""
    place = Ext(tmp_path, tidy)
    place.sr.detach_sr()
    run(["blockdev", "--setro", place.loop])
    sr = place.attach()
    assert state(sr) == place.old
    for operation in CHANGING:
        with pytest.raises(SrReadOnly) as caught:
            operation.do(sr)
        assert "written" in caught.value.text
    assert state(sr) == place.old
    sr.detach_sr()
    run(["blockdev", "--setrw", place.loop])
    again = place.attach()
    again.create(CreateVdi(new_uuid(), MIB))
    assert_clean_but_lost_and_found(place.path)
    again.detach_sr()


@each_changing
def test_thin_device_that_runs_out_of_space(operation: Operation, tidy: ExitStack, tmp_path: Path) -> None:
    """The device has promised more than there is, and fails writes that the file system believed to be safe."""
    pool = Memory.mounted(tmp_path, 96 * MIB)
    place = Ext(pool, tidy)
    run(["sync", "-f", str(place.path)])
    fill(pool)
    try:
        operation.do(place.sr)
    except StorageFailure as failure:
        is_told(failure, SrFull, SrReadOnly, DataDamaged, VdiUnavailable, SrUnavailable)
    with suppress(StorageFailure):
        place.sr.detach_sr()
    with suppress(CommandFailed):
        run(["umount", str(place.path)])
    (pool / "ballast").unlink()
    again = place.attach()
    # Such a device may lose what it said to be stored: of a new disk nothing is sure, and the old ones are whole.
    for location in {PLAIN, TRACKED, LONG} - {operation.written}:
        found, old = content(again, location), place.old[1][location].content
        assert found == old or (location == operation.dropped and found.items() < old.items())
    again.detach_sr()


def assert_clean_but_lost_and_found(path: Path) -> None:
    with suppress(OSError):
        os.rmdir(path / "lost+found")
    assert_clean(path)
