"""A stored database of each kind: SQLite in a file always, PostgreSQL where a server is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.db.postgresql import server_url, why_not
from xapi.db.database import Database
from xapi.db.schema import METADATA
from xapi.db.store import Store, open_engine, sqlite_url
from xapi.db.upgrade import prepare


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "state.db")
        return
    reason = why_not()
    if reason:
        pytest.skip(reason)
    address = server_url()
    engine = open_engine(address)
    METADATA.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    yield address
    METADATA.drop_all(engine)
    engine.dispose()


@pytest.fixture
def reopen(url: str) -> Iterator[Callable[[], Database]]:
    """Open the database, or close it and open it again."""
    opened: list[Database] = []

    def again() -> Database:
        if opened:
            opened.pop().close()
        engine = open_engine(url)
        prepare(engine, None)
        opened.append(Database(Store(engine)))
        return opened[0]

    yield again
    if opened:
        opened.pop().close()


@pytest.fixture
def database(reopen: Callable[[], Database]) -> Database:
    return reopen()
