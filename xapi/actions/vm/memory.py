"""Memory and virtual CPUs: limits, targets, and what a VM costs beside its own memory."""

from __future__ import annotations

from xapi.actions.vm.domain_config import domain_config
from xapi.datamodel.classes import VM
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.errors import INVALID_VALUE, MEMORY_CONSTRAINT_VIOLATION_ORDER, VM_MEMORY_TARGET_WAIT_TIMEOUT
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import assert_allowed, occupied
from xapi.lifecycle.view import View
from xapi.rpc.values import MOST

MEBIBYTE = 1 << 20
MOST_MEMORY = 1 << 60  # what nobody has; sums of such amounts still fit into a field
MOST_VCPUS = 1 << 16
VCPU_RULE = "VCPU values must satisfy: 0 < VCPUs_at_startup \u2264 VCPUs_max"
TARGET_TOLERANCE = MEBIBYTE
TARGET_SECONDS = 256.0
HALTED_OR_LIVE = frozenset({VmPowerState.RUNNING, VmPowerState.PAUSED})


def overhead(ctx: Context, row: VM, view: View | None = None) -> int:
    """The bytes that a VM costs beside its own memory, as the hypervisor reckons; no more than a field can hold."""
    reckoned = ctx.toolstack.hypervisor.host.memory_overhead(domain_config(view or ctx.db, row))
    return min(reckoned, MOST)


def assert_order(static_min: int, dynamic_min: int, dynamic_max: int, static_max: int) -> None:
    """Pass limits of which each is at least the one before; MEMORY_CONSTRAINT_VIOLATION_ORDER."""
    if not 0 <= static_min <= dynamic_min <= dynamic_max <= static_max <= MOST_MEMORY:
        raise MEMORY_CONSTRAINT_VIOLATION_ORDER()


def _limit(
    ctx: Context,
    vm: Ref[VM],
    operation: VmOperations,
    *,
    static_min: int | None = None,
    static_max: int | None = None,
    dynamic_min: int | None = None,
    dynamic_max: int | None = None,
) -> None:
    """Set some of the four limits, when they are in order together and the VM's state lets them change."""

    def wanted(row: VM) -> tuple[int, int, int, int]:
        return (
            row.memory_static_min if static_min is None else static_min,
            row.memory_dynamic_min if dynamic_min is None else dynamic_min,
            row.memory_dynamic_max if dynamic_max is None else dynamic_max,
            row.memory_static_max if static_max is None else static_max,
        )

    present = ctx.db.get(VM, vm)
    if present.power_state in HALTED_OR_LIVE and not present.is_control_domain:
        with occupied(ctx, VM, vm, operation):
            limits = wanted(ctx.db.get(VM, vm))
            assert_order(*limits)
            # The guest first: when it refuses, the rows are as they were.
            ctx.toolstack.hypervisor.resizing.set_memory_dynamic_range(present.uuid, limits[1], limits[2])
            with ctx.transaction() as transaction:
                _store(ctx, transaction, transaction.get(VM, vm), wanted(transaction.get(VM, vm)))
        return
    with ctx.transaction() as transaction:
        row = transaction.get(VM, vm)
        assert_allowed(transaction, row, operation)
        limits = wanted(row)
        assert_order(*limits)
        _store(ctx, transaction, row, limits)


def _store(ctx: Context, transaction: Transaction, row: VM, limits: tuple[int, int, int, int]) -> None:
    static_min, dynamic_min, dynamic_max, static_max = limits
    changed = transaction.update(
        VM,
        row.ref,
        memory_static_min=static_min,
        memory_dynamic_min=dynamic_min,
        memory_dynamic_max=dynamic_max,
        memory_static_max=static_max,
        memory_target=dynamic_max if row.power_state is VmPowerState.HALTED else row.memory_target,
    )
    transaction.update(VM, row.ref, memory_overhead=overhead(ctx, changed, transaction))


@implements(api.set_memory_static_max)
def set_memory_static_max(ctx: Context, self: Ref[VM], value: int) -> None:
    """Set the most memory that the guest can ever have."""
    _limit(ctx, self, VmOperations.CHANGING_STATIC_RANGE, static_max=value)


