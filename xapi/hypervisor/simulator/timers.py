"""Things that a guest will do later: one heap, and at most one thread."""

import heapq
import logging
import threading
from collections.abc import Callable

from xapi.hypervisor.interface import HypervisorError
from xapi.system.clock import Clock

log = logging.getLogger(__name__)
Sleep = Callable[[float], None]
_POLL = 0.25  # seconds between two looks at a caller's wish to cancel
_FAKE_POLL = 10.0  # the same, when seconds cost nothing


class Timers:
    """Calls back when time has come.

    With ``sleep`` (a fake clock's ``advance``) there is no thread: time passes only in ``wait``, or when
    ``run_due`` is called after the clock was moved.
    """

    def __init__(self, clock: Clock, sleep: Sleep | None = None) -> None:
        self._clock = clock
        self._sleep = sleep
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._closed = False

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Perform the action once, not before this many seconds have passed."""
        with self._changed:
            self._count += 1
            entry = (self._clock.monotonic() + max(0.0, seconds), self._count, action)
            heapq.heappush(self._heap, entry)
            if self._sleep is None and self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="simulator-timers", daemon=True)
                self._thread.start()
            if self._heap[0] is entry:
                self._changed.notify_all()

    def run_due(self) -> None:
        """Perform everything whose time has come."""
        while True:
            with self._changed:
                if not self._heap or self._heap[0][0] > self._clock.monotonic():
                    return
                action = heapq.heappop(self._heap)[2]
            try:
                action()
            except HypervisorError:
                log.exception("a simulated guest could not go on")

    def wait(self, done: threading.Event, seconds: float, cancelled: Callable[[], bool]) -> bool:
        """Wait until ``done`` is set, time is over or the caller cancels; answers whether it was set."""
        deadline = self._clock.monotonic() + seconds
        while not done.is_set():
            left = deadline - self._clock.monotonic()
            if left <= 0 or cancelled():
                return False
            if self._sleep is None:
                done.wait(min(left, _POLL))
            else:
                with self._changed:
                    due = self._heap[0][0] if self._heap else deadline
                self._sleep(max(0.0, min(due - self._clock.monotonic(), left, _FAKE_POLL)))
                self.run_due()
        return True

    def close(self) -> None:
        """Forget everything and end the thread."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                left = self._heap[0][0] - self._clock.monotonic() if self._heap else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
            self.run_due()
