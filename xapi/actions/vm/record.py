"""Making and removing VMs, and the fields that have rules of their own."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from xapi.actions.blob import content_path
from xapi.actions.secret import drop_secret
from xapi.actions.vm.domain_config import guest_data
from xapi.actions.vm.domains import RESTART
from xapi.actions.vm.memory import MOST_MEMORY, MOST_VCPUS, overhead
from xapi.datamodel.classes import (
    VBD,
    VGPU,
    VIF,
    VM,
    VMSS,
    VTPM,
    VUSB,
    Blob,
    Console,
    Crashdump,
    Host,
    VBDMetrics,
    VIFMetrics,
    VMAppliance,
    VMGroup,
    VMGuestMetrics,
    VMMetrics,
)
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vm import DomainType, OnCrashBehaviour, VmOperations, VmPowerState
from xapi.datamodel.errors import (
    HANDLE_INVALID,
    INVALID_VALUE,
    MAP_DUPLICATE_KEY,
    OPERATION_NOT_ALLOWED,
    VDI_IN_USE,
    VM_BIOS_STRINGS_ALREADY_SET,
    VM_IS_PART_OF_AN_APPLIANCE,
)
from xapi.datamodel.model import NULL, Entity, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys, implements, overrides
from xapi.dispatch.occupy import assert_allowed
from xapi.dispatch.records import checked

VENDOR_DEVICE_PLATFORM = 2  # the first virtual hardware platform that has the vendor device
BIOS_KEYS = frozenset(
    {
        "bios-vendor",
        "bios-version",
        "system-manufacturer",
        "system-product-name",
        "system-version",
        "system-serial-number",
        "enclosure-asset-tag",
        "baseboard-manufacturer",
        "baseboard-product-name",
        "baseboard-version",
        "baseboard-serial-number",
        "baseboard-asset-tag",
        "baseboard-location-in-chassis",
    }
)
LONGEST_BIOS_STRING = 512
MEMORY_FIELDS = tuple(f"memory_{name}" for name in ("static_max", "dynamic_max", "dynamic_min", "static_min", "target"))
RESTART_PRIORITIES = frozenset({"", "restart", "best-effort"})
HVM_POLICY = "BIOS order"


def domain_type_for(policy: str) -> DomainType:
    """How a VM is virtualised when only its boot policy says so."""
    return DomainType.HVM if policy else DomainType.PV


@creates(VM)
def create(ctx: Context, values: dict[str, Any]) -> Ref[VM]:
    """Make a VM without devices; amounts that contradict one another are only refused when it starts.

    It is halted, or suspended if its values say so and name the disk with its memory, as a restored backup does; a disk
    with another VM's memory is refused with VDI_IN_USE.
    """
    for name in MEMORY_FIELDS:
        if not 0 <= values.get(name, 0) <= MOST_MEMORY:
            raise INVALID_VALUE(name, values[name])
    for name in ("VCPUs_max", "VCPUs_at_startup"):
        if not 0 <= values.get(name, 0) <= MOST_VCPUS:
            raise INVALID_VALUE(name, values[name])
    for name in ("start_delay", "shutdown_delay", "order"):
        assert_not_negative(name, values.get(name, 0))
    with ctx.transaction() as transaction:
        fields = {name: checked(transaction.find, VM.field_named[name].type, value) for name, value in values.items()}
        image = fields.get("suspend_VDI", NULL)
        suspended = fields.get("power_state") is VmPowerState.SUSPENDED and image != NULL
        if suspended and any(vm.suspend_VDI == image for vm in transaction.all(VM)):
            raise VDI_IN_USE(image, "create")
        fields["power_state"] = VmPowerState.SUSPENDED if suspended else VmPowerState.HALTED
        fields["suspend_VDI"] = image if suspended else NULL
        fields["other_config"] = {"mac_seed": str(uuid.uuid4()), **fields.get("other_config", {})}
        if fields.get("domain_type", DomainType.UNSPECIFIED) == DomainType.UNSPECIFIED:
            fields["domain_type"] = domain_type_for(fields.get("HVM_boot_policy", ""))
        if fields.get("has_vendor_device"):
            platform = fields.get("hardware_platform_version", 0)
            fields["hardware_platform_version"] = max(platform, VENDOR_DEVICE_PLATFORM)
        if not fields.get("memory_target"):
            fields["memory_target"] = fields.get("memory_dynamic_max", 0)
        metrics = make_metrics(ctx, transaction)
        vm = transaction.create(VM, metrics=metrics, domid=-1, **fields)
        transaction.update(VM, vm, memory_overhead=overhead(ctx, transaction.get(VM, vm), transaction))
        return vm


def make_metrics(ctx: Context, transaction: Transaction, **values: Any) -> Ref[VMMetrics]:
    """Make the metrics of a VM that is being made."""
    return transaction.create(VMMetrics, install_time=ctx.now(), last_updated=ctx.now(), **values)


@destroys(VM, occupies=VmOperations.DESTROY)
def destroy(ctx: Context, vm: Ref[VM]) -> None:
    """Remove a VM with its devices; the disks themselves stay."""
    with ctx.transaction() as transaction:
        blobs = [blob for ref in transaction.get(VM, vm).blobs.values() if (blob := transaction.find(Blob, ref))]
        for blob in blobs:
            transaction.delete(Blob, blob.ref)
        remove_rows(transaction, vm)
    for blob in blobs:
        content_path(ctx.toolstack, blob).unlink(missing_ok=True)


def remove_rows(transaction: Transaction, vm: str) -> None:
    """Remove a VM's row and the rows of what belongs to it; its children become its parent's."""
    row = transaction.get(VM, vm)
    for child in row.children:
        transaction.update(VM, child, parent=row.parent)
    parts: list[tuple[type[Entity], str]] = [
        *((VIF, ref) for ref in row.VIFs),
        *((VUSB, ref) for ref in row.VUSBs),
        *((VTPM, ref) for ref in row.VTPMs),
        *((VGPU, ref) for ref in row.VGPUs),
        *((Console, ref) for ref in row.consoles),
        *((Crashdump, ref) for ref in row.crash_dumps),
        (VMMetrics, row.metrics),
        (VMGuestMetrics, row.guest_metrics),
    ]
    for tpm_ref in row.VTPMs:
        tpm = transaction.find(VTPM, tpm_ref)
        if tpm is not None:
            drop_secret(transaction, tpm.contents)
    for ref in row.VBDs:
        vbd = transaction.find(VBD, ref)
        if vbd is not None:
            parts += [(VBDMetrics, vbd.metrics), (VBD, ref)]
    for vif_ref in row.VIFs:
        vif = transaction.find(VIF, vif_ref)
        if vif is not None:
            parts.append((VIFMetrics, vif.metrics))
    for entity, part in parts:
        if transaction.find(entity, part) is not None:
            transaction.delete(entity, part)
    transaction.delete(VM, vm)


@overrides("VM.set_is_a_template")
def set_is_a_template(ctx: Context, self: Ref[VM], value: bool) -> None:
    """Turn a halted VM into a template, or a template into a VM."""
    with ctx.transaction() as transaction:
        row = transaction.get(VM, self)
        if value:
            assert_allowed(transaction, row, VmOperations.MAKE_INTO_TEMPLATE)
        if not value:
            if row.is_default_template:
                raise OPERATION_NOT_ALLOWED("a built-in template stays a template; clone it instead")
            # Snapshots too: backup programs do so before they export one.
            note_installed(ctx, transaction, row)
        transaction.update(VM, self, is_a_template=value)


def note_installed(ctx: Context, transaction: Transaction, row: VM) -> None:
    """Note that a template becomes a VM now, which is what counts as its installation."""
    if row.is_a_template and transaction.find(VMMetrics, row.metrics) is not None:
        transaction.update(VMMetrics, row.metrics, install_time=ctx.now())


@implements(api.set_is_default_template)
def set_is_default_template(ctx: Context, vm: Ref[VM], value: bool) -> None:
    """Mark a template as one of the built-in ones, or not."""
    with ctx.transaction() as transaction:
        row = transaction.get(VM, vm)
        if value and not row.is_a_template:
            raise OPERATION_NOT_ALLOWED("only a template can be a default template")
        transaction.update(VM, vm, is_default_template=value)


@overrides("VM.set_xenstore_data")
def set_xenstore_data(ctx: Context, self: Ref[VM], value: Mapping[str, str]) -> None:
    """Set what is kept for the guest; of it, a running guest sees at once what lies below `vm-data/`, and no more."""
    with ctx.transaction() as transaction:
        row = transaction.update(VM, self, xenstore_data=value)
    if row.domid > 0:
        ctx.toolstack.hypervisor.guest.write_vm_data(row.uuid, guest_data(row))


@overrides("VM.add_to_xenstore_data")
def add_to_xenstore_data(ctx: Context, self: Ref[VM], key: str, value: str) -> None:
    """Add one entry below `vm-data/`."""
    present = ctx.db.get(VM, self).xenstore_data
    if key in present:
        raise MAP_DUPLICATE_KEY(VM.wire_name, "xenstore_data", self, key)
    set_xenstore_data(ctx, self, {**present, key: value})


@overrides("VM.remove_from_xenstore_data")
def remove_from_xenstore_data(ctx: Context, self: Ref[VM], key: str) -> None:
    """Remove one entry."""
    present = ctx.db.get(VM, self).xenstore_data
    set_xenstore_data(ctx, self, {name: text for name, text in present.items() if name != key})


def _set(ctx: Context, vm: Ref[VM], **values: Any) -> None:
    with ctx.transaction() as transaction:
        transaction.update(VM, vm, **values)


@implements(api.set_actions_after_crash)
def set_actions_after_crash(ctx: Context, self: Ref[VM], value: OnCrashBehaviour) -> None:
    """Say what happens when the guest crashes."""
    _set(ctx, self, actions_after_crash=value)


@implements(api.set_HVM_boot_policy)
def set_HVM_boot_policy(ctx: Context, self: Ref[VM], value: str) -> None:
    """Set how the guest boots; an empty policy makes it paravirtual."""
    _set(ctx, self, HVM_boot_policy=value, domain_type=domain_type_for(value))


@implements(api.set_domain_type)
def set_domain_type(ctx: Context, self: Ref[VM], value: DomainType) -> None:
    """Set how the guest is virtualised."""
    policy = ctx.db.get(VM, self).HVM_boot_policy
    _set(ctx, self, domain_type=value, HVM_boot_policy=(policy or HVM_POLICY) if value is DomainType.HVM else "")


@implements(api.set_start_delay)
def set_start_delay(ctx: Context, self: Ref[VM], value: int) -> None:
    """Set the seconds to wait before starting the next ones in an appliance."""
    assert_not_negative("start_delay", value)
    _set(ctx, self, start_delay=value)


@implements(api.set_shutdown_delay)
def set_shutdown_delay(ctx: Context, self: Ref[VM], value: int) -> None:
    """Set the seconds to wait before shutting the next ones down in an appliance."""
    assert_not_negative("shutdown_delay", value)
    _set(ctx, self, shutdown_delay=value)


@implements(api.set_order)
def set_order(ctx: Context, self: Ref[VM], value: int) -> None:
    """Set the VM's turn in its appliance."""
    assert_not_negative("order", value)
    _set(ctx, self, order=value)


