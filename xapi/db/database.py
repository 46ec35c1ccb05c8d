"""The rows in memory, and the transactions that change them.

Reads look at immutable rows and take no lock. A transaction works on the *head* (what is published, overlaid with what
is committed but not yet durable), queues its changes and waits; whoever waits first becomes the leader, writes all that
is queued with one disk sync, publishes it in order and wakes the rest. Nothing is visible before it is durable.

Locks are taken in this order: `_flushing` (one leader), `_head` (one transaction), `published` (one publication).
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import compress
from threading import Lock, RLock, get_ident
from typing import Any, TypeVar, cast

from xapi.datamodel.errors import HANDLE_INVALID
from xapi.datamodel.model import NULL, Entity, Ref
from xapi.db.changes import ClassLog, Destroyed, Key, Waiters
from xapi.db.relations import REF_SETS, RELATIONS
from xapi.db.schema import CLASSES, STORED
from xapi.db.store import Delete, Insert, Operation, Store, Update

E = TypeVar("E", bound=Entity)

RESERVE = 1_000_000
GENERATION = "generation_reserved"


class Version:
    """One state of one object: its row, since when, and its wire forms once somebody has asked for them."""

    __slots__ = ("created", "generation", "json", "row", "xml")

    def __init__(self, row: Entity, generation: int, created: int) -> None:
        self.row = row
        self.generation = generation
        self.created = created
        self.xml: bytes | None = None
        self.json: bytes | None = None


class Table(dict[str, Version]):
    """The published objects of one class by reference, with an index of their UUIDs and the log of changes."""

    def __init__(self, entity: type[Entity], generation: int) -> None:
        super().__init__()
        self.entity = entity
        self.log = ClassLog(generation)
        self.by_uuid: dict[str, str] = {}
        identity = entity.field_named.get("uuid")
        self._uuid_index = identity.index if identity else 0

    def publish(self, ref: str, row: Entity | None, generation: int) -> None:
        """Put a row in its place, or take the object away."""
        old = self.get(ref)
        if row is None:
            if old is None:
                return
            del self[ref]
            if self._uuid_index:
                self.by_uuid.pop(old.row[self._uuid_index], None)
            self.log.note_destruction(Destroyed(ref, old.created, generation))
            return
        if self._uuid_index:
            if old is not None and old.row[self._uuid_index] != row[self._uuid_index]:
                self.by_uuid.pop(old.row[self._uuid_index], None)
            self.by_uuid[row[self._uuid_index]] = ref
        self[ref] = Version(row, generation, old.created if old is not None else generation)
        self.log.note_change(generation, ref)


def changed_fields(old: Entity, new: Entity) -> list[int]:
    """The places in the row at which two states of one object differ."""
    # A state is made of the parts of the one before, so that nearly all pairs are told alike without a look inside.
    return [index for index in compress(range(len(old)), map(operator.is_not, old, new)) if old[index] != new[index]]


class NotDurable(Exception):
    """A change that was queued behind one that failed, or together with it, and is forgotten like it."""


class _Commit:
    """One transaction's changes on their way to the disk."""

    __slots__ = ("changes", "done", "error", "operations", "touched")

    def __init__(self, changes: dict[Key, Entity | None], touched: Iterable[Key], operations: list[Operation]) -> None:
        self.changes = changes
        self.touched = touched
        self.operations = operations
        self.done = False
        self.error: BaseException | None = None


