"""One operation at a time on the chains of an SR: among the threads of this process, and among hosts that share it."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from xapi.storage.file.directory import LOCK_NAME, Directory


class SrLock:
    """A lock that the same thread may take again; with `shared`, it is a lock on a file in the directory too."""

    def __init__(self, directory: Directory, shared: bool) -> None:
        self._path = os.path.join(directory.path, LOCK_NAME)
        self._shared = shared
        self._thread = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock inside; errors of the system if the file cannot be locked."""
        with self._thread:
            if not self._shared or self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                # A byte-range lock reaches the server of a network file system; closing the file gives it up.
                fcntl.lockf(descriptor, fcntl.LOCK_EX)
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
            finally:
                os.close(descriptor)