def assert_not_negative(name: str, value: int) -> None:
    """Pass numbers from 0 on; INVALID_VALUE."""
    if value < 0:
        raise INVALID_VALUE(f"{name} must be non-negative", value)


@implements(api.set_ha_restart_priority, checks_first=False)
def set_ha_restart_priority(ctx: Context, self: Ref[VM], value: str) -> None:
    """Say whether the VM is restarted when its host fails."""
    if value not in RESTART_PRIORITIES:
        raise INVALID_VALUE("ha_restart_priority", value)
    # A VM that does not run is not to be restarted before somebody has started it.
    alive = ctx.db.get(VM, self).power_state is VmPowerState.RUNNING
    _set(ctx, self, ha_restart_priority=value, ha_always_run=alive and value == RESTART)


@implements(api.set_ha_always_run)
def set_ha_always_run(ctx: Context, self: Ref[VM], value: bool) -> None:
    """Say whether the VM is to be restarted; `set_ha_restart_priority` says it better."""
    set_ha_restart_priority(ctx, self, RESTART if value else "")


@implements(api.set_suspend_VDI)
def set_suspend_VDI(ctx: Context, self: Ref[VM], value: Any) -> None:
    """Say in which VDI the memory image of a suspended VM is."""
    with ctx.transaction() as transaction:
        row = transaction.get(VM, self)
        assert_allowed(transaction, row, VmOperations.RESUME)
        image = checked(transaction.find, VM.field_named["suspend_VDI"].type, value)
        transaction.update(VM, self, suspend_VDI=image)


