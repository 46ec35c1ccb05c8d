"""What may be done with a VM: one table of power states, then exceptions in the order in which they are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from xapi.datamodel.classes.pgpu import PGPU
from xapi.datamodel.classes.vbd import VBD
from xapi.datamodel.classes.vdi import VDI, OnBoot
from xapi.datamodel.classes.vgpu import VGPU
from xapi.datamodel.classes.vgpu_type import VGPUType, VgpuTypeImplementation
from xapi.datamodel.classes.vm import VM, VmPowerState
from xapi.datamodel.classes.vm import VmOperations as Op
from xapi.datamodel.classes.vm_appliance import VMAppliance
from xapi.datamodel.classes.vmpp import VMPP
from xapi.datamodel.classes.vmss import VMSS
from xapi.datamodel.errors import (
    NOT_SUPPORTED_DURING_UPGRADE,
    NOT_SYSTEM_DOMAIN,
    OPERATION_BLOCKED,
    OPERATION_NOT_ALLOWED,
    PROVISION_ONLY_ALLOWED_ON_TEMPLATE,
    REVERT_ONLY_ALLOWED_ON_SNAPSHOT,
    VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION,
    VM_ASSIGNED_TO_PROTECTION_POLICY,
    VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE,
    VM_BAD_POWER_STATE,
    VM_HAS_PCI_ATTACHED,
    VM_HAS_VGPU,
    VM_HAS_VUSBS,
    VM_IS_IMMOBILE,
    VM_IS_PART_OF_AN_APPLIANCE,
    VM_IS_SNAPSHOT,
    VM_IS_TEMPLATE,
    VM_IS_USING_NESTED_VIRT,
    VM_LACKS_FEATURE,
    VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED,
)
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import Current, in_progress, others
from xapi.lifecycle.surroundings import (
    clones_suspended,
    feature_missing,
    guest_metrics_of,
    is_domain_zero,
    is_true,
    metrics_of,
    needs_guest_support,
    rolling_upgrade,
    the_pool,
)
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import operation_text, power_text, power_texts

HALTED, PAUSED = VmPowerState.HALTED, VmPowerState.PAUSED
SUSPENDED, RUNNING = VmPowerState.SUSPENDED, VmPowerState.RUNNING
EVERY_STATE: Final = (HALTED, PAUSED, SUSPENDED, RUNNING)

# In the order in which VM_BAD_POWER_STATE names them.
STATES: Final[Mapping[Op, tuple[VmPowerState, ...]]] = {
    Op.IMPORT: (),  # done to a file, never to a VM
    Op.START: (HALTED,),
    Op.START_ON: (HALTED,),
    Op.PROVISION: (HALTED,),
    Op.MAKE_INTO_TEMPLATE: (HALTED,),
    Op.CREATE_VTPM: (HALTED,),
    Op.CHANGING_NVRAM: (HALTED,),
    Op.CHANGING_VCPUS: (HALTED,),  # and running, for a control domain
    Op.CHANGING_STATIC_RANGE: (HALTED,),  # likewise
    Op.CHANGING_MEMORY_LIMITS: (HALTED,),  # likewise
    Op.CHANGING_SHADOW_MEMORY: (HALTED,),
    Op.CLONE: (HALTED,),  # and suspended, for a snapshot or where the pool says so
    Op.COPY: (HALTED,),  # likewise
    Op.CREATE_TEMPLATE: (HALTED, SUSPENDED),
    Op.DESTROY: (HALTED, SUSPENDED),
    Op.EXPORT: (HALTED, SUSPENDED),
    Op.CHANGING_DYNAMIC_RANGE: (HALTED, RUNNING),
    Op.MIGRATE_SEND: (HALTED, SUSPENDED, RUNNING),
    Op.UNPAUSE: (PAUSED,),
    Op.HARD_REBOOT: (PAUSED, RUNNING),
    Op.CHECKPOINT: (PAUSED, SUSPENDED, RUNNING),
    Op.GET_BOOT_RECORD: (PAUSED, SUSPENDED, RUNNING),
    Op.HARD_SHUTDOWN: (PAUSED, SUSPENDED, RUNNING),
    Op.SHUTDOWN: (PAUSED, SUSPENDED, RUNNING),
    Op.CSVM: (SUSPENDED,),
    Op.RESUME: (SUSPENDED,),
    Op.RESUME_ON: (SUSPENDED,),
    Op.PAUSE: (RUNNING,),
    Op.SUSPEND: (RUNNING,),
    Op.CLEAN_SHUTDOWN: (RUNNING,),
    Op.CLEAN_REBOOT: (RUNNING,),
    Op.POOL_MIGRATE: (RUNNING,),
    Op.SNAPSHOT_WITH_QUIESCE: (RUNNING,),
    Op.CHANGING_VCPUS_LIVE: (RUNNING,),
    Op.CHANGING_MEMORY_LIVE: (RUNNING,),
    Op.AWAITING_MEMORY_LIVE: (RUNNING,),
    Op.CHANGING_SHADOW_MEMORY_LIVE: (RUNNING,),
    Op.CALL_PLUGIN: (RUNNING,),
    Op.DATA_SOURCE_OP: (RUNNING,),
    Op.SEND_SYSRQ: (RUNNING,),
    Op.SEND_TRIGGER: (RUNNING,),
    Op.SYSPREP: (RUNNING,),
    Op.SNAPSHOT: EVERY_STATE,
    Op.REVERT: EVERY_STATE,
    Op.REVERTING: EVERY_STATE,
    Op.METADATA_EXPORT: EVERY_STATE,
    Op.POWER_STATE_RESET: EVERY_STATE,
    Op.QUERY_SERVICES: EVERY_STATE,
    Op.ASSERT_OPERATION_VALID: EVERY_STATE,
    Op.UPDATE_ALLOWED_OPERATIONS: EVERY_STATE,
}

# What `allowed_operations` may name, in its order. The rest is asked for by calls, but not shown to clients.
LISTED: Final = (
    Op.CREATE_VTPM,
    Op.DESTROY,
    Op.METADATA_EXPORT,
    Op.EXPORT,
    Op.MAKE_INTO_TEMPLATE,
    Op.CHANGING_NVRAM,
    Op.CHANGING_SHADOW_MEMORY,
    Op.CHANGING_STATIC_RANGE,
    Op.CHANGING_DYNAMIC_RANGE,
    Op.MIGRATE_SEND,
    Op.POOL_MIGRATE,
    Op.CHANGING_VCPUS_LIVE,
    Op.PROVISION,
    Op.RESUME_ON,
    Op.RESUME,
    Op.SUSPEND,
    Op.HARD_REBOOT,
    Op.HARD_SHUTDOWN,
    Op.SYSPREP,
    Op.CLEAN_REBOOT,
    Op.CLEAN_SHUTDOWN,
    Op.UNPAUSE,
    Op.PAUSE,
    Op.START_ON,
    Op.START,
    Op.SNAPSHOT_WITH_QUIESCE,
    Op.CHECKPOINT,
    Op.REVERT,
    Op.CLONE,
    Op.COPY,
    Op.SNAPSHOT,
)

OF_A_TEMPLATE: Final = frozenset(
    {
        Op.CHANGING_DYNAMIC_RANGE,
        Op.CHANGING_STATIC_RANGE,
        Op.CHANGING_MEMORY_LIMITS,
        Op.CHANGING_SHADOW_MEMORY,
        Op.CHANGING_VCPUS,
        Op.CHANGING_NVRAM,
        Op.CLONE,
        Op.COPY,
        Op.EXPORT,
        Op.METADATA_EXPORT,
        Op.PROVISION,
    }
)
OF_AN_OWN_TEMPLATE: Final = OF_A_TEMPLATE | {Op.DESTROY, Op.MIGRATE_SEND}
OF_A_SNAPSHOT: Final = frozenset(
    {Op.REVERT, Op.CLONE, Op.COPY, Op.EXPORT, Op.DESTROY, Op.HARD_SHUTDOWN, Op.METADATA_EXPORT}
)
OF_A_CONTROL_DOMAIN: Final = frozenset(
    {
        Op.DATA_SOURCE_OP,
        Op.CHANGING_MEMORY_LIVE,
        Op.AWAITING_MEMORY_LIVE,
        Op.METADATA_EXPORT,
        Op.CHANGING_DYNAMIC_RANGE,
        Op.CHANGING_MEMORY_LIMITS,
        Op.CHANGING_STATIC_RANGE,
        Op.START,
        Op.START_ON,
        Op.CHANGING_VCPUS,
        Op.DESTROY,
    }
)
WHILE_UPGRADING: Final = frozenset(
    {
        Op.ASSERT_OPERATION_VALID,
        Op.CHANGING_MEMORY_LIVE,
        Op.CHANGING_SHADOW_MEMORY_LIVE,
        Op.CHANGING_VCPUS_LIVE,
        Op.CLEAN_REBOOT,
        Op.CLEAN_SHUTDOWN,
        Op.CLONE,
        Op.COPY,
        Op.CSVM,
        Op.DESTROY,
        Op.EXPORT,
        Op.GET_BOOT_RECORD,
        Op.HARD_REBOOT,
        Op.HARD_SHUTDOWN,
        Op.IMPORT,
        Op.MAKE_INTO_TEMPLATE,
        Op.PAUSE,
        Op.POOL_MIGRATE,
        Op.POWER_STATE_RESET,
        Op.PROVISION,
        Op.RESUME,
        Op.RESUME_ON,
        Op.SEND_SYSRQ,
        Op.SEND_TRIGGER,
        Op.START,
        Op.START_ON,
        Op.SUSPEND,
        Op.UNPAUSE,
        Op.UPDATE_ALLOWED_OPERATIONS,
    }
)

# Several of one set may go on at the same time.
TOGETHER: Final = (
    frozenset({Op.CLONE, Op.COPY, Op.EXPORT}),
    frozenset({Op.SNAPSHOT, Op.CHECKPOINT}),
    frozenset({Op.GET_BOOT_RECORD}),
)
# What one operation, being the only one, lets begin: it is part of it, or its last act.
DURING: Final[Mapping[Op, frozenset[Op]]] = {
    Op.SNAPSHOT_WITH_QUIESCE: frozenset({Op.SNAPSHOT}),
    Op.MIGRATE_SEND: frozenset({Op.METADATA_EXPORT, Op.CLEAN_SHUTDOWN, Op.CLEAN_REBOOT, Op.START, Op.START_ON}),
}
# The hard ways out only yield to each other.
STOPPED_ONLY_BY: Final[Mapping[Op, frozenset[Op]]] = {
    Op.HARD_SHUTDOWN: frozenset({Op.HARD_SHUTDOWN}),
    Op.HARD_REBOOT: frozenset({Op.HARD_SHUTDOWN, Op.HARD_REBOOT}),
}


def runs_beside(operation: Op, current: Current[Op]) -> bool:
    """Whether an operation may begin while the current ones, of which there is one at least, go on."""
    going_on = {other for _, other in current}
    if operation in STOPPED_ONLY_BY:
        return going_on.isdisjoint(STOPPED_ONLY_BY[operation])
    if any(operation in group and going_on <= group for group in TOGETHER):
        return True
    return len(current) == 1 and operation in DURING.get(current[0][1], ())


class Shape(NamedTuple):
    """What of a VM alone decides what can be thought of at all."""

    power_state: VmPowerState
    is_template: bool
    is_a_snapshot: bool
    is_default: bool  # a template that came with the product
    is_control_domain: bool
    clones_suspended: bool

    def states_for(self, operation: Op) -> tuple[VmPowerState, ...]:
        """The power states in which a VM of this shape may be asked for an operation."""
        states = STATES[operation]
        if self.is_control_domain and operation in (
            Op.CHANGING_VCPUS,
            Op.CHANGING_STATIC_RANGE,
            Op.CHANGING_MEMORY_LIMITS,
        ):
            return (*states, RUNNING)
        if operation in (Op.CLONE, Op.COPY) and (self.is_a_snapshot or self.clones_suspended):
            return (*states, SUSPENDED)
        return states

    def why_never(self, operation: Op, ref: str) -> Failure | None:
        """Why something of this kind is never asked for the operation: a template, a snapshot, or neither."""
        if self.is_a_snapshot:
            if operation not in OF_A_SNAPSHOT:
                return VM_IS_SNAPSHOT(ref, operation_text(operation))
        elif self.is_template and operation not in (OF_A_TEMPLATE if self.is_default else OF_AN_OWN_TEMPLATE):
            return VM_IS_TEMPLATE(ref, operation_text(operation))
        if operation == Op.PROVISION and not self.is_template:
            return PROVISION_ONLY_ALLOWED_ON_TEMPLATE()
        if operation == Op.REVERT and not self.is_a_snapshot:
            return REVERT_ONLY_ALLOWED_ON_SNAPSHOT()
        return None


def shape_of(view: View, vm: VM) -> Shape:
    """The shape of a VM."""
    power_state, is_template, is_a_snapshot = vm.power_state, vm.is_a_template, vm.is_a_snapshot
    return Shape(
        power_state,
        is_template,
        is_a_snapshot,
        is_template and (vm.is_default_template or is_true(vm.other_config, "default_template")),
        vm.is_control_domain,
        power_state == SUSPENDED and clones_suspended(view),
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """One exception: what it concerns, and why not, if so. `lenient` rules only stop those who do not insist."""

    operations: frozenset[Op]
    why_not: Callable[[View, VM], Failure | None]
    lenient: bool = False


def _immobile(view: View, vm: VM) -> Failure | None:
    """The host's figures say how the VM was started; without them its settings for the next start count."""
    metrics = metrics_of(view, vm)
    if metrics is not None:
        fixed = metrics.nomigrate or metrics.nested_virt
    else:
        fixed = is_true(vm.platform, "nomigrate") or is_true(vm.platform, "nested-virt")
    return VM_IS_IMMOBILE(vm.ref) if fixed else None


