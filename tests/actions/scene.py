"""A host full of things, for tests that need something of every kind: the storage is simulated, like all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.actions.storage_house import NULL, StorageHouse, storage_house
from tests.fakes.eventually import eventually
from tests.fakes.guests import halted
from xapi.datamodel.classes import Session, Task

VOLATILE = (Session, Task)


class Scene(StorageHouse):
    """A StorageHouse with a furnished VM in every state that a VM can be in."""

    def furnish(self) -> None:
        client = self.client
        self.pool = client.pool.get_all()[0]
        self.dummy = self.sr("dummy")
        self.other_sr = self.sr("dummy")
        client.pool.set_default_SR(self.pool, self.dummy)
        client.pool.set_suspend_image_SR(self.pool, self.dummy)
        self.iso_place, (self.iso,) = self.iso_sr("install.iso")
        self.network = client.network.create(
            {"name_label": "inner", "name_description": "", "MTU": "1500", "other_config": {}}
        )
        self.vm = self.furnished("running", userdevices=("0", "1"))
        client.VM.start(self.vm, False, False)
        eventually(lambda: client.VM.get_guest_metrics(self.vm), lambda ref: ref != NULL)
        self.halted = self.furnished("halted")
        self.suspended = self.furnished("suspended")
        client.VM.start(self.suspended, False, False)
        eventually(lambda: client.VM.get_guest_metrics(self.suspended), lambda ref: ref != NULL)
        client.VM.suspend(self.suspended)
        self.template = client.VM.clone(client.VM.get_by_name_label("Other install media")[0], "template")
        self.snapshot = client.VM.snapshot(self.vm, "snapshot")
        self.control_domain = client.host.get_control_domain(self.host)

    def furnished(self, name: str, userdevices: tuple[str, ...] = ("0",), **values: Any) -> str:
        """A halted VM with disks, a CD and a network card."""
        vm = halted(self.client, name_label=name, **values)
        for userdevice in userdevices:
            self.drive(vm, self.disk(self.dummy), userdevice=userdevice, bootable=userdevice == "0")
        self.drive(vm, self.iso, userdevice="3", mode="RO", type="CD")
        self.card(vm)
        return vm

    def card(self, vm: str, device: str = "0") -> str:
        made: str = self.client.VIF.create(
            {
                "device": device,
                "network": self.network,
                "VM": vm,
                "MAC": "",
                "MTU": "1500",
                "other_config": {},
                "qos_algorithm_type": "",
                "qos_algorithm_params": {},
            }
        )
        return made

    def rows(self) -> dict[str, dict[str, Any]]:
        """All rows but those that any call changes."""
        return {
            entity.wire_name: {ref: version.row for ref, version in table.items()}
            for entity, table in self.db.tables.items()
            if entity not in VOLATILE
        }


def differences(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    """What is not as it was, in words."""
    found = []
    for name, rows in before.items():
        now = after[name]
        found += [f"{name} {ref} is gone: {rows[ref]}" for ref in rows.keys() - now.keys()]
        found += [f"{name} {ref} is new: {now[ref]}" for ref in now.keys() - rows.keys()]
        for ref in rows.keys() & now.keys():
            if rows[ref] != now[ref]:
                fields = [
                    f"{field.name} was {rows[ref][field.index]!r} and is {now[ref][field.index]!r}"
                    for field in type(rows[ref]).fields
                    if rows[ref][field.index] != now[ref][field.index]
                ]
                found.append(f"{name} {ref}: {', '.join(fields)}")
    return found


@contextmanager
def furnished_scene() -> Iterator[Scene]:
    with storage_house() as plain:
        plain.__class__ = Scene
        assert isinstance(plain, Scene)
        plain.furnish()
        yield plain