@implements(api.set_appliance)
def set_appliance(ctx: Context, self: Ref[VM], value: Ref[VMAppliance]) -> None:
    """Put the VM into an appliance, or take it out."""
    with ctx.transaction() as transaction:
        row = transaction.get(VM, self)
        wanted = checked(transaction.find, VM.field_named["appliance"].type, value)
        if row.is_control_domain or row.is_a_snapshot:
            raise OPERATION_NOT_ALLOWED("a control domain or a snapshot cannot be part of an appliance")
        if wanted != NULL and row.snapshot_schedule != NULL and transaction.find(VMSS, row.snapshot_schedule):
            raise VM_IS_PART_OF_AN_APPLIANCE(self, wanted)
        transaction.update(VM, self, appliance=wanted)


@implements(api.set_groups)
def set_groups(ctx: Context, self: Ref[VM], value: tuple[Ref[VMGroup], ...]) -> None:
    """Put the VM into a group, or into none; it cannot be in two."""
    with ctx.transaction() as transaction:
        if len(value) > 1:
            raise OPERATION_NOT_ALLOWED("a VM can be in one group at most")
        for group in value:
            transaction.get(VMGroup, group)
        transaction.update(VM, self, groups=value)


@implements(api.set_snapshot_schedule, checks_first=False)
def set_snapshot_schedule(ctx: Context, self: Ref[VM], value: Ref[VMSS]) -> None:
    """Put the VM under a snapshot schedule, or under none."""
    with ctx.transaction() as transaction:
        if value not in (NULL, "") and transaction.find(VMSS, value) is None:
            raise INVALID_VALUE(value)
        row = transaction.get(VM, self)
        if row.is_control_domain or row.is_a_snapshot or row.is_a_template:
            raise OPERATION_NOT_ALLOWED("only an ordinary VM can have a snapshot schedule")
        transaction.update(VM, self, snapshot_schedule=value or NULL)