def _nested(view: View, vm: VM) -> Failure | None:
    metrics = metrics_of(view, vm)
    nested = metrics.nested_virt if metrics is not None else is_true(vm.platform, "nested-virt")
    return VM_IS_USING_NESTED_VIRT(vm.ref) if nested else None


def _domain_zero(view: View, vm: VM) -> Failure | None:
    if vm.is_control_domain and is_domain_zero(view, vm):
        return OPERATION_NOT_ALLOWED("This operation is not allowed on dom0")
    return None


def _control_domain(_view: View, vm: VM) -> Failure | None:
    if vm.is_control_domain:
        return OPERATION_NOT_ALLOWED("This operation is not allowed on a control domain")
    return None


def _lacks(*features: str) -> Callable[[View, VM], Failure | None]:
    """A rule for a running guest that must have announced one of the features."""

    def check(view: View, vm: VM) -> Failure | None:
        if vm.power_state != RUNNING or not needs_guest_support(view, vm):
            return None
        return VM_LACKS_FEATURE(vm.ref) if feature_missing(guest_metrics_of(view, vm), *features) else None

    return check


def _no_quiesce(view: View, vm: VM) -> Failure | None:
    guest = guest_metrics_of(view, vm)
    if guest is not None and not {"feature-quiesce", "feature-snapshot"}.isdisjoint(guest.other):
        return None
    return VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED(vm.ref)


