"""Rows, transactions and commits, over the real stored databases."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import SR, VBD, VDI, VM, Network, Pool, Secret, Task, VMGroup
from xapi.datamodel.errors import HANDLE_INVALID
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Entity
from xapi.datamodel.types import Basic, EnumType, MapType, RefType, SetType, Type
from xapi.db.database import Database, NotDurable
from xapi.db.relations import REF_SETS, RELATIONS
from xapi.db.schema import STORED
from xapi.db.store import Operation, Store, open_engine
from xapi.db.upgrade import prepare


def odd(kind: Type) -> Any:
    """A value that is hard on whoever stores it."""
    match kind:
        case Basic.STRING:
            return "Zürich 'quoted' \"twice\" \\ \U0001f600\n"
        case Basic.INT:
            return -(1 << 63)
        case Basic.FLOAT:
            return 0.1 + 0.2
        case Basic.BOOL:
            return True
        case Basic.DATETIME:
            return datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
        case EnumType(enum):
            return list(enum)[-1]
        case RefType():
            return "OpaqueRef:elsewhere"
        case SetType(of):
            return (odd(of), odd(of))
        case MapType(key, value):
            return {odd(key): odd(value)}
        case _:
            raise AssertionError(kind)


def test_every_stored_field_survives(reopen):
    database = reopen()
    kept = {
        entity: {column.field.name: odd(column.field.type) for column in stored.columns}
        for entity, stored in STORED.items()
    }
    with database.transaction() as transaction:
        refs = {entity: transaction.create(entity, **values) for entity, values in kept.items()}
    database = reopen()
    for entity, values in kept.items():
        row = database.get(entity, refs[entity])
        for field in entity.fields:
            where = f"{entity.wire_name}.{field.name}"
            assert row[field.index] == values.get(field.name, field.default), where
            if field.name in values:
                assert type(row[field.index]) is type(values[field.name]), where


def test_an_update_and_a_deletion_survive(reopen):
    database = reopen()
    with database.transaction() as transaction:
        kept = transaction.create(Secret, value="old")
        gone = transaction.create(Secret, value="x")
    with database.transaction() as transaction:
        transaction.update(Secret, kept, value="new")
        transaction.delete(Secret, gone)
    database = reopen()
    assert database.get(Secret, kept).value == "new"
    assert database.find(Secret, gone) is None


def test_what_is_not_kept_is_gone_after_a_restart(reopen):
    database = reopen()
    with database.transaction() as transaction:
        kept = transaction.create(Task)
        fleeting = transaction.create(Task, kept=False)
    assert database.find(Task, fleeting) is not None
    with database.transaction() as transaction:
        transaction.update(Task, fleeting, progress=0.5)
    database = reopen()
    assert database.find(Task, kept) is not None
    assert database.find(Task, fleeting) is None


def test_a_transaction_that_raises_leaves_nothing(reopen):
    database = reopen()
    before = database.generation
    with pytest.raises(KeyError), database.transaction() as transaction:
        transaction.create(Secret, ref="OpaqueRef:never")
        raise KeyError
    assert database.find(Secret, "OpaqueRef:never") is None
    assert database.generation == before
    assert reopen().all(Secret) == []


def test_a_transaction_sees_its_own_changes_and_nobody_elses(database):
    with database.transaction() as transaction:
        ref = transaction.create(Secret, value="mine")
        assert transaction.get(Secret, ref).value == "mine"
        assert [row.ref for row in transaction.all(Secret)] == [ref]
        assert database.find(Secret, ref) is None
    assert database.get(Secret, ref).value == "mine"


def test_a_transaction_inside_a_transaction_is_a_mistake(database):
    with pytest.raises(RuntimeError), database.transaction(), database.transaction():
        pass


def test_generations_grow_over_a_restart(reopen):
    database = reopen()
    with database.transaction() as transaction:
        transaction.create(Secret)
    before = database.generation
    for _ in range(3):
        after = reopen().generation
        assert after > before
        before = after


def test_a_row_that_is_not_there_is_named(database):
    with pytest.raises(Failure) as refused:
        database.get(VM, "OpaqueRef:x")
    assert refused.value.description == HANDLE_INVALID("VM", "OpaqueRef:x").description


def test_an_object_is_found_by_its_uuid_until_it_changes(database):
    with database.transaction() as transaction:
        ref = transaction.create(Secret, uuid="one")
    with database.transaction() as transaction:
        transaction.update(Secret, ref, uuid="two")
    assert database.by_uuid(Secret, "one") is None
    found = database.by_uuid(Secret, "two")
    assert found is not None and found.ref == ref


def test_writers_of_one_row_lose_nothing(database):
    with database.transaction() as transaction:
        ref = transaction.create(VM, user_version=0)

    def count() -> None:
        for _ in range(25):
            with database.transaction() as transaction:
                transaction.update(VM, ref, user_version=transaction.get(VM, ref).user_version + 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.get(VM, ref).user_version == 200


class SlowStore(Store):
    """A store whose disk waits until it is told to go on, and counts its syncs."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.go_on = threading.Event()
        self.go_on.set()
        self.begun = threading.Semaphore(0)
        self.writes: list[int] = []

    def write(self, operations: Iterable[Operation], settings: Mapping[str, str] | None = None) -> None:
        counted = list(operations)
        self.writes.append(len(counted))
        self.begun.release()
        self.go_on.wait()
        super().write(counted, settings)