class Transaction:
    """Changes that become visible and durable together, when the `with` block ends without an exception.

    Keep it short: no driver, no disk and no network inside. Relations are kept true on both sides as rows change.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes: dict[Key, Entity | None] = {}
        self.touched: dict[Key, None] = {}

    def find(self, entity: type[E], ref: str) -> E | None:
        """The row as this transaction sees it, or None."""
        key = (entity, ref)
        if key in self.changes:
            return cast("E | None", self.changes[key])
        return self._database.head(entity, ref)

    def before(self, entity: type[E], ref: str) -> E | None:
        """The row as it was before this transaction, or None."""
        return self._database.head(entity, ref)

    def get(self, entity: type[E], ref: str) -> E:
        """The row as this transaction sees it; HANDLE_INVALID when there is none."""
        row = self.find(entity, ref)
        if row is None:
            raise HANDLE_INVALID(entity.wire_name, ref)
        return row

    def all(self, entity: type[E]) -> list[E]:
        """Every row of the class as this transaction sees it."""
        rows: dict[str, Entity | None] = {ref: version.row for ref, version in self._database.tables[entity].items()}
        rows |= {ref: row for (owner, ref), row in self._database.pending.items() if owner is entity}
        rows |= {ref: row for (owner, ref), row in self.changes.items() if owner is entity}
        return [cast("E", row) for row in rows.values() if row is not None]

    def create(self, entity: type[E], ref: str = "", *, kept: bool = True, **values: Any) -> Ref[E]:
        """Make an object; fields not given have their defaults, a UUID is made up when none is given.

        With `kept=False` it is gone after a restart, whatever its class.
        """
        reference = ref or f"OpaqueRef:{uuid.uuid4()}"
        row: list[Any] = [reference, *(field.default for field in entity.fields)]
        named = entity.field_named
        if "uuid" in named and not values.get("uuid"):
            values["uuid"] = str(uuid.uuid4())
        for name, value in values.items():
            row[named[name].index] = value
        made = entity(row)
        if not kept:
            self._database.fleeting.add(reference)
        self._put(entity, reference, None, made)
        return cast("Ref[E]", reference)

    def update(self, entity: type[E], ref: str, **values: Any) -> E:
        """Set fields of an object; HANDLE_INVALID when there is none. Listeners hear of it even if nothing differs."""
        old = self.get(entity, ref)
        row = list(old)
        named = entity.field_named
        for name, value in values.items():
            row[named[name].index] = value
        new = entity(row)
        self._put(entity, ref, old, new)
        return new

    def delete(self, entity: type[Entity], ref: str) -> None:
        """Remove an object; it vanishes from the sets of others, and single references to it become null."""
        old = self.get(entity, ref)
        for relation in RELATIONS[entity]:
            value = old[relation.index]
            for other in value if relation.holds_many else (value,):
                if relation.derived:
                    self._change_other(relation.entity, other, relation.other_index, NULL)
                else:
                    self._change_set(relation.entity, other, relation.other_index, remove=ref)
        for owner, index in REF_SETS.get(entity, ()):
            for row in self.all(owner):
                if ref in row[index]:
                    self._change_set(owner, row[0], index, remove=ref)
        self.changes[(entity, ref)] = None
        self.touched[(entity, ref)] = None

    def refill(self, entity: type[Entity], ref: str, **values: Any) -> None:
        """Set computed fields of an object that this transaction touches anyhow, or touches now."""
        row = list(self.get(entity, ref))
        for name, value in values.items():
            row[entity.field_named[name].index] = value
        self.changes[(entity, ref)] = entity(row)
        self.touched[(entity, ref)] = None

    def touch(self, entity: type[Entity], ref: str) -> None:
        """Tell listeners of an object without changing it."""
        self._put(entity, ref, *(self.get(entity, ref),) * 2)

    def _put(self, entity: type[Entity], ref: str, old: Entity | None, new: Entity) -> None:
        self.changes[(entity, ref)] = new
        self.touched[(entity, ref)] = None
        for relation in RELATIONS[entity]:
            before: Any = old[relation.index] if old is not None else () if relation.holds_many else NULL
            after = new[relation.index]
            if before == after or relation.derived:
                continue
            gone, come = (before, after) if relation.holds_many else ((before,), (after,))
            for other in gone:
                if other not in come:
                    self._change_set(relation.entity, other, relation.other_index, remove=ref)
            for other in come:
                if other not in gone:
                    self._change_set(relation.entity, other, relation.other_index, add=ref)

    def _change_set(self, entity: type[Entity], ref: str, index: int, add: str = "", remove: str = "") -> None:
        row = self.find(entity, ref)
        if row is None:
            return
        members = row[index]
        if add and add not in members:
            self._change_other(entity, ref, index, (*members, add))
        elif remove and remove in members:
            self._change_other(entity, ref, index, tuple(member for member in members if member != remove))

    def _change_other(self, entity: type[Entity], ref: str, index: int, value: object) -> None:
        row = self.find(entity, ref)
        if row is not None:
            self.changes[(entity, ref)] = entity((*row[:index], value, *row[index + 1 :]))
            self.touched[(entity, ref)] = None


class Database:
    """Every object of the pool: read without locks, changed in transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.published = Lock()
        self.waiters = Waiters()
        reserved = int(store.settings().get(GENERATION, "0"))
        self.generation = reserved + 1
        self._reserved = 0
        self.tables: dict[type[Entity], Table] = {entity: Table(entity, self.generation) for entity in CLASSES}
        self.pending: dict[Key, Entity | None] = {}
        self._head = RLock()
        self._owner = 0
        self._queue: list[_Commit] = []
        self._flushing = Lock()
        self._busy = False
        self.fleeting: set[str] = set()
        self.derivations: list[Callable[[Transaction], None]] = []
        for entity, rows in store.load():
            for row in rows:
                self.tables[entity].publish(row[0], row, self.generation)
        self._derive_sets()
        # Also a start that changes nothing takes generations of its own, so that no old token seems to be a new one.
        store.write((), self._reservation())

    def _derive_sets(self) -> None:
        """Compute, after loading, the sets that are never stored."""
        for entity, relations in RELATIONS.items():
            for relation in relations:
                if not relation.derived:
                    continue
                members: dict[str, list[str]] = {}
                for ref, version in self.tables[relation.entity].items():
                    members.setdefault(version.row[relation.other_index], []).append(ref)
                for ref, refs in members.items():
                    version_here = self.tables[entity].get(ref)
                    if version_here is not None:
                        row = version_here.row
                        version_here.row = entity((*row[: relation.index], tuple(refs), *row[relation.index + 1 :]))

    # Reading

    def find(self, entity: type[E], ref: str) -> E | None:
        """The published row, or None."""
        version = self.tables[entity].get(ref)
        return None if version is None else cast("E", version.row)

    def get(self, entity: type[E], ref: str) -> E:
        """The published row; HANDLE_INVALID when there is none."""
        version = self.tables[entity].get(ref)
        if version is None:
            raise HANDLE_INVALID(entity.wire_name, ref)
        return cast("E", version.row)

    def all(self, entity: type[E]) -> list[E]:
        """Every published row of the class."""
        return [cast("E", version.row) for version in list(self.tables[entity].values())]

    def by_uuid(self, entity: type[E], identifier: str) -> E | None:
        """The published row with this UUID, or None."""
        ref = self.tables[entity].by_uuid.get(identifier)
        return None if ref is None else self.find(entity, ref)

    # Changing

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Change rows; durable and visible when the block has ended, forgotten when it raises."""
        if self._owner == get_ident():
            raise RuntimeError("a transaction inside a transaction would wait for itself")
        with self._head:
            self._owner = get_ident()
            try:
                transaction = Transaction(self)
                yield transaction
                for derive in self.derivations:
                    derive(transaction)
                commit = self._queue_changes(transaction)
            finally:
                self._owner = 0
        if commit is not None:
            self._finish(commit)

    def head(self, entity: type[E], ref: str) -> E | None:
        """The newest row, durable or not. For transactions only."""
        key = (entity, ref)
        if key in self.pending:
            return cast("E | None", self.pending[key])
        return self.find(entity, ref)

    def _queue_changes(self, transaction: Transaction) -> _Commit | None:
        """Queue the changes, or publish them at once when none is stored and nothing is under way before them."""
        if not transaction.touched:
            return None
        operations = [*self._operations(transaction.changes)]
        commit = _Commit(transaction.changes, transaction.touched, operations)
        if not operations and not self._queue and not self._busy:
            self._publish([commit])
            return None
        self._queue.append(commit)
        self.pending.update(transaction.changes)
        return commit

    def _operations(self, changes: Mapping[Key, Entity | None]) -> Iterator[Operation]:
        for (entity, ref), row in changes.items():
            stored = STORED.get(entity)
            if stored is None:
                continue
            if ref in self.fleeting:
                if row is None:
                    self.fleeting.discard(ref)
                continue
            old = self.head(entity, ref)
            if row is None:
                if old is not None:
                    yield Delete(entity, ref)
            elif old is None:
                yield Insert(entity, row)
            else:
                indices = tuple(index for index in changed_fields(old, row) if index in stored.indices)
                if indices:
                    yield Update(entity, row, indices)

    def _finish(self, commit: _Commit) -> None:
        """See the commit to its end: lead the next batch, or find that another leader has taken it along."""
        with self._flushing:
            if not commit.done:
                with self._head:
                    batch, self._queue = self._queue, []
                    self._busy = True
                written = False
                try:
                    self._store.write((operation for one in batch for operation in one.operations), self._reservation())
                    written = True
                finally:
                    if not written:
                        self._abandon(batch)
                with self._head:
                    self._publish(batch)
                    self._busy = False
        if commit.error is not None:
            raise commit.error

    def _reservation(self) -> Mapping[str, str]:
        """Reserve generations on disk ahead of their use, so that they keep growing over a restart."""
        if self.generation + RESERVE // 2 < self._reserved:
            return {}
        self._reserved = self.generation + RESERVE
        return {GENERATION: str(self._reserved)}

    def _abandon(self, batch: list[_Commit]) -> None:
        """Fail what could not be made durable, and what was built upon it."""
        with self._head:
            for commit in (*batch, *self._queue):
                commit.error = NotDurable("the change could not be written to the database; see the log for the cause")
                commit.done = True
            self._queue.clear()
            self.pending.clear()
            self._busy = False
            self._reserved = 0

    def _publish(self, batch: list[_Commit]) -> None:
        keys: list[Key] = []
        with self.published:
            for commit in batch:
                self.generation += 1
                for key in commit.touched:
                    entity, ref = key
                    row = commit.changes[key]
                    self.tables[entity].publish(ref, row, self.generation)
                    if self.pending.get(key, self) is row:
                        del self.pending[key]
                keys.extend(commit.touched)
                commit.done = True
        self.waiters.wake(keys)

    def close(self) -> None:
        """Wait for what is under way and let the store go."""
        with self._flushing:
            self._store.close()
