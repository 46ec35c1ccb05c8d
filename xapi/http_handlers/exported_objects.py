"""Which objects an export tells of, and how their records look in it.

Every object gets a name (`Ref:0`, `Ref:1` …). Records refer to one another by these names; what is not in the export
becomes a null reference, and what only means something on this host is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from xapi.datamodel.classes import SR, VBD, VDI, VIF, VM, VTPM, Host, Network, VMGuestMetrics
from xapi.datamodel.classes.vbd import VbdType
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.model import EPOCH, NULL, Entity, Field
from xapi.datamodel.types import Basic, MapType, RefType, SetType, Type
from xapi.http_handlers import tpm_records
from xapi.http_handlers.xva import ova_xml
from xapi.lifecycle.view import View
from xapi.rpc.values import xml_record

EMPTIED: Final = frozenset({"allowed_operations", "current_operations", "blobs"})
ABOUT_HOSTS: Final = frozenset({"uuid", "name_label", "name_description", "hostname", "address", "edition"})
"""What an export tells of a host; the rest is nobody's business elsewhere."""
ORDER: Final[tuple[type[Entity], ...]] = (
    Host,
    VM,
    VMGuestMetrics,
    VBD,
    VIF,
    Network,
    VDI,
    SR,
    VTPM,
)
DEVICES: Final[Mapping[str, type[Entity]]] = {"vif": VIF, "vbd": VBD, "vtpm": VTPM}
"""The classes of devices that an export can leave out."""
VHD_PARENT: Final = "vhd-parent"


