"""Rows out of thin air, and a database that is a dict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, cast

from xapi.datamodel.catalog import CATALOG, empty
from xapi.datamodel.classes.host import Host
from xapi.datamodel.classes.host_metrics import HostMetrics
from xapi.datamodel.classes.pbd import PBD
from xapi.datamodel.classes.pool import Pool
from xapi.datamodel.classes.sm import SM
from xapi.datamodel.classes.sr import SR
from xapi.datamodel.classes.vbd import VBD, VbdMode, VbdType
from xapi.datamodel.classes.vdi import VDI
from xapi.datamodel.classes.vif import VIF
from xapi.datamodel.classes.vm import VM, DomainType, VmPowerState
from xapi.datamodel.classes.vm_guest_metrics import TristateType, VMGuestMetrics
from xapi.datamodel.classes.vm_metrics import VMMetrics
from xapi.datamodel.errors import HANDLE_INVALID
from xapi.datamodel.model import Entity

E = TypeVar("E", bound=Entity)
assert CATALOG

DISK_FEATURES = {
    "SR_UPDATE": 1,
    "VDI_CREATE": 1,
    "VDI_DELETE": 1,
    "VDI_RESIZE": 1,
    "VDI_RESIZE_ONLINE": 1,
    "VDI_INTRODUCE": 1,
    "VDI_SNAPSHOT": 1,
    "VDI_CLONE": 1,
    "VDI_UPDATE": 1,
    "VDI_MIRROR": 1,
    "VDI_GENERATE_CONFIG": 1,
    "VDI_CONFIG_CBT": 1,
    "VDI_RESET_ON_BOOT": 2,
}


def row(entity: type[E], ref: str, **values: Any) -> E:
    """A row with the given fields; the others have their default, or the emptiest value of their type."""
    unknown = values.keys() - entity.field_named.keys()
    assert not unknown, unknown
    fields = (
        values.get(field.name, field.default if field.has_default else empty(field.type)) for field in entity.fields
    )
    return cast("E", entity((ref, *fields)))


def changed(old: E, **values: Any) -> E:
    """The row with other values in some fields."""
    kept = {field.name: old[field.index] for field in type(old).fields}
    return row(type(old), old.ref, **{**kept, **values})


class Rows:
    """A view of the rows put into it."""

    def __init__(self, rows: Iterable[Entity] = ()) -> None:
        self.by_class: dict[type[Entity], dict[str, Entity]] = {}
        for each in rows:
            self.put(each)

    def put(self, new: E) -> E:
        self.by_class.setdefault(type(new), {})[new.ref] = new
        return new

    def change(self, old: E, **values: Any) -> E:
        return self.put(changed(self.get(type(old), old.ref), **values))

    def find(self, entity: type[E], ref: str) -> E | None:
        return cast("E | None", self.by_class.get(entity, {}).get(ref))

    def get(self, entity: type[E], ref: str) -> E:
        found = self.find(entity, ref)
        if found is None:
            raise HANDLE_INVALID(entity.wire_name, ref)
        return found

    def all(self, entity: type[E]) -> list[E]:
        return cast("list[E]", list(self.by_class.get(entity, {}).values()))


class House:
    """One pool with a host, a plugged SR, and a VM with a disk, an empty CD drive and a VIF."""

    def __init__(self, state: VmPowerState = VmPowerState.HALTED, **vm: Any) -> None:
        view = self.view = Rows()
        running = state in (VmPowerState.RUNNING, VmPowerState.PAUSED)
        self.pool = view.put(row(Pool, "pool", master="host"))
        self.host_metrics = view.put(row(HostMetrics, "host_metrics", live=True))
        self.host = view.put(row(Host, "host", metrics="host_metrics", enabled=True, control_domain="dom0"))
        self.driver = view.put(row(SM, "sm", type="file", features=DISK_FEATURES))
        self.sr = view.put(row(SR, "sr", type="file", PBDs=("pbd",), VDIs=("vdi",)))
        self.pbd = view.put(row(PBD, "pbd", host="host", SR="sr", currently_attached=True))
        self.vdi = view.put(row(VDI, "vdi", SR="sr", VBDs=("disk",), managed=True))
        self.guest = view.put(
            row(
                VMGuestMetrics,
                "guest",
                PV_drivers_detected=True,
                can_use_hotplug_vbd=TristateType.UNSPECIFIED,
                can_use_hotplug_vif=TristateType.UNSPECIFIED,
            )
        )
        self.metrics = view.put(row(VMMetrics, "metrics", hvm=True, current_domain_type=DomainType.HVM))
        defaults: dict[str, Any] = {
            "domain_type": DomainType.HVM,
            "HVM_boot_policy": "BIOS order",
            "metrics": "metrics" if running else "OpaqueRef:NULL",
            "guest_metrics": "guest" if running else "OpaqueRef:NULL",
            "VBDs": ("disk", "cd"),
            "VIFs": ("vif",),
        }
        self.vm = view.put(row(VM, "vm", power_state=state, **(defaults | vm)))
        self.disk = view.put(
            row(
                VBD,
                "disk",
                VM="vm",
                VDI="vdi",
                type=VbdType.DISK,
                mode=VbdMode.RW,
                unpluggable=True,
                currently_attached=running,
                empty=False,
            )
        )
        self.cd = view.put(
            row(VBD, "cd", VM="vm", type=VbdType.CD, mode=VbdMode.RO, empty=True, currently_attached=running)
        )
        self.vif = view.put(row(VIF, "vif", VM="vm", currently_attached=running))
