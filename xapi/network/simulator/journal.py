"""The simulated network's memory across restarts of the toolstack: lines of JSON, appended, made short at each start.

A line is written with one `write()` and without fsync: the simulated host does not lose its power when the toolstack
dies. A torn last line, which a kill may leave, is cut off.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from xapi.network.interface import StateUnusable


class Journal:
    """One append-only file in a directory that no other process may use at the same time."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "network"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._lock = os.open(directory / "network.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateUnusable(str(self._path), error.strerror or "cannot be opened") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise StateUnusable(str(self._path), "another process uses it") from error

    def read(self) -> list[dict[str, Any]]:
        """Every line's value, in order; a torn last line is dropped; raises StateUnusable for damage elsewhere."""
        whole, _, _torn = self._path.read_bytes().rpartition(b"\n")
        values: list[dict[str, Any]] = []
        for number, line in enumerate(whole.split(b"\n") if whole else (), 1):
            try:
                values.append(orjson.loads(line))
            except ValueError as error:
                raise StateUnusable(str(self._path), f"line {number} is damaged: {error}") from error
        return values

    def append(self, value: dict[str, Any]) -> None:
        """Add one line; raises StateUnusable when the disk refuses."""
        line = orjson.dumps(value) + b"\n"
        try:
            end = os.lseek(self._file, 0, os.SEEK_END)
            written = os.write(self._file, line)
            if written != len(line):
                os.ftruncate(self._file, end)
                raise StateUnusable(str(self._path), "no space is left")
        except OSError as error:
            raise StateUnusable(str(self._path), error.strerror or "cannot be written") from error

    def rewrite(self, values: Iterable[dict[str, Any]]) -> None:
        """Replace all lines by these; a kill leaves either the old file or the new one."""
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(b"".join(orjson.dumps(value) + b"\n" for value in values))
            opened = os.open(fresh, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            fresh.replace(self._path)
        except OSError as error:
            raise StateUnusable(str(fresh), error.strerror or "cannot be written") from error
        os.close(self._file)
        self._file = opened

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._file)
        os.close(self._lock)