def _resetting(*, cached: bool) -> Callable[[View, VM], Failure | None]:
    """A rule against disks that forget what was written at each boot; if `cached`, only those with a local cache."""

    def check(view: View, vm: VM) -> Failure | None:
        for ref in vm.VBDs:
            vbd = view.find(VBD, ref)
            vdi = view.find(VDI, vbd.VDI) if vbd is not None and not vbd.empty else None
            if vdi is None or (vdi.on_boot != OnBoot.RESET and vdi.sm_config.get("on_boot") != "reset"):
                continue
            if not cached or vdi.allow_caching or is_true(vdi.sm_config, "caching"):
                return VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION()
        return None

    return check


def _passed_through(_view: View, vm: VM) -> Failure | None:
    return VM_HAS_PCI_ATTACHED(vm.ref) if vm.attached_PCIs else None


def _bound_to_gpu(view: View, vm: VM) -> Failure | None:
    """Only some makes of GPU can be left, where the licence covers it and the host knows how to compare them."""
    if not vm.VGPUs or vm.power_state == HALTED:
        return None
    pool = the_pool(view)
    if pool is None or pool.restrictions.get("restrict_vgpu_migration") != "false":
        return VM_HAS_VGPU(vm.ref)
    return None if all(_can_leave(view, ref) for ref in vm.VGPUs) else VM_HAS_VGPU(vm.ref)


