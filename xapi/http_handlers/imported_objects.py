"""Making the objects that an archive tells of: VMs with drives and cards, on disks and networks of this pool.

First the disks are made, empty; then all rows at once, the VMs occupied by the import; at the end, when the data is
there, the VMs are let go. What was made goes again if anything fails in between. The fields of records are taken as far
as this release knows them and can read their values; whatever else stands in an archive is passed over.
"""

from __future__ import annotations

import fnmatch
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from xapi.actions.addresses import is_mac, mac_from_seed
from xapi.actions.network import create_in as create_network
from xapi.actions.vm.copies import remove_disk
from xapi.actions.vm.record import domain_type_for, make_metrics, remove_rows
from xapi.datamodel.classes import SR, VBD, VDI, VIF, VM, Host, Network, Task, VBDMetrics, VMGuestMetrics
from xapi.datamodel.classes.vbd import VbdMode, VbdType
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.classes.vm import DomainType, VmOperations, VmPowerState
from xapi.datamodel.errors import (
    DUPLICATE_VM,
    IMPORT_ERROR,
    IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND,
    IMPORT_ERROR_FAILED_TO_FIND_OBJECT,
    IMPORT_INCOMPATIBLE_VERSION,
    VDI_CONTENT_ID_MISSING,
    VDI_LOCATION_MISSING,
    VM_BAD_POWER_STATE,
    VM_TO_IMPORT_IS_NOT_NEWER_VERSION,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Entity, Field
from xapi.datamodel.roles import allowed_roles
from xapi.datamodel.types import MapType, RefType, SetType
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.perform import run_message
from xapi.http_handlers import tpm_records
from xapi.http_handlers.xva.ova_xml import Description, ExportedObject
from xapi.lifecycle.surroundings import is_true
from xapi.lifecycle.wording import power_text
from xapi.rpc.values import decode

IMPORT_TASK: Final = "import_task"
HALF_MADE: Final = "xapi:half_imported"
"""The key of other_config that marks a VM whose import goes on; one that has it after a restart is not whole."""
MAC_SEED: Final = "mac_seed"
VM_DATA: Final = "vm-data"
NOT_TAKEN: Final = frozenset(
    {
        "uuid",
        "allowed_operations",
        "current_operations",
        "power_state",
        "domid",
        "domarch",
        "is_control_domain",
        "is_default_template",
        "memory_overhead",
        "requires_reboot",
        "version",
        "generation_id",
        "pending_guidances",
        "recommended_guidances",
        "pending_guidances_recommended",
        "pending_guidances_full",
        "currently_attached",
        "reserved",
        "runtime_properties",
        "status_code",
        "status_detail",
        "storage_lock",
    }
)
"""What is of the host that the archive comes from, or has a rule of its own here."""
KINDS_OF_DISKS: Final = frozenset({VdiType.USER, VdiType.SYSTEM, VdiType.EPHEMERAL, VdiType.SUSPEND})
MOST_DEVICES: Final = 255
MEMORY: Final = ("memory_static_min", "memory_dynamic_min", "memory_dynamic_max")


@dataclass(frozen=True, slots=True)
class Options:
    """What a client wants of an import.

    `sr` takes the disks; without one the disks must be there already. `restore` keeps UUIDs and MAC addresses, also in
    place of an older VM of the same UUID; `force` passes over what is missing; `dry_run` only looks whether it could
    be done.
    """

    sr: str = ""
    restore: bool = False
    force: bool = False
    dry_run: bool = False


class Record:
    """The record of an object in an archive, read by the types that its class declares here."""

    def __init__(self, entity: type[Entity], exported: ExportedObject) -> None:
        self.id = exported.id
        self._entity = entity
        self._snapshot = exported.snapshot

    def has(self, name: str) -> bool:
        """Whether the record has a field."""
        return name in self._snapshot

    def value(self, name: str) -> Any:
        """A field's value; its default where the record lacks it or has something of another type."""
        field = self._entity.field_named[name]
        wire = self._snapshot.get(name)
        if isinstance(wire, datetime):
            return wire if isinstance(field.default, datetime) else field.default
        if wire is None:
            return field.default
        try:
            return decode(field.type, wire, name)
        except Failure:
            return field.default

    def text(self, name: str) -> str:
        """A field's value as text, for references too."""
        return str(self.value(name))

    def plain(self) -> dict[str, Any]:
        """The values of all fields that mean the same here: no references, and nothing of the old host."""
        return {field.name: self.value(field.name) for field in self._entity.fields if _portable(field)}


def _portable(field: Field[Any]) -> bool:
    kind = field.type
    refers = (
        isinstance(kind, RefType)
        or (isinstance(kind, SetType) and isinstance(kind.of, RefType))
        or (isinstance(kind, MapType) and RefType in (type(kind.key), type(kind.value)))
    )
    return not (refers or field.derived or field.name in NOT_TAKEN)


class _Rehearsed(Exception):
    """Everything could be made."""


class Import:
    """One import under way: which object of the archive is which one here."""

    def __init__(self, ctx: Context, description: Description, options: Options) -> None:
        self._ctx = ctx
        self._options = options
        self._description = description
        self._task = ctx.task.ref  # made now: within a transaction it could not be
        self._tpms = tpm_records.records(description)
        self.names: dict[str, str] = {}
        self.vms: dict[str, str] = {}
        self._records: dict[type[Entity], dict[str, Record]] = {
            entity: {one.id: Record(entity, one) for one in description.of_class(entity.wire_name)}
            for entity in (Host, SR, VDI, VMGuestMetrics, VM, Network, VBD, VIF)
        }

    def records(self, entity: type[Entity]) -> Mapping[str, Record]:
        """The records of a class by their names in the archive."""
        return self._records[entity]

    # Before anything is made

    def check(self) -> None:
        """Refuse what cannot come here, before anything is made."""
        if self._description.newer and not self._options.force:
            raise IMPORT_INCOMPATIBLE_VERSION()
        if self._options.restore:
            for record in self.records(VM).values():
                self._check_identity(record)
            present = (self._ctx.db.by_uuid(VM, record.text("uuid")) for record in self.records(VM).values())
            replaced = {vm.ref for vm in present if vm is not None}
            tpm_records.check_identities(self._ctx.db, self._tpms, replaced)
        for name, record in self.records(Host).items():
            host = self._ctx.db.by_uuid(Host, record.text("uuid"))
            if host is not None:
                self.names[name] = host.ref
        for name, record in self.records(SR).items():
            sr = self._options.sr or getattr(self._ctx.db.by_uuid(SR, record.text("uuid")), "ref", "")
            if sr:
                self.names[name] = sr

    def _check_identity(self, record: Record) -> None:
        """A restored VM may replace an older, halted one of its UUID, and must not be there under another."""
        ctx = self._ctx
        present = ctx.db.by_uuid(VM, record.text("uuid"))
        if present is None:
            seed = record.value("other_config").get(MAC_SEED)
            twin = next((vm for vm in ctx.db.all(VM) if seed and vm.other_config.get(MAC_SEED) == seed), None)
            if twin is not None and not _is_default_template(record):
                raise DUPLICATE_VM(twin.ref)
        elif not _is_default_template(record) and not record.value("is_control_domain"):
            if present.power_state is not VmPowerState.HALTED:
                raise VM_BAD_POWER_STATE(present.ref, power_text(VmPowerState.HALTED), power_text(present.power_state))
            version = record.value("version")
            if present.version >= version and not self._options.force:
                raise VM_TO_IMPORT_IS_NOT_NEWER_VERSION(present.ref, present.version, version)

    # Disks

    def disks_with_data(self) -> list[Record]:
        """The disks whose data is in the archive: those of drives but CDs, and memory images."""
        held = {vbd.text("VDI") for vbd in self.records(VBD).values() if vbd.value("type") is not VbdType.CD}
        for name in held - {NULL, ""}:
            if name not in self.records(VDI):
                raise IMPORT_ERROR_FAILED_TO_FIND_OBJECT(name)
        return [
            record
            for name, record in sorted(self.records(VDI).items())
            if not self._on_iso_sr(record) and (name in held or record.value("type") is VdiType.SUSPEND)
        ]

    def _on_iso_sr(self, record: Record) -> bool:
        sr = self.records(SR).get(record.text("SR"))
        return sr is not None and sr.text("content_type") == "iso"

    def make_disks(self, undo: ExitStack) -> None:
        """Make an empty disk for each one whose data will come, and find the images of CD drives."""
        self._find_images()
        for record in self.disks_with_data():
            self._ctx.task.check()
            kind = record.value("type")
            values = {
                "SR": self._options.sr,
                "virtual_size": record.value("virtual_size"),
                "type": kind if kind in KINDS_OF_DISKS else VdiType.USER,
                "sharable": record.value("sharable"),
                "read_only": False,
                "sm_config": {},
                **{name: record.value(name) for name in ("name_label", "name_description", "xenstore_data", "tags")},
                "other_config": {**record.value("other_config"), IMPORT_TASK: self._task},
            }
            # Clients know the VM that is being imported by the task in its current operations: the SR must not have it.
            with self._ctx.step("VDI.create") as ctx:
                made = run_message(ctx, "VDI.create", values)
            undo.callback(remove_disk, self._ctx, made)
            self.names[record.id] = made

    def _find_images(self) -> None:
        """ISO images are found again by their names on any SR of the kind."""
        libraries = {sr.ref for sr in self._ctx.db.all(SR) if sr.content_type == "iso" and sr.type != "udev"}
        here = {vdi.location: vdi.ref for vdi in self._ctx.db.all(VDI) if vdi.SR in libraries}
        for name, record in self.records(VDI).items():
            if self._on_iso_sr(record) and record.text("location") in here:
                self.names[name] = here[record.text("location")]

    def find_disks(self) -> None:
        """Find the disks that are there already, by SR and location; VDI_LOCATION_MISSING, VDI_CONTENT_ID_MISSING."""
        self._find_images()
        here: dict[tuple[str, str], str] = {(vdi.SR, vdi.location): vdi.ref for vdi in self._ctx.db.all(VDI)}
        for record in self.disks_with_data():
            sr = self.names.get(record.text("SR"))
            location = record.text("location")
            found = here.get((sr, location)) if sr is not None else None
            if found is not None:
                self.names[record.id] = found
            elif not self._options.force:
                raise VDI_CONTENT_ID_MISSING() if sr is None else VDI_LOCATION_MISSING(sr, location)

    # Rows

    def make_rows(self, transaction: Transaction) -> None:
        """Make all rows. The VMs are occupied by the import until `complete`."""
        for name, record in self.records(VMGuestMetrics).items():
            self.names[name] = transaction.create(VMGuestMetrics, **record.plain())
        for name, record in self.records(Network).items():
            self.names[name] = self._network(transaction, record)
        for name, record in self.records(VM).items():
            if _is_default_template(record):
                self._find_template(transaction, record)
            elif not record.value("is_control_domain"):
                self.names[name] = self.vms[name] = self._make_vm(transaction, record)
        for name in self.vms:
            self._link(transaction, self.records(VM)[name])
        places: set[tuple[str, str]] = set()
        for record in self.records(VBD).values():
            self._make_vbd(transaction, record, places)
        places.clear()
        for record in self.records(VIF).values():
            self._make_vif(transaction, record, places)
        tpm_records.make(transaction, self._tpms, self.vms, self.records(VM))

    def _find_template(self, transaction: Transaction, record: Record) -> None:
        """A built-in template is the one of its name here, or nothing."""
        label = record.text("name_label")
        found = next((vm.ref for vm in transaction.all(VM) if vm.is_a_template and vm.name_label == label), None)
        if found is not None:
            self.names[record.id] = found

    def _network(self, transaction: Transaction, record: Record) -> str:
        """The network of this name, else of this bridge, else a new one."""
        label, bridge = record.text("name_label"), record.text("bridge")
        networks = transaction.all(Network)
        for found in [n for n in networks if n.name_label == label] + [n for n in networks if n.bridge == bridge]:
            return found.ref
        values = {name: record.value(name) for name in ("name_label", "name_description", "MTU", "tags")}
        return create_network(transaction, {**values, "other_config": {IMPORT_TASK: self._task}})

    def _make_vm(self, transaction: Transaction, record: Record) -> str:
        values = record.plain()
        given = values["other_config"].items()
        other = {key: text for key, text in given if key != "grant_guest_api_access" and self._may_set(key)}
        if not self._options.restore or not other.get(MAC_SEED):
            other[MAC_SEED] = str(uuid.uuid4())
        other |= {IMPORT_TASK: self._task, HALF_MADE: "true"}
        if values["domain_type"] is DomainType.UNSPECIFIED:
            values["domain_type"] = domain_type_for(values["HVM_boot_policy"])
        if not record.has("parent"):  # from before memory could be dynamic
            values |= dict.fromkeys((*MEMORY[1:], "memory_target"), values["memory_static_max"])
        values["xenstore_data"] = {k: v for k, v in values["xenstore_data"].items() if k.partition("/")[0] == VM_DATA}
        image = self.names.get(record.text("suspend_VDI"), NULL)
        suspended = record.value("power_state") is VmPowerState.SUSPENDED and image != NULL
        return transaction.create(
            VM,
            **{
                **values,
                "other_config": other,
                "version": record.value("version") + 1 if self._options.restore else 0,
                "generation_id": _fresh_generation(),
                "power_state": VmPowerState.SUSPENDED if suspended else VmPowerState.HALTED,
                "suspend_VDI": image if suspended else NULL,
                "guest_metrics": self.names.get(record.text("guest_metrics"), NULL),
                "affinity": self.names.get(record.text("affinity"), NULL),
                "metrics": make_metrics(self._ctx, transaction),
                "current_operations": {self._task: VmOperations.IMPORT},
                "domid": -1,
            },
        )

    def _may_set(self, key: str) -> bool:
        """Whether the client might set a key of a VM's other_config: an archive gives nobody more than his role."""
        roles = VM.field_named["other_config"].map_key_roles.items()
        asked = next((role for pattern, role in roles if fnmatch.fnmatchcase(key, pattern)), None)
        return asked is None or self._ctx.session.may(allowed_roles(asked))

    def _link(self, transaction: Transaction, record: Record) -> None:
        """Say of a VM what it is a snapshot of and what it comes from."""
        links = {name: self.names.get(record.text(name), NULL) for name in ("snapshot_of", "parent")}
        transaction.update(VM, self.vms[record.id], **links)

    def _make_vbd(self, transaction: Transaction, record: Record, places: set[tuple[str, str]]) -> None:
        vm = self._owner(transaction, record)
        if vm is None:
            return
        kind = record.value("type")
        vdi = self.names.get(record.text("VDI"), NULL)
        attached = record.value("currently_attached")
        if vdi == NULL and kind is not VbdType.CD:
            if attached and not self._options.force:
                raise IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND()
            return  # a drive without its disk is nothing
        _take_place(places, vm.ref, record.text("userdevice"))
        values = record.plain() | {"device": "", "empty": vdi == NULL}
        if kind is VbdType.CD:
            values["mode"] = VbdMode.RO
        transaction.create(
            VBD,
            **values,
            VM=vm.ref,
            VDI=vdi,
            currently_attached=attached and vm.power_state is VmPowerState.SUSPENDED,
            metrics=transaction.create(VBDMetrics),
        )

    def _make_vif(self, transaction: Transaction, record: Record, places: set[tuple[str, str]]) -> None:
        vm = self._owner(transaction, record)
        if vm is None:
            return
        network = self.names.get(record.text("network"))
        if network is None:
            raise IMPORT_ERROR_FAILED_TO_FIND_OBJECT(record.text("network"))
        device = record.text("device")
        if not (device.isascii() and device.isdecimal() and int(device) <= MOST_DEVICES):
            raise IMPORT_ERROR(f"a card has the device {device!r}")
        _take_place(places, vm.ref, device)
        values = record.plain()
        if not (self._options.restore and is_mac(values["MAC"])):
            values["MAC"] = mac_from_seed(vm.other_config[MAC_SEED], int(device))
            values["MAC_autogenerated"] = True
        transaction.create(
            VIF,
            **values,
            VM=vm.ref,
            network=network,
            currently_attached=record.value("currently_attached") and vm.power_state is VmPowerState.SUSPENDED,
        )

    def _owner(self, transaction: Transaction, record: Record) -> VM | None:
        """The VM that a device belongs to, None where it is one that does not come along."""
        name = record.text("VM")
        if name not in self.records(VM):
            raise IMPORT_ERROR_FAILED_TO_FIND_OBJECT(name)
        ref = self.vms.get(name)
        return None if ref is None else transaction.get(VM, ref)

    def rehearse(self) -> None:
        """Make the rows, and forget them before anybody sees them."""
        with suppress(_Rehearsed), self._ctx.transaction() as transaction:
            self.make_rows(transaction)
            raise _Rehearsed

    def make(self, undo: ExitStack) -> None:
        """Make the rows in one transaction, and see to it that they go again if the import fails."""
        with self._ctx.transaction() as transaction:
            self.make_rows(transaction)
            networks = [row.ref for row in transaction.all(Network) if row.other_config.get(IMPORT_TASK) == self._task]
            if transaction.find(Task, self._task) is not None:
                task = transaction.get(Task, self._task)
                transaction.update(Task, task.ref, other_config={**task.other_config, "object_creation": "complete"})
        undo.callback(self._unmake, networks)

    def _unmake(self, networks: list[Any]) -> None:
        with self._ctx.transaction() as transaction:
            for ref in self.vms.values():
                if transaction.find(VM, ref) is not None:
                    remove_rows(transaction, ref)
            for network in networks:
                row = transaction.find(Network, network)
                if row is not None and not row.VIFs and not row.PIFs:
                    transaction.delete(Network, network)

    # The end

    def complete(self) -> tuple[str, ...]:
        """Let the VMs go, under their old UUIDs in a restore; answers those that are no snapshots, if any."""
        with self._ctx.transaction() as transaction:
            for record in self.disks_with_data() if self._options.sr else ():
                self._finish_disk(transaction, record)
            for name, ref in self.vms.items():
                if self._options.restore:
                    self._take_identity(transaction, self.records(VM)[name], ref)
                row = transaction.get(VM, ref)
                other = {key: text for key, text in row.other_config.items() if key != HALF_MADE}
                transaction.update(VM, ref, other_config=other)
                rest = {key: value for key, value in row.current_operations.items() if key != self._task}
                transaction.refill(VM, ref, current_operations=rest)
            if self._options.restore:
                tpm_records.take_identities(transaction, self._tpms, self.vms)
            whole = tuple(ref for ref in self.vms.values() if not transaction.get(VM, ref).is_a_snapshot)
            return whole or tuple(self.vms.values())

    def _finish_disk(self, transaction: Transaction, record: Record) -> None:
        """Give a disk the fields that its data had to come before."""
        other = {key: text for key, text in record.value("other_config").items() if key != IMPORT_TASK}
        names = ("read_only", "is_a_snapshot", "snapshot_time", "on_boot", "allow_caching")
        transaction.update(
            VDI,
            self.names[record.id],
            other_config=other,
            snapshot_of=self.names.get(record.text("snapshot_of"), NULL),
            **{name: record.value(name) for name in names},
        )

    def _take_identity(self, transaction: Transaction, record: Record, ref: str) -> None:
        identity = record.text("uuid")
        if not _is_uuid(identity):
            return
        present = next((vm for vm in transaction.all(VM) if vm.uuid == identity and vm.ref != ref), None)
        if present is not None:
            if present.power_state is not VmPowerState.HALTED or present.current_operations:
                raise VM_BAD_POWER_STATE(present.ref, power_text(VmPowerState.HALTED), power_text(present.power_state))
            remove_rows(transaction, present.ref)
        transaction.update(VM, ref, uuid=identity)


def _is_default_template(record: Record) -> bool:
    default = record.value("is_default_template") or is_true(record.value("other_config"), "default_template")
    return bool(record.value("is_a_template") and default)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _fresh_generation() -> str:
    numbers = uuid.uuid4().int
    return f"{numbers >> 64 & (1 << 63) - 1}:{numbers & (1 << 63) - 1}"


def _take_place(places: set[tuple[str, str]], vm: str, device: str) -> None:
    if (vm, device) in places:
        raise IMPORT_ERROR(f"two devices of a VM have the place {device!r}")
    places.add((vm, device))
