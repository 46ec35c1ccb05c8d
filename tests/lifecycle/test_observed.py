"""The sample of the real service's answers, where it is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lifecycle.rows import House, Rows, row
from xapi.datamodel.classes.vif import VIF, VifOperations
from xapi.datamodel.classes.vm import VM, DomainType, VmOperations, VmPowerState
from xapi.lifecycle import allowed_operations, why_not

SAMPLE = Path("/work/shared/facts/observed/lifecycle.json")
OBSERVED: dict[str, Any] = json.loads(SAMPLE.read_text(encoding="utf-8")) if SAMPLE.exists() else {}
KINDS: dict[str, dict[str, Any]] = {
    "hvm": {},
    "pv": {"domain_type": DomainType.PV, "HVM_boot_policy": ""},
    "template": {"is_a_template": True},
    "snapshot": {"is_a_template": True, "is_a_snapshot": True},
}
# A call that acts differently from its own check says so itself; no table knows of it.
SAID_BY_THE_ACTION = {"import", "revert", "call_plugin", "send_sysrq", "send_trigger"}


def described(name: str) -> tuple[Rows, VM, str]:
    kind, _, state = name.partition(" ")
    house = House(VmPowerState(state or "Halted"), VBDs=(), VIFs=(), **KINDS[kind])
    return house.view, house.vm, "<snapshot>" if kind == "snapshot" else "<vm>"


@pytest.mark.parametrize("name", OBSERVED)
def test_allowed_operations_are_those_of_the_service(name: str) -> None:
    view, vm, _ = described(name)
    assert sorted(allowed_operations(view, vm)) == OBSERVED[name]["VM"]["allowed_operations"]


@pytest.mark.parametrize("name", OBSERVED)
@pytest.mark.parametrize("kind_of_answer", ["assert_operation_valid", "refused"])
def test_refusals_are_those_of_the_service(name: str, kind_of_answer: str) -> None:
    view, vm, called = described(name)
    answers = OBSERVED[name]["VM"][kind_of_answer] if kind_of_answer != "refused" else OBSERVED[name]["refused"]
    for operation, expected in answers.items():
        if kind_of_answer == "refused" and operation in SAID_BY_THE_ACTION:
            continue
        failure = why_not(view, vm, VmOperations(operation))
        found = ["ok"] if failure is None else [called if text == "vm" else text for text in failure.description]
        assert (operation, found) == (operation, expected)


@pytest.mark.parametrize("name", [name for name in OBSERVED if "VIF" in OBSERVED[name]])
def test_a_vif_is_refused_like_by_the_service(name: str) -> None:
    view, _, _ = described(name)
    seen = OBSERVED[name]["VIF"]
    vif = view.put(row(VIF, "vif", VM="vm", currently_attached=seen["plugged"]))
    assert sorted(allowed_operations(view, vif)) == seen["allowed_operations"]
    for operation in (VifOperations.PLUG, VifOperations.UNPLUG):
        failure = why_not(view, vif, operation)
        assert failure is not None
        assert [text if text != "vm" else "<vm>" for text in failure.description] == seen[operation]