def _can_leave(view: View, ref: str) -> bool:
    vgpu = view.find(VGPU, ref)
    if vgpu is None:
        return False
    kind, card = view.find(VGPUType, vgpu.type), view.find(PGPU, vgpu.resident_on)
    if kind is None or card is None:
        return False
    made_for_it = kind.implementation in (VgpuTypeImplementation.NVIDIA, VgpuTypeImplementation.NVIDIA_SRIOV)
    return made_for_it and bool(card.compatibility_metadata)


def _has_usb(_view: View, vm: VM) -> Failure | None:
    return VM_HAS_VUSBS(vm.ref) if vm.VUSBs else None


def _in_appliance(view: View, vm: VM) -> Failure | None:
    found = view.find(VMAppliance, vm.appliance)
    return VM_IS_PART_OF_AN_APPLIANCE(vm.ref, vm.appliance) if found is not None else None


def _protected(view: View, vm: VM) -> Failure | None:
    found = view.find(VMPP, vm.protection_policy)
    return VM_ASSIGNED_TO_PROTECTION_POLICY(vm.ref, vm.protection_policy) if found is not None else None


def _scheduled(view: View, vm: VM) -> Failure | None:
    found = view.find(VMSS, vm.snapshot_schedule)
    return VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE(vm.ref, vm.snapshot_schedule) if found is not None else None