@pytest.fixture
def slow(url):
    engine = open_engine(url)
    prepare(engine, None)
    store = SlowStore(engine)
    database = Database(store)
    store.begun.acquire()
    store.writes.clear()
    yield store, database
    database.close()


def _create_in_threads(database: Database, count: int) -> tuple[list[threading.Thread], list[str]]:
    failed: list[str] = []

    def create() -> None:
        try:
            with database.transaction() as transaction:
                transaction.create(Secret)
        except (NotDurable, SQLAlchemyError) as problem:
            failed.append(type(problem).__name__)

    threads = [threading.Thread(target=create) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, failed


def _until_queued(database: Database, count: int) -> None:
    while len(database._queue) < count:
        threading.Event().wait(0.001)


def test_those_who_commit_together_share_one_sync_and_are_seen_only_after_it(slow):
    store, database = slow
    store.go_on.clear()
    first, failed = _create_in_threads(database, 1)
    store.begun.acquire()
    rest, also_failed = _create_in_threads(database, 10)
    _until_queued(database, 10)
    assert database.all(Secret) == []
    store.go_on.set()
    for thread in (*first, *rest):
        thread.join()
    assert store.writes == [1, 10]
    assert len(database.all(Secret)) == 11 and not failed and not also_failed


def test_a_disk_that_is_full_fails_everybody_in_the_group_and_nothing_later(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'full.db'}")
    limit = {"pages": 1 << 30}

    @event.listens_for(engine, "begin")
    def bound(connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={limit['pages']}")

    prepare(engine, None)
    store = SlowStore(engine)
    database = Database(store)
    with database.transaction() as transaction:
        kept = transaction.create(Secret, value="before")
    limit["pages"] = 1
    with pytest.raises(SQLAlchemyError), database.transaction() as transaction:
        transaction.update(Secret, kept, value="x" * 1_000_000)
    for _ in store.writes:
        store.begun.acquire()
    store.go_on.clear()
    failed: list[str] = []

    def large() -> None:
        try:
            with database.transaction() as transaction:
                transaction.create(Secret, value="x" * 100_000)
        except (NotDurable, SQLAlchemyError) as problem:
            failed.append(type(problem).__name__)

    threads = [threading.Thread(target=large) for _ in range(6)]
    for thread in threads:
        thread.start()
    store.begun.acquire()
    _until_queued(database, 5)
    generation = database.generation
    store.go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(set(failed)) == ["NotDurable", "OperationalError"] and len(failed) == 6
    assert [row.value for row in database.all(Secret)] == ["before"]
    assert database.generation == generation
    limit["pages"] = 1 << 30
    with database.transaction() as transaction:
        transaction.update(Secret, kept, value="after")
    assert database.get(Secret, kept).value == "after"
    database.close()
    again = Database(Store(open_engine(f"sqlite:///{tmp_path / 'full.db'}")))
    assert [row.value for row in again.all(Secret)] == ["after"]
    again.close()


def one_sided(database: Database) -> list[str]:
    """Every mirrored field that says something else than its mirror."""
    wrong = []
    for entity, relations in RELATIONS.items():
        for relation in relations:
            for row in database.all(entity):
                value: Any = row[relation.index]
                for other in value if relation.holds_many else (value,):
                    mirror = database.find(relation.entity, other)
                    back: Any = () if mirror is None else mirror[relation.other_index]
                    if mirror is not None and row[0] not in (back if isinstance(back, tuple) else (back,)):
                        wrong.append(f"{row[0]} names {other}")
                    if mirror is None and relation.derived:
                        wrong.append(f"{row[0]} holds {other}, which is not there")
    return wrong


ACTIONS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 9)), max_size=30)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('db') / 'scratch.db'}")
    prepare(engine, None)
    database = Database(Store(engine))
    yield database
    database.close()


