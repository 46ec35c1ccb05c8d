"""An older database is brought to the present form in its place, and a copy of it is kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from xapi.datamodel.classes import VM, Secret
from xapi.db.database import Database
from xapi.db.store import Store, open_engine, sqlite_url
from xapi.db.upgrade import FORMAT, NewerDatabase, missing_columns, prepare


def open_at(path: Path) -> tuple[Database, Path | None]:
    engine = open_engine(sqlite_url(path))
    kept = prepare(engine, path)
    return Database(Store(engine)), kept


@pytest.fixture
def old(tmp_path) -> Path:
    """A database of a time before VMs had a user version, and before there were secrets."""
    path = tmp_path / "state.db"
    database, kept = open_at(path)
    assert kept is None
    with database.transaction() as transaction:
        transaction.create(VM, ref="OpaqueRef:vm", name_label="old", user_version=5)
    database.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('ALTER TABLE "VM" DROP COLUMN user_version')
        connection.execute('DROP TABLE "secret"')
        connection.commit()
    return path


def test_new_columns_have_the_declared_defaults_and_new_tables_are_empty(old):
    database, kept = open_at(old)
    vm = database.get(VM, "OpaqueRef:vm")
    assert (vm.name_label, vm.user_version) == ("old", VM.field_named["user_version"].default)
    with database.transaction() as transaction:
        transaction.update(VM, "OpaqueRef:vm", user_version=7)
        transaction.create(Secret, ref="OpaqueRef:secret", value="new")
    database.close()
    assert kept is not None
    database, kept = open_at(old)
    assert kept is None
    assert database.get(VM, "OpaqueRef:vm").user_version == 7
    assert database.get(Secret, "OpaqueRef:secret").value == "new"
    database.close()


def test_the_old_file_is_kept_as_it_was(old):
    database, kept = open_at(old)
    database.close()
    assert kept is not None and kept.name.startswith("state.db.before-upgrade-")
    with closing(sqlite3.connect(kept)) as connection:
        columns = {row[1] for row in connection.execute('PRAGMA table_info("VM")')}
        assert "name__label" in columns and "user_version" not in columns
        assert [row[0] for row in connection.execute('SELECT "name__label" FROM "VM"')] == ["old"]


def test_a_database_of_today_is_left_alone(tmp_path):
    path = tmp_path / "state.db"
    open_at(path)[0].close()
    before = set(tmp_path.iterdir())
    database, kept = open_at(path)
    database.close()
    assert kept is None
    assert {found.name for found in tmp_path.iterdir()} == {found.name for found in before}


def test_a_newer_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "state.db"
    open_at(path)[0].close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE xapi_settings SET value = ? WHERE name = 'format'", (str(FORMAT + 1),))
        connection.commit()
    before = path.read_bytes()
    engine = open_engine(sqlite_url(path))
    with pytest.raises(NewerDatabase):
        prepare(engine, path)
    engine.dispose()
    assert path.read_bytes() == before


def test_the_missing_columns_are_named_by_table(old):
    engine = open_engine(sqlite_url(old))
    missing = missing_columns(engine)
    engine.dispose()
    assert missing["VM"] == ["user_version"]
    assert set(missing) == {"VM", "secret"} and "value" in missing["secret"]
