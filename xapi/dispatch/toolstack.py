"""What lives as long as the server does: the rows, the clock, the drivers, who is logged in, what is under way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xapi.datamodel.classes import SR, Host, Pool
from xapi.datamodel.model import Ref
from xapi.db.database import Database
from xapi.dispatch.events import EventFeed
from xapi.dispatch.place import Place
from xapi.dispatch.sessions import Sessions
from xapi.dispatch.tasks import Tasks
from xapi.hypervisor.interface import HypervisorDriver
from xapi.system.clock import Clock


@dataclass(slots=True)
class Toolstack:
    """One running toolstack. Actions reach everything through it; nothing of it is global."""

    db: Database
    clock: Clock
    state: Path
    this_host: Ref[Host]
    sessions: Sessions
    tasks: Tasks
    events: EventFeed
    workers: ThreadPoolExecutor
    hypervisor: HypervisorDriver
    https_port: int = 443
    place: Place = field(default_factory=Place)
    parts: dict[type[Any], Any] = field(default_factory=dict)

    @property
    def pool(self) -> Pool:
        """The one pool."""
        return self.db.all(Pool)[0]

    def tidies_up(self, sr: SR) -> bool:
        """Whether this host is the one to look after an SR: of the hosts that share one it is the pool's master."""
        return not sr.shared or self.pool.master == self.this_host

    def reap(self) -> None:
        """Remove what nobody uses any more: idle sessions, and tasks that ended long ago."""
        self.sessions.reap()
        self.tasks.reap()

    def part(self, kind: type[Any]) -> Any:
        """Something that an action's package has put into the toolstack at start, by its type."""
        return self.parts[kind]
