"""One operation at a time on the chains of an SR: among the threads of this process, and among hosts that share it.

An operation that fails half-way may leave something behind that only the next one can mend, when the fault is over. So
the lock remembers that there was trouble, and has things settled before it lets the next operation in.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from xapi.storage.errors import StorageFailure
from xapi.storage.file.directory import LOCK_NAME, Directory
from xapi.storage.vhd.errors import VhdError


def nothing_to_settle() -> bool:
    """Say that all is settled."""
    return True


class SrLock:
    """A lock that the same thread may take again; with `shared`, it is a lock on a file in the directory too.

    `settle` finishes or takes back what was cut short and says whether that could be done; it is called, with the lock
    held, before the first operation and before each that follows trouble.
    """

    def __init__(self, directory: Directory, shared: bool, settle: Callable[[], bool] = nothing_to_settle) -> None:
        self._directory = directory
        self._path = os.path.join(directory.path, LOCK_NAME)
        self._shared = shared
        self._settle = settle
        self._settled = False
        self._thread = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock inside; errors of the system, and SrUnavailable if the directory goes away meanwhile."""
        with self._thread, ExitStack() as stack:
            if self._depth:
                stack.enter_context(self._counted())
                yield
                return
            self._directory.check()
            if self._shared:
                stack.enter_context(self._file_locked())
            stack.enter_context(self._counted())
            with self._watched():
                if not self._settled:
                    self._settled = self._settle()
                yield

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    @contextmanager
    def _file_locked(self) -> Iterator[None]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # A byte-range lock reaches the server of a network file system; closing the file gives it up.
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Remember trouble; when the directory has gone, that is what is said, whatever came of it."""
        try:
            yield
        except (OSError, VhdError):
            self._settled = False
            self._directory.check()
            raise
        except StorageFailure as failure:
            if isinstance(failure.__cause__, OSError | VhdError):
                self._settled = False
            self._directory.check()
            raise
        except BaseException:
            self._settled = False
            raise
        try:
            self._directory.check()
        except StorageFailure:
            self._settled = False
            raise
