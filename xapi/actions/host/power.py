"""Taking a host out of service and back: disable, enable, shutdown, reboot, and the toolstack's own restart."""

from __future__ import annotations

from xapi.actions.host.evacuation import guests_of
from xapi.actions.host.machine import AUTO_ENABLE, agent_of, machine_of
from xapi.datamodel.classes import VBD, VM, Host, HostMetrics, VMMetrics
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.classes.host import HostAllowedOperations
from xapi.datamodel.errors import HA_IS_ENABLED, HOST_HAS_RESIDENT_VMS, HOST_IN_USE, HOST_IS_LIVE, HOST_OFFLINE
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import assert_allowed
from xapi.dispatch.perform import run_message


@implements(api.disable)
def disable(ctx: Context, host: Ref[Host], auto_enable: bool = True) -> None:
    """Let no VM start on the host or come to it."""
    with ctx.transaction() as transaction:
        other_config = dict(transaction.get(Host, host).other_config)
        other_config.pop(AUTO_ENABLE, None)
        if not auto_enable:
            other_config[AUTO_ENABLE] = "false"
        transaction.update(Host, host, enabled=False, other_config=other_config)


@implements(api.enable)
def enable(ctx: Context, host: Ref[Host]) -> None:
    """Let VMs start on the host again, unless it is switched off or an update goes on."""
    with ctx.transaction() as transaction:
        row = transaction.get(Host, host)
        metrics = transaction.find(HostMetrics, row.metrics)
        if metrics is not None and not metrics.live:
            raise HOST_OFFLINE(host)
        assert_allowed(transaction, row, HostAllowedOperations.ENABLE)
        other_config = {key: value for key, value in row.other_config.items() if key != AUTO_ENABLE}
        transaction.update(Host, host, enabled=True, other_config=other_config)


def assert_out_of_service(ctx: Context, host: str) -> None:
    """Refuse while a VM runs on the host or its control domain uses a disk: HOST_IN_USE [host, kind, object]."""
    guests = guests_of(ctx, host)
    if guests:
        raise HOST_IN_USE(host, "vm", guests[0].ref)
    for vm in (ctx.db.find(VM, ref) for ref in ctx.db.get(Host, host).resident_VMs):
        if vm is None:
            continue
        for ref in vm.VBDs:
            vbd = ctx.db.find(VBD, ref)
            if vbd is not None and vbd.currently_attached:
                raise HOST_IN_USE(host, "vbd", ref)


@implements(api.shutdown, occupies=HostAllowedOperations.SHUTDOWN)
def shutdown(ctx: Context, host: Ref[Host]) -> None:
    """Switch off a host that is disabled and has no VM left."""
    assert_out_of_service(ctx, host)
    machine_of(ctx, "host.shutdown").shutdown()


@implements(api.reboot, occupies=HostAllowedOperations.REBOOT)
def reboot(ctx: Context, host: Ref[Host]) -> None:
    """Restart a host that is disabled and has no VM left; it is enabled when it has come back."""
    assert_out_of_service(ctx, host)
    machine_of(ctx, "host.reboot").reboot()


@implements(api.power_on, occupies=HostAllowedOperations.POWER_ON)
def power_on(ctx: Context, host: Ref[Host]) -> None:
    """Switch on a host that is off, by the method in its power_on_mode."""
    machine_of(ctx, "host.power_on").power_on(host)


def _assert_dead(ctx: Context, host: Ref[Host]) -> None:
    """Refuse while the host lives; the coordinator that does this call always lives. HOST_IS_LIVE [host]."""
    metrics = ctx.db.find(HostMetrics, ctx.db.get(Host, host).metrics)
    if host == ctx.this_host or (metrics is not None and metrics.live):
        raise HOST_IS_LIVE(host)


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[Host]) -> None:
    """Forget a host that is gone for good, with its control domain."""
    _assert_dead(ctx, self)
    if ctx.pool.ha_enabled:
        raise HA_IS_ENABLED()
    if guests_of(ctx, self):
        raise HOST_HAS_RESIDENT_VMS(self)
    with ctx.transaction() as transaction:
        host = transaction.get(Host, self)
        for vm in transaction.all(VM):
            if vm.is_control_domain and vm.resident_on == self:
                if transaction.find(VMMetrics, vm.metrics) is not None:
                    transaction.delete(VMMetrics, vm.metrics)
                transaction.delete(VM, vm.ref)
        if transaction.find(HostMetrics, host.metrics) is not None:
            transaction.delete(HostMetrics, host.metrics)
        transaction.delete(Host, self)


@implements(api.declare_dead)
def declare_dead(ctx: Context, host: Ref[Host]) -> None:
    """Take the word of the caller that a host is off: its VMs count as halted."""
    _assert_dead(ctx, host)
    for vm in guests_of(ctx, host):
        run_message(ctx, "VM.power_state_reset", vm.ref)
    with ctx.transaction() as transaction:
        transaction.update(Host, host, enabled=False)


@implements(api.restart_agent, runs_on="host")
def restart_agent(ctx: Context, host: Ref[Host]) -> None:
    """Restart the toolstack; VMs run on."""
    agent_of(ctx, "host.restart_agent").restart()


@implements(api.shutdown_agent)
def shutdown_agent(ctx: Context) -> None:
    """End the toolstack; VMs run on, and somebody must start it again by other means."""
    agent_of(ctx, "host.shutdown_agent").stop()