def _serves_nobody(_view: View, vm: VM) -> Failure | None:
    return None if is_true(vm.other_config, "is_system_domain") else NOT_SYSTEM_DOMAIN(vm.ref)


def _upgrading(view: View, _vm: VM) -> Failure | None:
    return NOT_SUPPORTED_DURING_UPGRADE() if rolling_upgrade(view) else None


MOVING: Final = frozenset({Op.SUSPEND, Op.CHECKPOINT, Op.POOL_MIGRATE, Op.MIGRATE_SEND})
EVERYTHING: Final = frozenset(Op)

RULES: Final = (
    Rule(MOVING, _immobile, lenient=True),
    Rule(frozenset({Op.CHANGING_DYNAMIC_RANGE}), _nested, lenient=True),
    Rule(frozenset({Op.CHANGING_VCPUS, Op.DESTROY}), _domain_zero),
    Rule(EVERYTHING - OF_A_CONTROL_DOMAIN, _control_domain),
    Rule(frozenset({Op.CLEAN_SHUTDOWN}), _lacks("feature-shutdown", "feature-poweroff"), lenient=True),
    Rule(frozenset({Op.CLEAN_REBOOT}), _lacks("feature-shutdown", "feature-reboot"), lenient=True),
    Rule(frozenset({Op.CHANGING_VCPUS_LIVE}), _lacks("feature-vcpu-hotplug")),
    Rule(MOVING, _lacks("feature-suspend"), lenient=True),
    Rule(frozenset({Op.SNAPSHOT_WITH_QUIESCE}), _no_quiesce),
    Rule(frozenset({Op.CHECKPOINT, Op.SNAPSHOT, Op.SUSPEND, Op.SNAPSHOT_WITH_QUIESCE}), _resetting(cached=False)),
    Rule(frozenset({Op.POOL_MIGRATE}), _resetting(cached=True)),
    Rule(MOVING, _passed_through),
    Rule(MOVING, _bound_to_gpu),
    Rule(MOVING | {Op.SNAPSHOT}, _has_usb),
    Rule(frozenset({Op.MAKE_INTO_TEMPLATE}), _in_appliance),
    Rule(frozenset({Op.MAKE_INTO_TEMPLATE}), _protected),
    Rule(frozenset({Op.MAKE_INTO_TEMPLATE}), _scheduled),
    Rule(frozenset({Op.QUERY_SERVICES}), _serves_nobody),
    Rule(EVERYTHING - WHILE_UPGRADING, _upgrading),
)


def why_not(view: View, vm: VM, operation: Op, *, ignoring: str = "", insisting: bool = False) -> Failure | None:
    """Why the VM may not be asked for the operation now, or None.

    `ignoring` is the task whose own entry in current_operations does not count; `insisting` (a client's `force`)
    passes over what the guest has not announced.
    """
    reason = vm.blocked_operations.get(operation)
    if reason is not None:
        return OPERATION_BLOCKED(vm.ref, reason)
    shape = shape_of(view, vm)
    states = shape.states_for(operation)
    if vm.power_state not in states:
        return VM_BAD_POWER_STATE(vm.ref, power_texts(states), power_text(vm.power_state))
    current = others(vm.current_operations, ignoring)
    if current and not runs_beside(operation, current):
        return in_progress("VM", vm.ref, current)
    never = shape.why_never(operation, vm.ref)
    if never is not None:
        return never
    for rule in RULES:
        if operation in rule.operations and not (insisting and rule.lenient):
            failure = rule.why_not(view, vm)
            if failure is not None:
                return failure
    return None


@cache
def candidates(shape: Shape) -> tuple[tuple[Op, ...], tuple[Rule, ...]]:
    """What a VM of a shape can be asked for if nothing else stands against it, and the rules that may do so."""
    possible = tuple(
        operation
        for operation in LISTED
        if shape.power_state in shape.states_for(operation) and shape.why_never(operation, "") is None
    )
    return possible, tuple(rule for rule in RULES if not rule.operations.isdisjoint(possible))


def allowed_operations(view: View, vm: VM) -> tuple[Op, ...]:
    """What the VM may be asked for now, of what is listed, in the order of the list."""
    possible, rules = candidates(shape_of(view, vm))
    left = set(possible)
    if vm.blocked_operations:
        left.difference_update(vm.blocked_operations)
    if vm.current_operations:
        current = tuple(vm.current_operations.items())
        left = {operation for operation in left if runs_beside(operation, current)}
    for rule in rules:
        if not left.isdisjoint(rule.operations) and rule.why_not(view, vm) is not None:
            left -= rule.operations
    return tuple(operation for operation in possible if operation in left)
