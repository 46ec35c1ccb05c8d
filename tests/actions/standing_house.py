"""One house for all tests of a module: after each test, its rows, parts, files and clock are as they were before.

Only for tests that start no VM: what the hypervisor and the storage have is not put back.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.house import House
from tests.fakes.places import state_directory
from xapi.datamodel.model import Entity
from xapi.db.database import Database

Rows = dict[type[Entity], dict[str, Entity]]


def rows_of(database: Database) -> Rows:
    return {entity: {ref: version.row for ref, version in table.items()} for entity, table in database.tables.items()}


def put_back(database: Database, before: Rows) -> None:
    """Let every row be what it was; whole rows are put back, so that relations need no care."""
    now = rows_of(database)
    with database.transaction() as transaction:
        for entity, rows in before.items():
            for ref in {*rows, *now[entity]}:
                if now[entity].get(ref) is not rows.get(ref):
                    transaction.changes[(entity, ref)] = rows.get(ref)
                    transaction.touched[(entity, ref)] = None


def names_in(state: Path) -> set[str]:
    return {path.name for path in state.iterdir()}


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[House, FakeClock]]:
    with state_directory() as directory:
        clock = FakeClock()
        house = House(Path(directory), clock)
        yield house, clock
        house.close()


@pytest.fixture
def house(standing: tuple[House, FakeClock]) -> Iterator[House]:
    opened, clock = standing
    toolstack = opened.toolstack
    rows, parts, names = rows_of(toolstack.db), dict(toolstack.parts), names_in(toolstack.state)
    certificate = (toolstack.state / "server.pem").read_bytes()
    moment = (clock.now(), clock.monotonic())
    yield opened
    put_back(toolstack.db, rows)
    toolstack.parts.clear()
    toolstack.parts.update(parts)
    (toolstack.state / "server.pem").write_bytes(certificate)
    for name in names_in(toolstack.state) - names:
        shutil.rmtree(toolstack.state / name)
    clock._now, clock._monotonic = moment


@pytest.fixture
def clock(standing: tuple[House, FakeClock]) -> FakeClock:
    return standing[1]
