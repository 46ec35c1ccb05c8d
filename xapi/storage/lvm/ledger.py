"""What this host has begun below its SRs, such as sessions and maps: who lets go of it last ends it.

Only what was begun here is ended here; what was there before stays. What was begun is kept in files, so that a
toolstack that starts anew can end it too; after a boot nothing of that is there any more, and the files say nothing.
What an earlier toolstack has begun may be below guests that run: a probe of it, or an attempt to attach it that fails,
must not end it. Who has attached it adopts it, and then it ends as what was begun here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from xapi.storage.errors import StorageFailure
from xapi.system.atomic_file import write_atomically
from xapi.system.undo import on_failure

BOOT = Path("/proc/sys/kernel/random/boot_id")


class Ledger:
    """Things of one kind, by their names; each is begun and ended under a lock of its own."""

    def __init__(self, directory: Path, boot: Path = BOOT) -> None:
        self._directory = directory
        self._boot = boot
        self._users: Counter[str] = Counter()
        self._to_end: set[str] = set()
        self._lock = Lock()
        self._turns: defaultdict[str, Lock] = defaultdict(Lock)

    def _turn(self, name: str) -> Lock:
        with self._lock:
            return self._turns[name]

    def _mark(self, name: str) -> Path:
        return self._directory / quote(name, safe="")

    def is_ours(self, name: str) -> bool:
        """Whether a thing was begun here since this host has booted, and is not ended yet."""
        try:
            return self._mark(name).read_bytes() == self._boot.read_bytes()
        except FileNotFoundError:
            return False

    def hold(self, name: str, is_there: Callable[[], bool], begin: Callable[[], object]) -> None:
        """Use a thing, which is begun unless it is there; whoever holds it lets go of it once."""
        with self._turn(name):
            if not is_there():
                self._begin(name, begin)
            self._users[name] += 1

    def _begin(self, name: str, begin: Callable[[], object]) -> None:
        # Noted first: a toolstack that is killed in between would know nothing of it.
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            write_atomically(self._mark(name), self._boot.read_bytes(), 0o600)
        except OSError as error:
            raise StorageFailure(f"{self._directory}: {error.strerror}", 200) from error
        with on_failure(self._mark(name).unlink, missing_ok=True):
            begin()
        self._to_end.add(name)

    def adopt(self, name: str) -> None:
        """Have a thing end with its last use that an earlier toolstack has begun; one that is not ours stays."""
        with self._turn(name):
            if self.is_ours(name):
                self._to_end.add(name)

    def let_go(self, name: str, end: Callable[[], object]) -> None:
        """Use a thing no more; the last to say so ends it, if it was begun here. If that fails it stays ours."""
        with self._turn(name):
            self._users[name] -= 1
            if self._users[name] == 0 and name in self._to_end:
                end()
                self._to_end.discard(name)
                self._mark(name).unlink(missing_ok=True)

    def leave(self, name: str) -> None:
        """Use a thing no more, and let it go on: it stays ours, and the next to let go of it ends it."""
        with self._turn(name):
            self._users[name] -= 1
