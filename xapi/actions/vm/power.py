"""Starting, stopping, pausing and rebooting VMs."""

from __future__ import annotations

from contextlib import suppress

from xapi.actions.vm.alerts import VmAlert, tell
from xapi.actions.vm.domain_config import domain_config
from xapi.actions.vm.domains import has_domain, mark_halted, mark_running, mark_running_again, note_agent, perform
from xapi.actions.vm.placement import assert_can_boot, suitable_host
from xapi.datamodel.classes import VM, Host
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.errors import VM_BAD_POWER_STATE
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import assert_allowed, occupied
from xapi.hypervisor import plan
from xapi.hypervisor.interface import HypervisorError, NoSuchDomain

SHUTDOWN_SECONDS = 1200.0  # how long a guest may take to obey


@implements(api.start, occupies=VmOperations.START)
def start(ctx: Context, vm: Ref[VM], start_paused: bool, force: bool) -> None:
    """Start a halted VM on a host that has room for it."""
    power_on(ctx, vm, suitable_host(ctx, ctx.db.get(VM, vm)), start_paused)


@implements(api.start_on, occupies=VmOperations.START_ON)
def start_on(ctx: Context, vm: Ref[VM], host: Ref[Host], start_paused: bool, force: bool) -> None:
    """Start a halted VM on a given host."""
    ctx.db.get(Host, host)
    power_on(ctx, vm, host, start_paused)


def power_on(ctx: Context, vm: Ref[VM], host: Ref[Host], paused: bool) -> None:
    """Build the VM's domain, and let it run unless it is to be paused."""
    row = ctx.db.get(VM, vm)
    assert_can_boot(ctx, row, host)
    config = domain_config(ctx.db, row, devices=True)
    perform(ctx, plan.start(config, paused))
    mark_running(ctx, vm, VmPowerState.PAUSED if paused else VmPowerState.RUNNING, VmAlert.STARTED)


@implements(api.pause, occupies=VmOperations.PAUSE)
def pause(ctx: Context, vm: Ref[VM]) -> None:
    """Stop scheduling a running VM."""
    perform(ctx, plan.pause(ctx.db.get(VM, vm).uuid))
    _set_power(ctx, vm, VmPowerState.PAUSED, VmAlert.PAUSED)


@implements(api.unpause, occupies=VmOperations.UNPAUSE)
def unpause(ctx: Context, vm: Ref[VM]) -> None:
    """Let a paused VM go on; what its guest says already is known when the call returns, as after a start."""
    perform(ctx, plan.unpause(ctx.db.get(VM, vm).uuid))
    _set_power(ctx, vm, VmPowerState.RUNNING, VmAlert.UNPAUSED)
    with suppress(NoSuchDomain):  # it may have stopped at once
        note_agent(ctx, vm)


def _set_power(ctx: Context, vm: Ref[VM], state: VmPowerState, alert: VmAlert) -> None:
    with ctx.transaction() as transaction:
        tell(ctx, transaction, alert, transaction.update(VM, vm, power_state=state))


@implements(api.clean_shutdown, occupies=VmOperations.CLEAN_SHUTDOWN)
def clean_shutdown(ctx: Context, vm: Ref[VM]) -> None:
    """Ask the guest to power off, and wait until it has."""
    shut_down(ctx, vm)


def shut_down(ctx: Context, vm: Ref[VM]) -> None:
    """Ask, wait, and take the domain away."""
    row = ctx.db.get(VM, vm)
    perform(ctx, plan.stop_clean(domain_config(ctx.db, row, devices=True), SHUTDOWN_SECONDS))
    mark_halted(ctx, vm, alert=VmAlert.SHUT_DOWN)


@implements(api.hard_shutdown, occupies=VmOperations.HARD_SHUTDOWN)
def hard_shutdown(ctx: Context, vm: Ref[VM]) -> None:
    """Take the VM's domain away without asking, or throw away a suspended VM's memory."""
    destroy_domain(ctx, vm)


