"""The simulator's memory across restarts of the toolstack: lines of JSON, appended, compacted when they grow.

A line is written with one ``write()`` and without fsync: the simulated machine does not lose its power when the
toolstack dies, and what the kernel took is not lost by a kill. A torn last line, which a kill may leave, is cut off.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xapi.hypervisor.interface import StateUnusable
from xapi.hypervisor.simulator.codec import decode, encode

SMALLEST_LIMIT = 8 * 1024 * 1024


class Journal:
    """One append-only file in a directory that no other process may use at the same time."""

    def __init__(self, directory: Path, smallest_limit: int = SMALLEST_LIMIT) -> None:
        self._path = directory / "journal"
        self._smallest_limit = smallest_limit
        self._limit = smallest_limit
        self._size = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateUnusable(str(directory), error.strerror or "cannot be opened") from error
        try:
            self._file = self._open_locked()
        except BaseException:
            os.close(self._lock)
            raise

    def _open_locked(self) -> int:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except BlockingIOError as error:
            raise StateUnusable(str(self._path.parent), "another process uses this directory") from error
        except OSError as error:
            raise StateUnusable(str(self._path), error.strerror or "cannot be opened") from error

    @property
    def is_large(self) -> bool:
        """Whether it has grown so much that a rewrite pays."""
        return self._size > self._limit

    def read(self) -> list[Any]:
        """Every line's value, in order; cuts a torn last line off; raises StateUnusable for damage elsewhere."""
        data = self._path.read_bytes()
        whole, newline, _torn = data.rpartition(b"\n")
        keep = len(whole) + len(newline)
        if keep != len(data):
            os.ftruncate(self._file, keep)
        self._size = keep
        values = []
        for number, line in enumerate(whole.split(b"\n") if whole else (), 1):
            try:
                values.append(decode(line))
            except ValueError as error:
                raise StateUnusable(str(self._path), f"line {number} is damaged: {error}") from error
        return values

    def append(self, value: object) -> None:
        """Add one line, wholly or not at all; raises StateUnusable when the disk refuses."""
        line = encode(value) + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise StateUnusable(str(self._path), error.strerror or "cannot be written") from error
        if written != len(line):
            os.ftruncate(self._file, self._size)
            raise StateUnusable(str(self._path), "no space is left for the journal")
        self._size += written

    def rewrite(self, values: Iterable[object]) -> None:
        """Replace all lines by these; a kill leaves either the old file or the new one."""
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(b"".join(encode(value) + b"\n" for value in values))
            opened = os.open(fresh, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            fresh.replace(self._path)
        except OSError as error:
            raise StateUnusable(str(fresh), error.strerror or "cannot be written") from error
        os.close(self._file)
        self._file = opened
        self._size = os.fstat(opened).st_size
        self._limit = max(self._smallest_limit, 4 * self._size)

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._file)
        os.close(self._lock)