@implements(api.set_memory_static_min)
def set_memory_static_min(ctx: Context, self: Ref[VM], value: int) -> None:
    """Set the least memory that the guest can ever live with."""
    _limit(ctx, self, VmOperations.CHANGING_STATIC_RANGE, static_min=value)


@implements(api.set_memory_static_range)
def set_memory_static_range(ctx: Context, self: Ref[VM], min: int, max: int) -> None:
    """Set both static limits together."""
    _limit(ctx, self, VmOperations.CHANGING_STATIC_RANGE, static_min=min, static_max=max)


@implements(api.set_memory_dynamic_max)
def set_memory_dynamic_max(ctx: Context, self: Ref[VM], value: int) -> None:
    """Set the most memory that the guest has now."""
    _limit(ctx, self, VmOperations.CHANGING_DYNAMIC_RANGE, dynamic_max=value)


@implements(api.set_memory_dynamic_min)
def set_memory_dynamic_min(ctx: Context, self: Ref[VM], value: int) -> None:
    """Set the least memory that the guest has now."""
    _limit(ctx, self, VmOperations.CHANGING_DYNAMIC_RANGE, dynamic_min=value)


@implements(api.set_memory_dynamic_range)
def set_memory_dynamic_range(ctx: Context, self: Ref[VM], min: int, max: int) -> None:
    """Set both dynamic limits together; a running guest's balloon follows."""
    _limit(ctx, self, VmOperations.CHANGING_DYNAMIC_RANGE, dynamic_min=min, dynamic_max=max)


@implements(api.set_memory_limits)
def set_memory_limits(
    ctx: Context, self: Ref[VM], static_min: int, static_max: int, dynamic_min: int, dynamic_max: int
) -> None:
    """Set all four limits of a halted VM together."""
    _limit(
        ctx,
        self,
        VmOperations.CHANGING_MEMORY_LIMITS,
        static_min=static_min,
        static_max=static_max,
        dynamic_min=dynamic_min,
        dynamic_max=dynamic_max,
    )


@implements(api.set_memory)
def set_memory(ctx: Context, self: Ref[VM], value: int) -> None:
    """Give a halted VM this much memory, no more and no less."""
    least = min(ctx.db.get(VM, self).memory_static_min, value)
    _limit(
        ctx,
        self,
        VmOperations.CHANGING_MEMORY_LIMITS,
        static_min=least,
        static_max=value,
        dynamic_min=value,
        dynamic_max=value,
    )


@implements(api.set_memory_target_live)
def set_memory_target_live(ctx: Context, self: Ref[VM], target: int) -> None:
    """Ask a running guest to live with this much memory; `set_memory_dynamic_range` says it better."""
    _limit(ctx, self, VmOperations.CHANGING_DYNAMIC_RANGE, dynamic_min=target, dynamic_max=target)


@implements(api.wait_memory_target_live, occupies=VmOperations.AWAITING_MEMORY_LIVE)
def wait_memory_target_live(ctx: Context, self: Ref[VM]) -> None:
    """Wait until a running guest has the memory that it was asked to live with."""
    row = ctx.db.get(VM, self)
    domains = ctx.toolstack.hypervisor.domains
    deadline = ctx.toolstack.clock.monotonic() + TARGET_SECONDS
    while True:
        state = domains.get(row.uuid)
        if abs(state.memory_actual - state.memory_target) <= TARGET_TOLERANCE:
            return
        ctx.task.check()
        if ctx.toolstack.clock.monotonic() > deadline:
            raise VM_MEMORY_TARGET_WAIT_TIMEOUT(self)
        ctx.task.pause(0.1)


@implements(api.compute_memory_overhead)
def compute_memory_overhead(ctx: Context, vm: Ref[VM]) -> int:
    """Answer the bytes that the VM costs beside its own memory."""
    return overhead(ctx, ctx.db.get(VM, vm))


@implements(api.maximise_memory)
def maximise_memory(ctx: Context, self: Ref[VM], total: int, approximate: bool) -> int:
    """Answer the most memory that the VM can have so that it costs no more than `total` with all its overhead."""
    row = ctx.db.get(VM, self)
    host = ctx.toolstack.hypervisor.host
    fits, too_much = 0, max(total, 0) // MEBIBYTE + 1
    while too_much - fits > 1:
        middle = (fits + too_much) // 2
        cost = host.memory_overhead(domain_config(ctx.db, row, static_max=middle * MEBIBYTE))
        if middle * MEBIBYTE + cost <= total:
            fits = middle
        else:
            too_much = middle
    return fits * MEBIBYTE


