"""What an action is given besides its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from xapi.datamodel.classes import Host, Pool
from xapi.datamodel.model import Ref
from xapi.db.database import Database, Transaction
from xapi.rpc.call import Call
from xapi.rpc.forms import XML, Form
from xapi.rpc.http_message import Peer

if TYPE_CHECKING:
    from xapi.dispatch.sessions import Session
    from xapi.dispatch.tasks import TaskInHand
    from xapi.dispatch.toolstack import Toolstack


@dataclass(slots=True)
class Context:
    """One call under way: the toolstack it runs in, who called, and the task that tells of it."""

    toolstack: Toolstack
    session: Session
    task: TaskInHand
    form: Form = XML
    peer: Peer = field(default_factory=lambda: Peer(local=True))
    call: Call | None = None

    @property
    def db(self) -> Database:
        """The rows."""
        return self.toolstack.db

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Change rows; see `Database.transaction`."""
        return self.toolstack.db.transaction()

    def now(self) -> datetime:
        """The moment, in UTC."""
        return self.toolstack.clock.now()

    @property
    def this_host(self) -> Ref[Host]:
        """The host that this toolstack runs on."""
        return self.toolstack.this_host

    @property
    def pool(self) -> Pool:
        """The one pool."""
        return self.toolstack.pool

    def find(self, entity: type[Any], ref: str) -> Any:
        """The published row, or None."""
        return self.toolstack.db.find(entity, ref)

    @contextmanager
    def step(self, name: str) -> Iterator[Context]:
        """Do a part of the call below its task: what the part occupies does not tell of the call's own task."""
        task = self.task.step(name)
        try:
            yield replace(self, task=task)
        finally:
            task.succeed()
