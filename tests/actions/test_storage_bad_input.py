"""Every message of the storage classes, called with references to nothing and with values that make no sense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.actions.storage_house import DEAD, NULL, StorageHouse, refusal, storage_house
from tests.fakes.guests import halted
from xapi import actions
from xapi.datamodel.catalog import CATALOG, Kind, Method
from xapi.datamodel.classes import PBD, SM, SR, VBD, VDI, VM, Host, VBDMetrics
from xapi.datamodel.failure import Failure
from xapi.datamodel.types import Basic, EnumType, MapType, RefType, SetType
from xapi.dispatch.implement import IMPLEMENTATIONS

actions.load()
OBSERVED = Path("/work/shared/facts/observed/dead-references.json")
CLASSES = (SR, VDI, VBD, PBD)
KINDS = (Kind.EXPLICIT, Kind.CREATE, Kind.DESTROY)
METHODS = {
    name: method
    for name, method in CATALOG.methods.items()
    if method.entity in CLASSES and method.kind in KINDS and name in IMPLEMENTATIONS
}
HARMLESS = {"SR.get_supported_types", "VDI.read_database_pool_uuid"}
WATCHED = (SR, VDI, VBD, PBD, SM, VM, Host, VBDMetrics)


@pytest.fixture(scope="module")
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        sr = opened.sr()
        disk = opened.disk(sr)
        opened.drive(halted(opened.client), disk)
        opened.iso_sr("one.iso")
        yield opened


def emptiest(kind: Any, reference: str) -> Any:
    match kind:
        case RefType():
            return reference
        case SetType(of=RefType()):
            return [reference]
        case SetType():
            return []
        case MapType():
            return {}
        case EnumType(enum):
            return str(next(iter(enum)))
        case Basic.INT:
            return "-1"
        case Basic.BOOL:
            return False
        case Basic.STRING:
            return "x"
        case Basic.DATETIME:
            return "19700101T00:00:00Z"
        case _:
            return {}


def parameters(method: Method, reference: str) -> list[Any]:
    return [emptiest(param.type, reference) for param in method.params]


def everything(house: StorageHouse) -> dict[str, Any]:
    return {entity.wire_name: {row.ref: tuple(row) for row in house.db.all(entity)} for entity in WATCHED}


@pytest.mark.parametrize("reference", [DEAD, NULL, "", "nonsense"])
@pytest.mark.parametrize("name", sorted(set(METHODS) - HARMLESS))
def test_references_to_nothing_are_refused_and_change_nothing(house: StorageHouse, name: str, reference: str) -> None:
    before = everything(house)
    if name == "SR.introduce":
        pytest.skip("it has no references")
    found = refusal(house.client, name, *parameters(METHODS[name], reference))
    assert found[0] != "INTERNAL_ERROR"
    assert everything(house) == before


@pytest.mark.skipif(not OBSERVED.exists(), reason="the sample of the service's answers is not here")
def test_references_to_nothing_are_refused_as_the_service_does(house: StorageHouse) -> None:
    observed = json.loads(OBSERVED.read_text())
    compared = 0
    for name, expected in observed.items():
        method = CATALOG.methods.get(name)
        if name not in METHODS or method is None:
            continue
        found = [part.replace(DEAD, "<dead>") for part in _answer(house, name, method)]
        assert found == expected, name
        compared += 1
    assert compared > 20


def _answer(house: StorageHouse, name: str, method: Method) -> list[str]:
    given = ["1" if param.type is Basic.INT else emptiest(param.type, DEAD) for param in method.params]
    try:
        house.client(name, *given)
    except Failure as failure:
        return failure.description
    return ["ok"]


@pytest.mark.parametrize("name", sorted(METHODS))
def test_wrong_types_are_refused_and_change_nothing(house: StorageHouse, name: str) -> None:
    method = METHODS[name]
    if not method.params:
        pytest.skip("it has no parameters")
    before = everything(house)
    for number, param in enumerate(method.params):
        wrong: Any = ["no", "list"] if not isinstance(param.type, SetType) else {"no": "map"}
        given = parameters(method, DEAD)
        given[number] = wrong
        assert refusal(house.client, name, *given)[0] not in ("INTERNAL_ERROR", "")
    assert everything(house) == before


def test_wrong_words_are_refused(house: StorageHouse) -> None:
    disk = next(row.ref for row in house.db.all(VDI))
    vbd = next(row.ref for row in house.db.all(VBD))
    before = everything(house)
    for name, given in {"VDI.set_on_boot": (disk, "sometimes"), "VBD.set_mode": (vbd, "WO")}.items():
        assert refusal(house.client, name, *given)[0] != "INTERNAL_ERROR"
    record = {"SR": house.db.all(SR)[0].ref, "virtual_size": "1", "type": "strange"}
    assert refusal(house.client.VDI.create, record)[0] != "INTERNAL_ERROR"
    assert everything(house) == before
