"""The two halves of a transfer at the same time: one thread has the connection, a second one the disk.

Receiving and sending, checksums, reading and writing all let other threads run, so that two threads use two cores. A
few buffers go to and fro between them, which bounds the memory whatever the speed of either side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from mmap import mmap
from typing import Final, Generic, TypeVar

T = TypeVar("T")
MOST: Final = 4 << 20
"""The bytes in buffers that are in use at the same time, unless a single one is larger."""


class Overlap(Generic[T]):
    """Jobs that a second thread does one after the other, each with a buffer that is its own until it is done.

    As a context manager: leaving it waits for the job under way and drops those behind it, so that nobody uses a disk
    that is closed then. What a job raises, `oldest` raises on the first thread, and so do `buffer` and `finish`.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held = 0
        self._free: list[memoryview] = []
        self._under_way: deque[tuple[Future[T], memoryview]] = deque()
        self._second = ThreadPoolExecutor(1, "transfer")

    def __enter__(self) -> Overlap[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._second.shutdown(wait=True, cancel_futures=True)
        self._under_way.clear()
        self._free.clear()

    def __len__(self) -> int:
        """How many jobs are under way."""
        return len(self._under_way)

    def has_room(self, size: int) -> bool:
        """Whether there is a buffer of this size without waiting for a job."""
        return not self._under_way or self._held + size <= self._most or any(len(one) >= size for one in self._free)

    def buffer(self, size: int) -> memoryview:
        """A buffer of at least this size that nobody uses; waits for the oldest job where there is none."""
        while not self.has_room(size):
            self.give_back(self.oldest()[1])
        for place, one in enumerate(self._free):
            if len(one) >= size:
                return self._free.pop(place)
        self._held += size - sum(map(len, self._free))
        self._free.clear()  # they are too small, and the next ones will hardly be smaller
        return memoryview(mmap(-1, size))  # unlike what the allocator has, the system gets it back at the end

    def give_back(self, buffer: memoryview) -> None:
        """Take a buffer back that its user is done with."""
        self._free.append(buffer)

    def begin(self, job: Callable[[memoryview], T], buffer: memoryview) -> None:
        """Let the second thread do a job once it has done those before."""
        self._under_way.append((self._second.submit(job, buffer), buffer))

    def oldest(self) -> tuple[T, memoryview]:
        """Wait for the oldest job; return its result, and its buffer, which is the caller's now."""
        future, buffer = self._under_way.popleft()
        return future.result(), buffer

    def finish(self) -> None:
        """Wait for all jobs."""
        while self._under_way:
            self.give_back(self.oldest()[1])
