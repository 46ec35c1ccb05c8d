"""Plays what the original service was asked with references to nothing, and compares the answers.

The sample lies beside the project and is not always there. Where an answer differs on purpose, or because a message
is not implemented yet, `dead_references_allowed.json` says so with a reason; an entry that is no longer needed fails.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.house import House
from tests.fakes.places import state_directory
from xapi.actions.host.machine import Machine, SimulatedMachine
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import Session, Task
from xapi.datamodel.failure import Failure
from xapi.datamodel.types import Basic, EnumType, MapType, RefType, SetType

OBSERVED = Path("/work/shared/facts/observed/dead-references.json")
ALLOWED = Path(__file__).with_name("dead_references_allowed.json")
DEAD = "OpaqueRef:de5a7dc0-a31c-02d7-44df-2bc801d82de4"
EMPTIEST = {Basic.STRING: "x", Basic.INT: "1", Basic.FLOAT: 1.0, Basic.BOOL: False}
FLEETING = (Session, Task)

if not OBSERVED.exists():
    pytest.skip("the sample of the original's answers is not here", allow_module_level=True)

SAMPLE = json.loads(OBSERVED.read_text())
REASONS = json.loads(ALLOWED.read_text())
BY_CLASS = defaultdict(list)
for name in SAMPLE:
    BY_CLASS[name.partition(".")[0]].append(name)


def emptiest(kind, clock):
    match kind:
        case RefType():
            return DEAD
        case SetType(of=RefType()):
            return [DEAD]
        case SetType():
            return []
        case MapType():
            return {}
        case EnumType(enum):
            return str(next(iter(enum)))
        case Basic.DATETIME:
            return clock.now()
        case _:
            return EMPTIEST[kind]


@pytest.fixture(scope="module")
def ready():
    with state_directory() as directory:
        house = House(Path(directory), FakeClock())
        toolstack = house.toolstack
        toolstack.parts[Machine] = SimulatedMachine(toolstack.db, toolstack.clock, toolstack.this_host)
        yield house
        house.close()


def ask(house, name):
    params = [emptiest(param.type, house.toolstack.clock) for param in CATALOG.methods[name].params]
    try:
        house.client(name, *params)
    except Failure as failure:
        return [failure.code, *(param.replace(DEAD, "<dead>") for param in failure.params)]
    return ["ok"]


def agrees(observed, answer):
    """Whether an answer is the observed one; where that was an accident, any named error counts as the same."""
    observed = [text.replace(DEAD, "<dead>") for text in observed]
    if observed[0] == "INTERNAL_ERROR" and not observed[1].startswith("Internal API"):
        return answer[0] not in ("ok", "INTERNAL_ERROR")
    return observed == answer


def rows(house):
    tables = house.toolstack.db.tables.items()
    return {
        entity.wire_name: {ref: version.row for ref, version in table.items()}
        for entity, table in tables
        if entity not in FLEETING
    }


@pytest.mark.parametrize("kind", sorted(BY_CLASS))
def test_the_answers_are_the_originals(ready, kind):
    names = BY_CLASS[kind]
    refused_first = sorted(names, key=lambda name: SAMPLE[name] == ["ok"])
    differing = {}
    before = rows(ready)
    for name in refused_first:
        answer = ask(ready, name)
        if answer[0] != "ok":
            assert rows(ready) == before, f"{name} was refused and changed something"
        before = rows(ready)
        if not agrees(SAMPLE[name], answer):
            differing[name] = answer
    unexplained = {name: (SAMPLE[name], answer) for name, answer in differing.items() if name not in REASONS}
    assert unexplained == {}
    assert [name for name in names if name in REASONS and name not in differing] == []


def test_every_exception_has_a_reason():
    assert all(name in SAMPLE and len(reason) > 10 for name, reason in REASONS.items())
