"""The threads that serve connections: few while they suffice, more when calls hold them."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from xapi.rpc.http_connection import Connection

log = logging.getLogger(__name__)

EAGER = 4  # threads that work at once without further thought: enough for short calls, which share one interpreter
_PATIENCE = 10.0  # seconds without work after which a worker ends


class Workers:
    """A pool of daemon threads that serve connections.

    A worker that is called serves connections until none is left. Up to EAGER of them are called as connections come;
    further ones only when the connections would wait for long, for in a burst of short calls more threads would do
    nothing but fight for the interpreter. So whoever submits must `look` from time to time while the pool is `short`.
    """

    def __init__(self, name: str, minimum: int, maximum: int) -> None:
        self._name = name
        self._minimum = minimum
        self._maximum = maximum
        self._lock = threading.Lock()
        self._waiting: deque[Connection] = deque()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()  # each for one worker: to work, or to end
        self._called = 0  # workers that have not heard of it yet
        self._working = 0  # workers that were called and have not gone to rest or aside
        self._aside = 0  # workers that wait for their turn
        self._served = 0  # connections, since the last look
        self._started = 0
        self._threads: set[threading.Thread] = set()
        self._stopped = False

    @property
    def count(self) -> int:
        """How many threads there are."""
        return len(self._threads)

    @property
    def short(self) -> bool:
        """Whether a connection waits, and no worker was called for it."""
        return len(self._waiting) > self._called

    def submit(self, connection: Connection) -> None:
        """Let a worker serve the connection; one that comes after the end is closed."""
        with self._lock:
            stopped = self._stopped
            if not stopped:
                self._waiting.append(connection)
                fresh = self._call(1) if self._working < EAGER else []
        if stopped:
            connection.close()
        else:
            self._begin(fresh)

    def look(self) -> None:
        """Call more workers for the connections that wait, if twice the time since the last look would not do."""
        fresh: list[threading.Thread] = []
        with self._lock:
            lacking = len(self._waiting) - self._called
            if self._served * 2 < lacking and not self._stopped:
                # At most as many again: a pool that is held by long calls grows fast enough.
                fresh = self._call(min(lacking, max(EAGER, self._working)))
            self._served = 0
        self._begin(fresh)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let another work in the place of this worker, which does nothing but wait inside."""
        with self._lock:
            self._working -= 1
            self._aside += 1
            fresh = self._call(1) if self._working < EAGER and self.short else []
        self._begin(fresh)
        try:
            yield
        finally:
            with self._lock:
                self._working += 1
                self._aside -= 1

    def _call(self, count: int) -> list[threading.Thread]:
        """Call workers, and make those that there are not yet, as far as may be; those are to begin."""
        count = min(count, self._maximum - self._working - self._aside)
        self._working += count
        self._called += count
        fresh: list[threading.Thread] = []
        for _ in range(count):
            self._calls.put(True)
        for _ in range(self._working + self._aside - len(self._threads)):
            self._started += 1
            fresh.append(threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True))
            self._threads.add(fresh[-1])
        return fresh

    def _begin(self, fresh: list[threading.Thread]) -> None:
        for thread in fresh:
            try:
                thread.start()
            except RuntimeError as error:
                log.error("no thread for a connection, which must wait for another: %s", error)
                with self._lock:
                    self._threads.discard(thread)

    def stop(self, seconds: float) -> bool:
        """End the workers that are free; say whether all ended in time."""
        with self._lock:
            self._stopped = True
            threads = list(self._threads)
        for _ in threads:
            self._calls.put(False)
        until = time.monotonic() + seconds
        for thread in threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _work(self) -> None:
        while self._heard():
            while (connection := self._next()) is not None:
                connection.serve()
                del connection  # a resting worker keeps nothing alive

    def _heard(self) -> bool:
        """Rest until called; False when this worker is to end."""
        while True:
            try:
                wanted = self._calls.get(timeout=_PATIENCE)
            except queue.Empty:
                with self._lock:
                    if max(self._minimum, self._working + self._aside) < len(self._threads):
                        self._threads.discard(threading.current_thread())
                        return False
                continue
            with self._lock:
                if wanted:
                    self._called -= 1
                else:
                    self._threads.discard(threading.current_thread())
            return wanted

    def _next(self) -> Connection | None:
        """The connection that waits for longest, or None, and this worker goes to rest."""
        with self._lock:
            if self._waiting:
                self._served += 1
                return self._waiting.popleft()
            self._working -= 1
            return None