@implements(api.set_has_vendor_device)
def set_has_vendor_device(ctx: Context, self: Ref[VM], value: bool) -> None:
    """Say whether the guest sees the device by which Windows finds its drivers."""
    row = ctx.db.get(VM, self)
    if row.power_state is not VmPowerState.HALTED:
        with ctx.transaction() as transaction:
            assert_allowed(transaction, row, VmOperations.CHANGING_STATIC_RANGE)
    platform = max(row.hardware_platform_version, VENDOR_DEVICE_PLATFORM) if value else row.hardware_platform_version
    _set(ctx, self, has_vendor_device=value, hardware_platform_version=platform)


@implements(api.set_bios_strings)
def set_bios_strings(ctx: Context, self: Ref[VM], value: Mapping[str, str]) -> None:
    """Set what the guest's firmware says of the machine, once."""
    for key, text in value.items():
        if key not in BIOS_KEYS:
            raise INVALID_VALUE(key, "Unknown key")
        if not text or len(text) > LONGEST_BIOS_STRING or not re.fullmatch(r"[ -~]+", text) or text != text.strip():
            raise INVALID_VALUE(key, text)
    with ctx.transaction() as transaction:
        if transaction.get(VM, self).bios_strings:
            raise VM_BIOS_STRINGS_ALREADY_SET()
        defaults = {"bios-vendor": "Xen", "bios-version": "", "hp-rombios": ""}
        transaction.update(VM, self, bios_strings={**defaults, **value})


@implements(api.copy_bios_strings)
def copy_bios_strings(ctx: Context, vm: Ref[VM], host: Ref[Host]) -> None:
    """Let the guest's firmware say what the host's says."""
    with ctx.transaction() as transaction:
        strings = transaction.get(Host, host).bios_strings
        if transaction.get(VM, vm).bios_strings:
            raise VM_BIOS_STRINGS_ALREADY_SET()
        transaction.update(VM, vm, bios_strings=strings)


def _set_map(field: str) -> None:
    """Register the setter of a map and its `add_to_` and `remove_from_`, which are declared messages here."""
    noun = f"VM.%s_{field}"

    @overrides(noun % "set")
    def set_whole(ctx: Context, self: Ref[VM], value: Mapping[Any, Any]) -> None:
        _set(ctx, self, **{field: value})

    @overrides(noun % "add_to")
    def add_to(ctx: Context, self: Ref[VM], key: Any, value: Any) -> None:
        with ctx.transaction() as transaction:
            present = transaction.get(VM, self)[VM.field_named[field].index]
            if key in present:
                raise MAP_DUPLICATE_KEY(VM.wire_name, field, self, key)
            transaction.update(VM, self, **{field: {**present, key: value}})

    @overrides(noun % "remove_from")
    def remove_from(ctx: Context, self: Ref[VM], key: Any) -> None:
        with ctx.transaction() as transaction:
            present = transaction.get(VM, self)[VM.field_named[field].index]
            rest = {name: value for name, value in present.items() if name != key}
            transaction.update(VM, self, **{field: rest})


for _field in ("other_config", "platform", "blocked_operations", "NVRAM"):
    _set_map(_field)


@implements(api.atomic_set_resident_on)
def atomic_set_resident_on(ctx: Context, vm: Ref[VM], host: Ref[Host]) -> None:
    """Say where the VM runs now, in one step with the end of what was scheduled."""
    if ctx.find(Host, host) is None:
        raise HANDLE_INVALID(Host.wire_name, host)
    _set(ctx, vm, resident_on=host, scheduled_to_be_resident_on=NULL)