def destroy_domain(ctx: Context, vm: Ref[VM], alert: VmAlert = VmAlert.STOPPED) -> None:
    """Take the domain away, if there is one, and forget a memory image."""
    row = ctx.db.get(VM, vm)
    if row.power_state is not VmPowerState.SUSPENDED:
        _cancel_others(ctx, row)
        with suppress(NoSuchDomain):  # another operation may just have taken it away
            perform(ctx, plan.stop_hard(domain_config(ctx.db, row, devices=True)))
    mark_halted(ctx, vm, alert=alert)


def _cancel_others(ctx: Context, row: VM) -> None:
    """Tell what else goes on with the VM that it need not wait any longer."""
    for task in row.current_operations:
        in_hand = ctx.toolstack.tasks.in_hand.get(task)
        if in_hand is not None and in_hand is not ctx.task:
            in_hand.cancel()


@implements(api.shutdown, occupies=VmOperations.SHUTDOWN)
def shutdown(ctx: Context, vm: Ref[VM]) -> None:
    """Ask the guest to power off; take its domain away if it will not."""
    if ctx.db.get(VM, vm).power_state is VmPowerState.RUNNING:
        try:
            shut_down(ctx, vm)
            return
        except HypervisorError:
            ctx.task.check()
    destroy_domain(ctx, vm)


@implements(api.clean_reboot, occupies=VmOperations.CLEAN_REBOOT)
def clean_reboot(ctx: Context, vm: Ref[VM]) -> None:
    """Ask the guest to reboot, and build its domain anew when it has."""
    config = domain_config(ctx.db, ctx.db.get(VM, vm), devices=True)
    perform_or_halt(ctx, vm, plan.reboot_clean(config, config, SHUTDOWN_SECONDS))
    mark_running_again(ctx, vm, VmPowerState.RUNNING, VmAlert.REBOOTED)


@implements(api.hard_reboot, occupies=VmOperations.HARD_REBOOT)
def hard_reboot(ctx: Context, vm: Ref[VM]) -> None:
    """Build the VM's domain anew without asking the guest."""
    rebuild_domain(ctx, vm)


def rebuild_domain(ctx: Context, vm: Ref[VM], alert: VmAlert = VmAlert.RESET) -> None:
    """Take the domain away and build it anew."""
    row = ctx.db.get(VM, vm)
    _cancel_others(ctx, row)
    config = domain_config(ctx.db, row, devices=True)
    perform_or_halt(ctx, vm, plan.reboot_hard(config, config))
    mark_running_again(ctx, vm, VmPowerState.RUNNING, alert)


def perform_or_halt(ctx: Context, vm: Ref[VM], wanted: plan.Plan) -> None:
    """Perform a plan that takes the domain away on its way; if it ends without one, the VM is halted."""
    completed = False
    try:
        perform(ctx, wanted)
        completed = True
    finally:
        if not completed and not has_domain(ctx, vm):
            mark_halted(ctx, vm)


@implements(api.hard_reboot_internal)
def hard_reboot_internal(ctx: Context, vm: Ref[VM]) -> None:
    """Build the VM's domain anew, as the toolstack itself asks."""
    with occupied(ctx, VM, vm, VmOperations.HARD_REBOOT):
        rebuild_domain(ctx, vm)


@implements(api.power_state_reset)
def power_state_reset(ctx: Context, vm: Ref[VM]) -> None:
    """Record the VM as halted, whatever was recorded; a domain that is still there goes."""
    row = ctx.db.get(VM, vm)
    if row.is_control_domain:
        raise VM_BAD_POWER_STATE(vm, "halted", "running")
    with occupied(ctx, VM, vm, VmOperations.POWER_STATE_RESET):
        if has_domain(ctx, vm):
            perform(ctx, plan.stop_hard(domain_config(ctx.db, row, devices=True)))
        mark_halted(ctx, vm)


@implements(api.assert_operation_valid)
def assert_operation_valid(ctx: Context, self: Ref[VM], op: VmOperations) -> None:
    """Do nothing, if the operation is allowed now; else raise what refuses it."""
    with ctx.transaction() as transaction:
        assert_allowed(transaction, transaction.get(VM, self), op)


@implements(api.update_allowed_operations)
def update_allowed_operations(ctx: Context, self: Ref[VM]) -> None:
    """Recompute what is allowed; it is kept right by itself, so this only tells listeners."""
    with ctx.transaction() as transaction:
        transaction.touch(VM, self)
