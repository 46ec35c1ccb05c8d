"""Work that is done again and again, in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

LOG = logging.getLogger("xapi.services")


class Periodic:
    """Calls a function every so many seconds until it is stopped; a failure is logged, and the next turn comes.

    Seconds that may change are given as a function, which is asked before each pause.
    """

    def __init__(self, name: str, seconds: float | Callable[[], float], work: Callable[[], object]) -> None:
        self._name = name
        self._seconds = seconds if callable(seconds) else lambda: seconds
        self._work = work
        self._stopping = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first turn comes after the first pause."""
        self._thread.start()

    def stop(self) -> None:
        """End after the turn that is under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds()):
            try:
                self._work()
            except Exception:
                LOG.exception("%s failed; it will try again in %s seconds", self._name, self._seconds())
