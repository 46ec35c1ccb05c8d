"""What changed since when, and who waits to be told.

Every published transaction has a generation, a number that only grows. For each class there is a log of (generation,
reference) of changed objects and one of destroyed ones; both are bounded. A log of changes that has forgotten its
beginning is made good by looking at every row's own generation; a forgotten destruction cannot be made good, so the
reader is told that events were lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock

from xapi.datamodel.model import Entity

LOG_LENGTH = 20_000
DESTROYED_LENGTH = 20_000


class EventsLost(Exception):
    """The reader asked for changes older than what is remembered."""


@dataclass(frozen=True, slots=True)
class Destroyed:
    """An object that is gone: when it was made and when it went."""

    ref: str
    created: int
    generation: int


Wake = Callable[[], None]
Key = tuple[type[Entity], str]  # an empty reference stands for the whole class


class ClassLog:
    """The recent changes of one class."""

    __slots__ = ("changed", "destroyed", "forgotten", "horizon")

    def __init__(self, start: int) -> None:
        self.changed: deque[tuple[int, str]] = deque(maxlen=LOG_LENGTH)
        self.destroyed: deque[Destroyed] = deque(maxlen=DESTROYED_LENGTH)
        self.forgotten = start  # changes up to this generation may be missing from the log
        self.horizon = start  # destructions up to this generation may be missing

    def note_change(self, generation: int, ref: str) -> None:
        """Remember that an object was made or changed."""
        if len(self.changed) == LOG_LENGTH:
            self.forgotten = self.changed[0][0]
        self.changed.append((generation, ref))

    def note_destruction(self, destroyed: Destroyed) -> None:
        """Remember that an object is gone."""
        if len(self.destroyed) == DESTROYED_LENGTH:
            self.horizon = self.destroyed[0].generation
        self.destroyed.append(destroyed)

    def changed_since(self, generation: int) -> list[str] | None:
        """The objects changed after `generation`, each once, latest first; None when the log does not reach back."""
        if generation < self.forgotten:
            return None
        seen: dict[str, None] = {}
        for when, ref in reversed(self.changed):
            if when <= generation:
                break
            seen[ref] = None
        return list(seen)

    def destroyed_since(self, generation: int) -> list[Destroyed]:
        """The objects destroyed after `generation`, latest first; EventsLost when that is forgotten."""
        if generation < self.horizon:
            raise EventsLost
        gone: list[Destroyed] = []
        for destroyed in reversed(self.destroyed):
            if destroyed.generation <= generation:
                break
            gone.append(destroyed)
        return gone


class Waiters:
    """Who is to be woken when an object or any object of a class changes. A wake must be quick and must not fail."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_key: dict[Key, set[Wake]] = {}

    def add(self, keys: Iterable[Key], wake: Wake) -> Callable[[], None]:
        """Register `wake` for the keys; the answer takes it away again."""
        wanted = tuple(keys)
        with self._lock:
            for key in wanted:
                self._by_key.setdefault(key, set()).add(wake)

        def forget() -> None:
            with self._lock:
                for key in wanted:
                    waiting = self._by_key.get(key)
                    if waiting is not None:
                        waiting.discard(wake)
                        if not waiting:
                            del self._by_key[key]

        return forget

    def wake(self, changed: Iterable[Key]) -> None:
        """Wake everybody who asked for one of the objects or for its class."""
        with self._lock:
            if not self._by_key:
                return
            woken: set[Wake] = set()
            for entity, ref in changed:
                woken |= self._by_key.get((entity, ref), set())
                woken |= self._by_key.get((entity, ""), set())
        for wake in woken:
            wake()
