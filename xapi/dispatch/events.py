"""Calls that wait for something to change, without holding a thread each.

A waiting call is an *attempt*: a function that answers the outcome, or None while there is nothing to tell. One thread
runs the attempts of whoever was woken by a change or whose time has come.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable
from threading import Condition, Thread
from typing import Any

from xapi.db.changes import Key
from xapi.db.database import Database
from xapi.rpc.call import Outcome, Waiting
from xapi.system.clock import Clock

FEW = 64  # timers that may be kept for nothing

Attempt = Callable[[bool], Outcome | None]  # told whether this is the last one


class _Waiter:
    __slots__ = ("attempt", "deadline", "deliver", "done", "forget", "queued")

    def __init__(self, attempt: Attempt, deliver: Callable[[Outcome], None], deadline: float) -> None:
        self.attempt = attempt
        self.deliver = deliver
        self.deadline = deadline
        self.queued = False
        self.done = False
        self.forget: Callable[[], None] = lambda: None


class EventFeed:
    """Who waits for which changes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._woken: deque[_Waiter] = deque()
        self._timers: list[tuple[float, int, _Waiter]] = []
        self._over = 0  # of the timers, those whose waiter is done
        self._numbers = itertools.count()
        self._changed = Condition()
        self._asleep = False
        self._stopping = False
        self._kept: tuple[int, dict[Any, Any]] = (-1, {})
        self._thread = Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to serve those who wait."""
        self._thread.start()

    def stop(self) -> None:
        """Let everybody who still waits go without an answer."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def kept(self, generation: int) -> dict[Any, Any]:
        """A place for answers that others who ask the same may share; it is empty again after the next change."""
        kept = self._kept
        if kept[0] != generation:
            kept = self._kept = (generation, {})
        return kept[1]

    def wait(self, keys: Iterable[Key], seconds: float, attempt: Attempt, seen: int) -> Waiting:
        """Wait for a change of the keys until `attempt` has an outcome, or the seconds have passed.

        `seen` is a generation up to which there is nothing to tell.
        """
        deadline = self._clock.monotonic() + seconds if math.isfinite(seconds) else math.inf

        def begin(deliver: Callable[[Outcome], None]) -> Callable[[], None]:
            waiter = _Waiter(attempt, deliver, deadline)
            waiter.forget = self._database.waiters.add(keys, lambda: self._wake(waiter))
            with self._changed:
                if deadline is not math.inf:
                    heapq.heappush(self._timers, (deadline, next(self._numbers), waiter))
                    if self._timers[0][2] is waiter:
                        self._changed.notify()
            if self._database.generation != seen:
                # Something may have changed before the waiter was registered, so it looks once more.
                self._wake(waiter)

            def cancel() -> None:
                self._finish(waiter)

            return cancel

        return Waiting(begin)

    def _wake(self, waiter: _Waiter) -> None:
        # Without the lock, as one change may wake hundreds. Whoever falls asleep says so before the last look.
        if not waiter.queued:
            waiter.queued = True
            self._woken.append(waiter)
            if self._asleep:
                with self._changed:
                    self._changed.notify()

    def _finish(self, waiter: _Waiter) -> None:
        waiter.forget()
        with self._changed:
            if waiter.done:
                return
            waiter.done = True
            if waiter.deadline is not math.inf:
                self._over += 1
                if self._over > FEW and self._over * 2 > len(self._timers):
                    # Without this, whoever waits an hour and is told at once would be remembered for an hour.
                    self._timers = [timer for timer in self._timers if not timer[2].done]
                    heapq.heapify(self._timers)
                    self._over = 0

    def _next(self) -> tuple[_Waiter, bool] | None:
        """The waiter to look after now and whether its time has come; None when stopping."""
        while not self._stopping:
            if self._woken:
                waiter = self._woken.popleft()
                waiter.queued = False
                return waiter, False
            timed_out = self._rest()
            if timed_out is not None:
                return timed_out, True
        return None

    def _rest(self) -> _Waiter | None:
        """Sleep until somebody is woken or has waited long enough; answer the latter, if it was that."""
        with self._changed:
            self._asleep = True
            try:
                seconds = None
                while self._timers:
                    deadline, _, waiter = self._timers[0]
                    if not waiter.done:
                        seconds = deadline - self._clock.monotonic()
                        if seconds > 0:
                            break
                    heapq.heappop(self._timers)
                    if not waiter.done:
                        waiter.deadline = math.inf
                        return waiter
                    self._over -= 1
                    seconds = None
                if not self._woken and not self._stopping:
                    self._changed.wait(seconds)
            finally:
                self._asleep = False
        return None

    def _run(self) -> None:
        while True:
            turn = self._next()
            if turn is None:
                return
            waiter, last = turn
            if waiter.done:
                continue
            outcome = waiter.attempt(last)
            if outcome is not None:
                self._finish(waiter)
                waiter.deliver(outcome)