@given(actions=ACTIONS)
@settings(max_examples=40, deadline=None)
def test_relations_are_true_on_both_sides_whatever_is_done(scratch, actions):
    database = scratch
    for action, first, second in actions:
        vms, vdis, vbds, groups = (database.all(entity) for entity in (VM, VDI, VBD, VMGroup))

        def pick(rows: list[Any], number: int) -> str:
            return rows[number % len(rows)].ref if rows else NULL

        with database.transaction() as transaction:
            match action:
                case 0:
                    transaction.create((VM, VDI, SR, VMGroup)[first % 4])
                case 1:
                    transaction.create(VBD, VM=pick(vms, first), VDI=pick(vdis, second))
                case 2 if vbds:
                    transaction.update(VBD, pick(vbds, first), VM=pick(vms, second))
                case 3 if vbds:
                    transaction.update(VBD, pick(vbds, first), VDI=pick(vdis, second), VM=pick(vms, first))
                case 4 if vms:
                    transaction.update(VM, pick(vms, first), groups=tuple({pick(groups, first), pick(groups, second)}))
                case 5 if vms or groups or vdis:
                    rows: list[Entity] = [*vms, *groups, *vdis]
                    row = rows[(first * 10 + second) % len(rows)]
                    transaction.delete(type(row), row[0])
                case 6 if vms:
                    transaction.update(VM, pick(vms, first), parent=pick(vms, second), snapshot_of=pick(vms, first))
        assert one_sided(database) == []


@pytest.mark.parametrize("entity", list(REF_SETS), ids=lambda entity: entity.wire_name)
def test_what_is_deleted_vanishes_from_sets_that_mirror_nothing(scratch, entity):
    for owner, index in REF_SETS[entity]:
        field = owner.fields[index - 1]
        with scratch.transaction() as transaction:
            gone, other = transaction.create(entity), transaction.create(entity)
            holder = transaction.create(owner, **{field.name: (gone, other)})
        with scratch.transaction() as transaction:
            transaction.delete(entity, gone)
        assert scratch.get(owner, holder)[index] == (other,)


def test_ten_thousand_vms_are_loaded_with_their_relations(reopen):
    database = reopen()
    with database.transaction() as transaction:
        network = transaction.create(Network)
        pool = transaction.create(Pool)
        for number in range(10_000):
            transaction.create(VM, ref=f"OpaqueRef:{number}", name_label=f"vm {number}")
        for number in range(0, 10_000, 100):
            transaction.create(VBD, VM=f"OpaqueRef:{number}")
    database = reopen()
    assert len(database.all(VM)) == 10_000
    assert len(database.get(VM, "OpaqueRef:100").VBDs) == 1
    assert database.get(VM, "OpaqueRef:101").VBDs == ()
    assert database.find(Network, network) and database.find(Pool, pool)
    assert CATALOG.entities["VM"] is VM