@implements(api.get_cooperative)
def get_cooperative(ctx: Context, self: Ref[VM]) -> bool:
    """Say whether the guest's balloon does what it is asked."""
    ctx.db.get(VM, self)
    return True


def _set_vcpus(ctx: Context, vm: Ref[VM], at_startup: int | None, maximum: int | None, value: int) -> None:
    with ctx.transaction() as transaction:
        row = transaction.get(VM, vm)
        assert_allowed(transaction, row, VmOperations.CHANGING_VCPUS)
        startup = row.VCPUs_at_startup if at_startup is None else at_startup
        most = row.VCPUs_max if maximum is None else maximum
        if not 0 < startup <= most <= MOST_VCPUS:
            raise INVALID_VALUE(VCPU_RULE, value)
        transaction.update(VM, vm, VCPUs_at_startup=startup, VCPUs_max=most)


@implements(api.set_VCPUs_max)
def set_VCPUs_max(ctx: Context, self: Ref[VM], value: int) -> None:
    """Set how many virtual CPUs a halted VM can have."""
    _set_vcpus(ctx, self, None, value, value)


@implements(api.set_VCPUs_at_startup)
def set_VCPUs_at_startup(ctx: Context, self: Ref[VM], value: int) -> None:
    """Set with how many virtual CPUs a halted VM will boot."""
    _set_vcpus(ctx, self, value, None, value)


@implements(api.set_VCPUs_number_live, occupies=VmOperations.CHANGING_VCPUS_LIVE)
def set_VCPUs_number_live(ctx: Context, self: Ref[VM], nvcpu: int) -> None:
    """Plug virtual CPUs into a running guest."""
    row = ctx.db.get(VM, self)
    if not 0 < nvcpu <= row.VCPUs_max:
        raise INVALID_VALUE(VCPU_RULE, nvcpu)
    ctx.toolstack.hypervisor.resizing.set_vcpus(row.uuid, nvcpu)
    with ctx.transaction() as transaction:
        transaction.update(VM, self, VCPUs_at_startup=nvcpu)


@implements(api.add_to_VCPUs_params_live, occupies=VmOperations.CHANGING_VCPUS_LIVE)
def add_to_VCPUs_params_live(ctx: Context, self: Ref[VM], key: str, value: str) -> None:
    """Change a running guest's share of the physical CPUs: weight, cap or mask."""
    row = ctx.db.get(VM, self)
    if key not in ("weight", "cap", "mask"):
        raise INVALID_VALUE("VCPUs_params", key)
    wanted = domain_config(ctx.db, row, vcpu_params={**row.VCPUs_params, key: value}).processors
    ctx.toolstack.hypervisor.resizing.set_vcpu_sharing(row.uuid, wanted.weight, wanted.cap, wanted.mask)
    with ctx.transaction() as transaction:
        transaction.update(VM, self, VCPUs_params={**row.VCPUs_params, key: value})


@implements(api.set_HVM_shadow_multiplier)
def set_HVM_shadow_multiplier(ctx: Context, self: Ref[VM], value: float) -> None:
    """Set how generously a halted VM gets shadow memory."""
    _set_shadow(ctx, self, value, VmOperations.CHANGING_SHADOW_MEMORY)


@implements(api.set_shadow_multiplier_live)
def set_shadow_multiplier_live(ctx: Context, self: Ref[VM], multiplier: float) -> None:
    """Set how generously a running VM gets shadow memory."""
    _set_shadow(ctx, self, multiplier, VmOperations.CHANGING_SHADOW_MEMORY_LIVE)


def _set_shadow(ctx: Context, vm: Ref[VM], value: float, operation: VmOperations) -> None:
    with ctx.transaction() as transaction:
        row = transaction.get(VM, vm)
        assert_allowed(transaction, row, operation)
        if not 1.0 <= value <= 1000.0:
            raise INVALID_VALUE("HVM_shadow_multiplier", value)
        transaction.update(VM, vm, HVM_shadow_multiplier=value)
