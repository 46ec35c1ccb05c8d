"""allowed_operations follow what matters to them, and only that is looked at."""

from __future__ import annotations

import inspect
import pkgutil
import re
from pathlib import Path

import pytest

from tests.fakes.house import House
from xapi import lifecycle
from xapi.datamodel.classes import VM
from xapi.datamodel.classes.vm import VmOperations
from xapi.dispatch.occupy import MEANT, NOTES, derive_allowed_operations


@pytest.fixture
def house(tmp_path: Path):
    made = House(tmp_path)
    yield made
    made.close()


def template(house: House) -> VM:
    return next(row for row in house.toolstack.db.all(VM) if row.is_default_template)


def spoilt_and_then(house: House, **values: object) -> tuple[object, ...]:
    """Spoil the field, so that a derivation shows; then change a row, and answer what stands there."""
    database, ref = house.toolstack.db, template(house).ref
    database.derivations.remove(derive_allowed_operations)
    with database.transaction() as transaction:
        transaction.update(VM, ref, allowed_operations=())
    database.derivations.append(derive_allowed_operations)
    with database.transaction() as transaction:
        transaction.update(VM, ref, **values)
    return tuple(database.get(VM, ref).allowed_operations)


def test_notes_leave_allowed_operations_as_they_are(house: House):
    assert spoilt_and_then(house, name_label="n", name_description="d", tags=("t",)) == ()


@pytest.mark.parametrize(
    "values",
    [{}, {"is_a_template": False}, {"name_label": "n", "is_a_template": False}, {"other_config": {"a": "b"}}],
    ids=str,
)
def test_all_else_fills_allowed_operations_anew(house: House, values: dict[str, object]):
    assert VmOperations.CLONE in spoilt_and_then(house, **values)


def test_no_lifecycle_looks_at_notes():
    sources = {
        info.name: inspect.getsource(__import__(f"xapi.lifecycle.{info.name}", fromlist=["_"]))
        for info in pkgutil.iter_modules(lifecycle.__path__)
    }
    found = {
        (owner, name) for text in sources.values() for owner, name in re.findall(r"(\w+)\.(\w+)", text) if name in NOTES
    }
    assert {name for _, name in found} == {"other_config"}
    assert {owner for owner, _ in found} == {entity.wire_name.lower() for entity in MEANT}
