"""Bringing a stored database to the form that this version of the toolstack declares, with a backup of the old file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Dialect, Engine, inspect, text
from sqlalchemy.schema import CreateTable

from xapi.db.schema import METADATA

_CREATIONS: dict[str, Mapping[str, str]] = {}
FORMAT = 1  # grows only when an older toolstack could not read what a newer one writes


class NewerDatabase(Exception):
    """The database was written by a newer toolstack than this one."""


def missing_columns(engine: Engine) -> dict[str, list[str]]:
    """The columns that are declared and not in the database, by table; a table that is missing has all of them."""
    found = inspect(engine)
    tables = set(found.get_table_names())
    missing: dict[str, list[str]] = {}
    for table in METADATA.sorted_tables:
        present = {column["name"] for column in found.get_columns(table.name)} if table.name in tables else set()
        absent = [column.name for column in table.columns if column.name not in present]
        if absent:
            missing[table.name] = absent
    return missing


def backup_sqlite(path: Path) -> Path:
    """Copy a SQLite database, as it stands with its log, to a file beside it that names the moment."""
    target = path.with_name(f"{path.name}.before-upgrade-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    source = sqlite3.connect(path)
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()
    return target


def _creations(dialect: Dialect) -> Mapping[str, str]:
    """The statement that makes each table, in the words of a kind of database; found once."""
    if dialect.name not in _CREATIONS:
        _CREATIONS[dialect.name] = {
            table.name: str(CreateTable(table).compile(dialect=dialect)) for table in METADATA.sorted_tables
        }
    return _CREATIONS[dialect.name]


def prepare(engine: Engine, path: Path | None) -> Path | None:
    """Create or upgrade the tables; answer the backup that was kept, if the file was changed.

    New tables and columns are added empty (rows then have the declared defaults); nothing is ever dropped. Raises
    NewerDatabase when the file's format is beyond this toolstack.
    """
    tables = set(inspect(engine).get_table_names())
    kept: Path | None = None
    if "xapi_settings" in tables:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT value FROM xapi_settings WHERE name = 'format'")).scalar()
        if found is not None and int(found) > FORMAT:
            raise NewerDatabase(f"the database has format {found}, this toolstack reads up to {FORMAT}")
        missing = missing_columns(engine)
        if missing and path is not None:
            kept = backup_sqlite(path)
    else:
        missing = {}
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")  # which the driver leaves out before a CREATE TABLE
        for name, statement in _creations(engine.dialect).items():
            if name not in tables:
                connection.exec_driver_sql(statement)
        for table, columns in missing.items():
            if table not in tables:
                continue
            for name in columns:
                kind = METADATA.tables[table].columns[name].type.compile(engine.dialect)
                quote = engine.dialect.identifier_preparer.quote
                connection.execute(text(f"ALTER TABLE {quote(table)} ADD COLUMN {quote(name)} {kind}"))
        connection.execute(text("DELETE FROM xapi_settings WHERE name = 'format'"))
        connection.execute(
            text("INSERT INTO xapi_settings (name, value) VALUES ('format', :value)"), {"value": str(FORMAT)}
        )
    return kept
