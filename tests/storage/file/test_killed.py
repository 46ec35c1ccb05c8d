"""A process that is killed at any write of any operation leaves the old state or the new, and nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from xapi.storage.contract import GRANULE, MIB, bits, write
from xapi.storage.file.directory import IMAGE_NAME, LOG_NAME, RECORD_NAME, SETTINGS_NAME
from xapi.storage.file.driver import FileDriver
from xapi.storage.file.repository import FileSr
from xapi.storage.interface import CreateVdi
from xapi.storage.vhd.check import check
from xapi.storage.vhd.file import RealFile

SR = "5a000000-0000-4000-8000-000000000001"
PLAIN = "00000000-0000-4000-8000-000000000001"
TRACKED = "00000000-0000-4000-8000-000000000002"
OLDER = "00000000-0000-4000-8000-000000000003"
NEWER = "00000000-0000-4000-8000-000000000004"
CLONE = "00000000-0000-4000-8000-000000000005"
MADE = "00000000-0000-4000-8000-00000000000a"
KILLED = 9
CHANGING = ("write", "pwrite", "pwritev", "ftruncate", "rename", "replace", "link", "unlink", "fsync")


def attach(path: Path) -> FileSr:
    return FileDriver().attach(SR, {"location": str(path)}, {})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "sr"
    FileDriver().create(SR, {"location": str(path)}, 0, "user", {})
    sr = attach(path)
    sr.create(CreateVdi(PLAIN, 4 * MIB, name_label="plain"))
    write(sr, PLAIN, 0, b"plain" * 1024 + bytes(512 - 5120 % 512))
    sr.create(CreateVdi(TRACKED, 2 * MIB))
    sr.enable_cbt(TRACKED)
    write(sr, TRACKED, 0, b"1" * 512)
    sr.snapshot(TRACKED, OLDER)
    write(sr, TRACKED, 2 * GRANULE, b"2" * 512)
    sr.snapshot(TRACKED, NEWER)
    write(sr, TRACKED, 5 * GRANULE, b"3" * 512)
    sr.clone(PLAIN, CLONE)
    write(sr, PLAIN, MIB, b"more" * 128)
    sr.detach_sr()
    return path


def die_at(step: int) -> None:
    """Make this process end at its `step`-th change of a file, a write being cut in two."""
    left = step

    def dying(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal left
            creating = name != "open" or int(args[1]) & os.O_CREAT  # type: ignore[call-overload]
            if creating:
                left -= 1
            if left == 0 and creating:
                if name == "pwrite":
                    descriptor, data, offset = args
                    real(descriptor, memoryview(data)[: len(data) // 2], offset)  # type: ignore
                os._exit(KILLED)
            return real(*args, **kwargs)

        return call

    for name in (*CHANGING, "open"):
        setattr(os, name, dying(name, getattr(os, name)))


def killed_at(step: int, path: Path, operation: Callable[[FileSr], object]) -> bool:
    """Run the operation in a process that dies at a step; return whether it lived to do it all."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sr = attach(path)
            die_at(step)
            operation(sr)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED)
    return code == 0


State = dict[str, tuple[int, dict[int, bytes]]]


def blocks(sr: FileSr, location: str) -> tuple[int, dict[int, bytes]]:
    """The size of a disk and what it holds, without zeros."""
    with sr.open_for_reading(location) as disk:
        found = {}
        for extent in disk.extents():
            for offset in range(extent.offset, extent.offset + extent.length if not extent.zero else 0, 4096):
                data = disk.pread(offset, min(4096, extent.offset + extent.length - offset))
                if any(data):
                    found[offset] = data
        return disk.size, found


def state(path: Path) -> State:
    """Attach, check that everything is in order, and return what each disk holds."""
    sr = attach(path)
    found, hidden = {}, set()
    for vdi in sr.scan().vdis:
        assert not vdi.missing
        if vdi.managed and vdi.type != "cbt_metadata":
            found[vdi.location] = blocks(sr, vdi.location)
        elif not vdi.managed:
            hidden.add(vdi.location)
    sr.detach_sr()
    images = set()
    for name in os.listdir(path):
        known = IMAGE_NAME.fullmatch(name) or RECORD_NAME.fullmatch(name) or LOG_NAME.fullmatch(name)
        assert known or name == SETTINGS_NAME, f"{name} was left behind"
        if IMAGE_NAME.fullmatch(name):
            images.add(name[:36])
            file = RealFile.open(str(path / name))
            assert check(file) == []
            file.close()
    assert images == found.keys() | hidden
    return found


def ends_old_or_new(prepared: Path, tmp_path: Path, operation: Callable[[FileSr], object]) -> None:
    old = state(prepared)
    whole = tmp_path / "whole"
    shutil.copytree(prepared, whole)
    assert killed_at(0, whole, operation)
    new = state(whole)
    seen = []
    for step in range(1, 1000):
        path = tmp_path / "sr"
        shutil.copytree(prepared, path)
        lived = killed_at(step, path, operation)
        now = state(path)
        assert now in (old, new), f"neither old nor new after step {step}"
        seen.append(now == new)
        if now == old and old != new:
            operation(attach(path))
            assert state(path) == new
        shutil.rmtree(path)
        if lived:
            break
    assert step > 2
    assert seen == sorted(seen), "new, and then old again"


def test_create(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.create(CreateVdi(MADE, 2 * MIB, name_label="new")))


@pytest.mark.slow
def test_clone_with_data_of_its_own(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.clone(PLAIN, MADE))


@pytest.mark.slow
def test_clone_of_an_unwritten_child(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.clone(CLONE, MADE))


@pytest.mark.slow
def test_snapshot(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.snapshot(PLAIN, MADE))


@pytest.mark.slow
def test_snapshot_of_a_tracked_disk(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.snapshot(TRACKED, MADE))


def test_reset(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.reset(PLAIN))


def test_destroy(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.destroy(CLONE))


@pytest.mark.slow
def test_destroy_with_a_change_log(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.destroy(NEWER))


@pytest.mark.slow
def test_destroy_data(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.destroy_data(OLDER))


@pytest.mark.slow
def test_resize_within_the_block_table(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.resize(PLAIN, 6 * MIB))


@pytest.mark.slow
def test_resize_beyond_the_block_table(prepared: Path, tmp_path: Path) -> None:
    ends_old_or_new(prepared, tmp_path, lambda sr: sr.resize(PLAIN, 258 * MIB))


@pytest.mark.slow
def test_change_logs_survive_the_death_of_a_snapshot(prepared: Path, tmp_path: Path) -> None:
    for step in range(1, 1000):
        path = tmp_path / "sr"
        shutil.copytree(prepared, path)
        lived = killed_at(step, path, lambda sr: sr.snapshot(TRACKED, MADE))
        sr = attach(path)
        assert bits(sr.changed_blocks(OLDER, NEWER)) == {2}
        assert bits(sr.changed_blocks(OLDER, TRACKED)) >= {2, 5}
        assert bits(sr.changed_blocks(NEWER, TRACKED)) == {5}
        sr.detach_sr()
        shutil.rmtree(path)
        if lived:
            break


@pytest.mark.slow
def test_change_logs_survive_the_death_of_a_destroy(prepared: Path, tmp_path: Path) -> None:
    for step in range(1, 1000):
        path = tmp_path / "sr"
        shutil.copytree(prepared, path)
        lived = killed_at(step, path, lambda sr: sr.destroy(NEWER))
        sr = attach(path)
        assert bits(sr.changed_blocks(OLDER, TRACKED)) == {2, 5}
        sr.detach_sr()
        shutil.rmtree(path)
        if lived:
            break
