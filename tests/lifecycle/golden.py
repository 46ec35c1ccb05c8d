"""The tables as text: operation by state. `python -m tests.lifecycle.golden` writes them anew; read the diff."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.lifecycle.rows import House
from xapi.datamodel.classes.sr import StorageOperations
from xapi.datamodel.classes.vbd import VbdOperations
from xapi.datamodel.classes.vdi import VdiOperations
from xapi.datamodel.classes.vif import VifOperations
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.model import Entity
from xapi.datamodel.types import WireEnum
from xapi.lifecycle import TABLES, why_not
from xapi.lifecycle.view import View

GOLDEN = Path(__file__).parent.parent / "golden"

VM_KINDS: dict[str, dict[str, Any]] = {
    "VM": {},
    "template": {"is_a_template": True},
    "default template": {"is_a_template": True, "is_default_template": True},
    "snapshot": {"is_a_template": True, "is_a_snapshot": True},
    "driver domain": {"is_control_domain": True, "domid": 3},
    "domain 0": {"is_control_domain": True, "domid": 0},
}
Column = tuple[str, View, Entity]


def vm_columns(kind: str) -> Iterator[Column]:
    for state in VmPowerState:
        house = House(state, **VM_KINDS[kind])
        yield state, house.view, house.vm


def device_columns(name: str) -> Iterator[Column]:
    for state in VmPowerState:
        house = House(state)
        yield state, house.view, getattr(house, name)
    house = House(VmPowerState.RUNNING)
    house.view.change(house.disk, currently_attached=False)
    house.view.change(house.vif, currently_attached=False)
    yield "Running, not plugged", house.view, house.view.get(type(getattr(house, name)), name)
    house = House(VmPowerState.RUNNING)
    house.view.change(house.guest, PV_drivers_detected=False)
    yield "Running, no drivers", house.view, getattr(house, name)


def vdi_columns() -> Iterator[Column]:
    house = House()
    yield "free", house.view, house.vdi
    house = House(VmPowerState.RUNNING)
    yield "in use", house.view, house.vdi
    house = House()
    house.view.change(house.pbd, currently_attached=False)
    yield "unplugged", house.view, house.vdi
    house = House()
    yield "snapshot", house.view, house.view.change(house.vdi, is_a_snapshot=True, cbt_enabled=True)
    house = House()
    yield "copying", house.view, house.view.change(house.vdi, current_operations={"task": VdiOperations.COPY})
    house = House()
    yield "mirroring", house.view, house.view.change(house.vdi, current_operations={"task": VdiOperations.MIRROR})


def sr_columns() -> Iterator[Column]:
    house = House()
    yield "plugged", house.view, house.sr
    house = House()
    house.view.change(house.pbd, currently_attached=False)
    yield "unplugged", house.view, house.sr
    house = House()
    house.view.change(house.pbd, currently_attached=False)
    yield "unplugged, empty", house.view, house.view.change(house.sr, VDIs=())
    house = House()
    house.view.change(house.driver, features={})
    yield "no features", house.view, house.sr
    house = House()
    yield "tools", house.view, house.view.change(house.sr, is_tools_sr=True)
    house = House()
    busy = {"task": StorageOperations.VDI_CREATE}
    yield "creating", house.view, house.view.change(house.sr, current_operations=busy)


def answer(view: View, row: Entity, operation: WireEnum) -> str:
    failure = why_not(view, row, operation)
    if failure is not None:
        return " ".join((failure.code, *(f"[{param}]" for param in failure.params)))
    return "yes" if operation in TABLES[type(row)].listed else "yes (not listed)"


def table(title: str, operations: type[WireEnum], columns: Iterator[Column]) -> Iterator[str]:
    for name, view, row in columns:
        yield f"== {title}: {name}"
        yield from (f"{operation:28} {answer(view, row, operation)}" for operation in operations)
        yield ""


def render() -> dict[str, str]:
    """The name of each golden file and what is to be in it."""
    vms = [line for kind in VM_KINDS for line in table(kind, VmOperations, vm_columns(kind))]
    devices = [
        *table("disk", VbdOperations, device_columns("disk")),
        *table("empty CD drive", VbdOperations, device_columns("cd")),
        *table("VIF", VifOperations, device_columns("vif")),
    ]
    storage = [*table("VDI", VdiOperations, vdi_columns()), *table("SR", StorageOperations, sr_columns())]
    return {
        "lifecycle-vm.txt": "\n".join(vms),
        "lifecycle-devices.txt": "\n".join(devices),
        "lifecycle-storage.txt": "\n".join(storage),
    }


def write() -> None:
    """Write the golden files anew."""
    for name, text in render().items():
        (GOLDEN / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