class Selection:
    """The objects that belong to some VMs, under their names in the export.

    With `snapshots` the VMs' snapshots come along, and what they are snapshots of is told; with `power` the VMs stay
    in their power state, suspended ones with their memory; with `parents` the disks that theirs depend on are told.
    Devices of the `excluded` classes are left out, with all that only they lead to.
    """

    def __init__(
        self,
        view: View,
        vms: Iterable[VM],
        *,
        snapshots: bool = False,
        power: bool = False,
        parents: bool = False,
        excluded: frozenset[type[Entity]] = frozenset(),
    ) -> None:
        self.names: dict[str, str] = {}
        self._view = view
        self._rows: dict[type[Entity], list[Entity]] = {entity: [] for entity in ORDER}
        self._snapshots = snapshots
        self._power = power
        self._parents = parents
        self._excluded = excluded
        for vm in vms:
            self._add_vm(vm, with_snapshots=snapshots)

    def _add(self, entity: type[Entity], ref: str) -> Any:
        """Name an object; the row of one that is new here."""
        if ref in self.names or entity in self._excluded:
            return None
        row = self._view.find(entity, ref)
        if row is not None:
            self.names[ref] = f"Ref:{len(self.names)}"
            self._rows[entity].append(row)
        return row

    def _add_vm(self, vm: VM, *, with_snapshots: bool) -> None:
        if self._add(VM, vm.ref) is None:
            return
        for vif_ref in vm.VIFs:
            vif = self._add(VIF, vif_ref)
            if vif is not None:
                self._add(Network, vif.network)
        for vbd_ref in vm.VBDs:
            vbd = self._add(VBD, vbd_ref)
            if vbd is not None and not vbd.empty:
                self._add_disk(vbd.VDI)
        for tpm in vm.VTPMs:
            self._add(VTPM, tpm)
        if with_snapshots:
            for ref in (*vm.snapshots, vm.parent):
                other = self._view.find(VM, ref)
                if other is not None:
                    self._add_vm(other, with_snapshots=False)
        if self._power and vm.power_state is VmPowerState.SUSPENDED:
            self._add_disk(vm.suspend_VDI)
        self._add(VMGuestMetrics, vm.guest_metrics)
        self._add(Host, vm.resident_on)
        self._add(Host, vm.affinity)

    def _add_disk(self, ref: str) -> None:
        vdi = self._add(VDI, ref)
        if vdi is None:
            return
        self._add(SR, vdi.SR)
        parent = vdi.sm_config.get(VHD_PARENT, "") if self._parents else ""
        if parent:
            found = next((row for row in self._view.all(VDI) if row.uuid == parent), None)
            if found is not None:
                self._add_disk(found.ref)

    def disks(self) -> list[tuple[str, VDI]]:
        """The disks whose data belongs to the export with their names, in the order in which importers await them."""
        wanted: dict[str, VDI] = {}
        for vm in self._rows[VM]:
            for ref in vm[VM.field_named["VBDs"].index]:
                vbd = self._view.find(VBD, ref)
                if ref in self.names and vbd is not None and vbd.type is not VbdType.CD and not vbd.empty:
                    self._want(vbd.VDI, wanted)
            self._want(vm[VM.field_named["suspend_VDI"].index], wanted)
        return sorted(wanted.items())

    def _want(self, ref: str, wanted: dict[str, VDI]) -> None:
        vdi = self._view.find(VDI, ref) if ref in self.names else None
        sr = self._view.find(SR, vdi.SR) if vdi is not None else None
        if vdi is not None and sr is not None and sr.content_type != "iso":
            wanted[self.names[ref]] = vdi

    def describe(self, version: Mapping[str, object]) -> bytes:
        """The description of all objects, `ova.xml`."""
        return ova_xml.render(
            version,
            (
                (entity.wire_name, self.names[row.ref], self._record(entity, row))
                for entity in ORDER
                for row in self._rows[entity]
            ),
        )

    def _record(self, entity: type[Entity], row: Entity) -> bytes:
        if isinstance(row, VTPM):
            return tpm_records.render(self._view, row, self.names.get(row.VM, NULL))
        changes = self._changes(entity, row)
        values = [
            changes[field.name] if field.name in changes else self._portable(entity, field, row[field.index])
            for field in entity.fields
        ]
        return xml_record(entity)(entity((row.ref, *values)))

    def _changes(self, entity: type[Entity], row: Entity) -> dict[str, Any]:
        if entity is VM:
            state = {} if self._power else {"power_state": VmPowerState.HALTED, "suspend_VDI": NULL}
            alone = {
                "is_a_snapshot": False,
                "snapshot_of": NULL,
                "snapshots": (),
                "snapshot_time": EPOCH,
                "transportable_snapshot_id": "",
                "parent": NULL,
            }
            return {**state, **({} if self._snapshots else alone), "protection_policy": NULL}
        if entity in (VBD, VIF) and not self._power:
            return {"currently_attached": False}
        return {}

    def _portable(self, entity: type[Entity], field: Field[Any], value: Any) -> Any:
        kind = field.type
        if field.name in EMPTIED or (entity is Host and field.name not in ABOUT_HOSTS and not _plain(kind)):
            return "" if kind is Basic.STRING else {} if isinstance(kind, MapType) else ()
        if isinstance(kind, RefType):
            return self.names.get(value, NULL)
        if isinstance(kind, SetType) and isinstance(kind.of, RefType):
            return tuple(self.names[ref] for ref in value if ref in self.names)
        if isinstance(kind, MapType) and RefType in (type(kind.key), type(kind.value)):
            return {}
        return value


def _plain(kind: Type) -> bool:
    """Whether values of the type are neither texts nor collections."""
    return not isinstance(kind, (SetType, MapType)) and kind is not Basic.STRING


def version_map(host: Host) -> dict[str, object]:
    """The map of versions with which an export begins, as the hosts of other releases read it."""
    software = host.software_version
    return {
        "hostname": host.hostname,
        "date": software.get("date", ""),
        "product_version": software.get("product_version", ""),
        "product_brand": software.get("product_brand", ""),
        "build_number": software.get("build_number", ""),
        "xapi_major": ova_xml.MAJOR,
        "xapi_minor": ova_xml.MINOR,
        "export_vsn": ova_xml.EXPORT_VERSION,
    }
