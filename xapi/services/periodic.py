"""Work that is done again and again, in a thread of its own; the one place where a service survives its failures."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from threading import Event, Thread, get_native_id

from xapi.datamodel.model import Entity
from xapi.db.database import Database

LOG = logging.getLogger("xapi.services")


def attempt(work: Callable[[], object], what: str, *names: object) -> bool:
    """Do a part of a service's work, and say whether it went well: a failure is logged, and the service goes on.

    `what` tells in the log which part it was, with `names` in the place of its `%s`.
    """
    try:
        work()
    except Exception:
        LOG.exception(f"{what} failed", *names)
        return False
    return True


class Periodic:
    """Calls a function every so many seconds until it is stopped; a failure is logged, and the next turn comes.

    Seconds that may change are given as a function, which is asked before each pause; None is a pause that only news
    end. News are changes of rows: see `follow`.
    """

    def __init__(
        self,
        name: str,
        seconds: float | Callable[[], float | None],
        work: Callable[[], object],
        *,
        settle: float = 0.0,
        niceness: int = 0,
    ) -> None:
        """`settle` are seconds between news and the work, in which more of them come; `niceness` is the thread's."""
        self._name = name
        self._seconds = seconds if callable(seconds) else lambda: seconds
        self._work = work
        self._settle = settle
        self._niceness = niceness
        self._news = Event()
        self._forget: Callable[[], None] = lambda: None
        self.stopping = Event()  # for work that takes long, and can end early
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def follow(self, database: Database, *classes: type[Entity]) -> None:
        """Take a turn whenever rows of the classes change; to be called before `start`."""
        self._forget = database.waiters.add([(entity, "") for entity in classes], self.wake)

    def wake(self) -> None:
        """Let the next turn come now."""
        self._news.set()

    def start(self) -> None:
        """Begin; the first turn comes after the first pause."""
        self._thread.start()

    def stop(self) -> None:
        """End after the turn that is under way."""
        self._forget()
        self.stopping.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()

    def turn(self) -> bool:
        """Take a turn on the caller's thread, and say whether it went well."""
        return attempt(self._work, "a turn of the service %s", self._name)

    def _run(self) -> None:
        if self._niceness:
            os.setpriority(os.PRIO_PROCESS, get_native_id(), self._niceness)
        while True:
            self._news.wait(self._seconds())
            if self.stopping.wait(self._settle):
                return
            self._news.clear()
            self.turn()
