"""The memory of something simulated across restarts: lines in a file, appended, rewritten when there are many.

A line is written with one `write()` and without fsync: what is simulated does not lose its power when the toolstack
dies, and what the kernel took is not lost by a kill. A torn last line, which a kill may leave, is cut off.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

SMALLEST_LIMIT = 8 * 1024 * 1024


class Journal:
    """One append-only file that no other process may use at the same time, as a lock beside it sees to.

    `encode` and `decode` (which raises ValueError for damage) make lines of values, without a line break in them.
    `unusable` makes the exception for what cannot be opened, read or written, from the path and the reason.
    """

    def __init__(
        self,
        path: Path,
        lock: Path,
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
        unusable: Callable[[str, str], Exception],
        smallest_limit: int = SMALLEST_LIMIT,
    ) -> None:
        self._path = path
        self._encode = encode
        self._decode = decode
        self._unusable = unusable
        self._smallest_limit = smallest_limit
        self._limit = smallest_limit
        self._size = 0
        with ExitStack() as stack:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                stack.callback(os.close, self._lock)
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except BlockingIOError as error:
                raise unusable(str(path.parent), "another process uses this directory") from error
            except OSError as error:
                raise unusable(str(path), error.strerror or "cannot be opened") from error
            stack.pop_all()

    @property
    def is_large(self) -> bool:
        """Whether it has grown so much that a rewrite pays."""
        return self._size > self._limit

    def read(self) -> list[Any]:
        """Every line's value, in order; cuts a torn last line off; damage elsewhere makes the journal unusable."""
        data = self._path.read_bytes()
        whole, newline, _torn = data.rpartition(b"\n")
        keep = len(whole) + len(newline)
        if keep != len(data):
            os.ftruncate(self._file, keep)
        self._size = keep
        values = []
        for number, line in enumerate(whole.split(b"\n") if whole else (), 1):
            try:
                values.append(self._decode(line))
            except ValueError as error:
                raise self._unusable(str(self._path), f"line {number} is damaged: {error}") from error
        return values

    def append(self, value: object) -> None:
        """Add one line, wholly or not at all."""
        line = self._encode(value) + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise self._unusable(str(self._path), error.strerror or "cannot be written") from error
        if written != len(line):
            os.ftruncate(self._file, self._size)
            raise self._unusable(str(self._path), "no space is left for the journal")
        self._size += written

    def rewrite(self, values: Iterable[object]) -> None:
        """Replace all lines by these; a kill leaves either the old file or the new one."""
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(b"".join(self._encode(value) + b"\n" for value in values))
            opened = os.open(fresh, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            fresh.replace(self._path)
        except OSError as error:
            raise self._unusable(str(fresh), error.strerror or "cannot be written") from error
        os.close(self._file)
        self._file = opened
        self._size = os.fstat(opened).st_size
        self._limit = max(self._smallest_limit, 4 * self._size)

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._file)
        os.close(self._lock)
