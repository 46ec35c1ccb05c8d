"""A process that is killed at any write of any operation leaves the old state or the new, and nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storage.faults.operations import NEWER, OLDER, ON_RAW, ON_RAW_TOO, OPERATIONS, SR, TRACKED, fresh, furnish
from tests.storage.faults.operations import Operation as Described
from tests.storage.faults.state import State, assert_clean, state, unnamed
from xapi.storage.contract import bits
from xapi.storage.file.driver import FileDriver
from xapi.storage.file.repository import FileSr

Operation = Callable[[FileSr], object]
KILLED = 9
CHANGING = ("write", "pwrite", "pwritev", "ftruncate", "rename", "replace", "link", "unlink", "fsync")
CHANGES = [one for one in OPERATIONS if one.changes and not one.written and one.name != "coalesce"]
QUICK = {"create", "destroy", "reset", "snapshot raw"}


def attach(path: Path) -> FileSr:
    return FileDriver().attach(SR, {"location": str(path)}, {})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "sr"
    FileDriver().create(SR, {"location": str(path)}, 0, "user", {})
    sr = attach(path)
    furnish(sr)
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


def found_in(path: Path) -> State:
    """Attach, check that everything is in order, and return what each disk is and holds."""
    sr = attach(path)
    found = state(sr)
    sr.detach_sr()
    assert_clean(path)
    return found


def ends_old_or_new(prepared: Path, tmp_path: Path, operation: Operation) -> None:
    old = unnamed(found_in(prepared))
    whole = tmp_path / "whole"
    shutil.copytree(prepared, whole)
    assert killed_at(0, whole, operation)
    new = unnamed(found_in(whole))
    seen = []
    for step in range(1, 1000):
        path = tmp_path / "sr"
        shutil.copytree(prepared, path)
        lived = killed_at(step, path, operation)
        now = unnamed(found_in(path))
        assert now in (old, new), f"neither old nor new after step {step}"
        seen.append(now == new)
        if now == old and old != new:
            operation(attach(path))
            assert unnamed(found_in(path)) == new
        shutil.rmtree(path)
        if lived:
            break
    assert step > 1, "nothing was killed"
    assert seen == sorted(seen), "new, and then old again"


@pytest.mark.parametrize(
    "operation",
    [pytest.param(one, marks=() if one.name in QUICK else pytest.mark.slow) for one in CHANGES],
    ids=lambda one: one.name.replace(" ", "-"),
)
def test_killed_at_every_write(prepared: Path, tmp_path: Path, operation: Described) -> None:
    ends_old_or_new(prepared, tmp_path, operation.do)


@pytest.mark.slow
def test_killed_while_all_that_is_on_a_raw_disk_is_destroyed(prepared: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(prepared, alone)
    attach(alone).destroy(ON_RAW)
    ends_old_or_new(alone, tmp_path, lambda sr: sr.destroy(ON_RAW_TOO))


@pytest.mark.slow
def test_change_logs_survive_the_death_of_a_snapshot(prepared: Path, tmp_path: Path) -> None:
    for step in range(1, 1000):
        path = tmp_path / "sr"
        shutil.copytree(prepared, path)
        lived = killed_at(step, path, lambda sr: sr.snapshot(TRACKED, fresh()))
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
