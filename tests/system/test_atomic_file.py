from __future__ import annotations

import os
import stat
from pathlib import Path
from threading import Barrier, Thread

import pytest

from xapi.system.atomic_file import create_once, write_atomically


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_replaces_content_and_mode(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)
    write_atomically(path, b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.mkdir()  # a file cannot replace a directory
    with pytest.raises(OSError, match="directory"):
        write_atomically(path, b"new")
    assert os.listdir(tmp_path) == ["file"]


def test_create_once_keeps_what_is_there(tmp_path):
    path = tmp_path / "file"
    assert create_once(path, b"first")
    assert not create_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert mode(path) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_of_many_creators_one_wins_and_all_see_a_whole_file(tmp_path):
    path = tmp_path / "file"
    barrier = Barrier(8)
    made: list[int] = []
    seen: list[bytes] = []

    def create(number: int) -> None:
        barrier.wait()
        if create_once(path, str(number).encode() * 1000):
            made.append(number)
        seen.append(path.read_bytes())

    threads = [Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert set(seen) == {str(made[0]).encode() * 1000}
