"""The data sources of VMs, hosts and SRs: what is measured, what is recorded, and the latest values."""

from __future__ import annotations

from math import isfinite, isnan
from threading import Timer

from xapi.datamodel.classes import SR, VM, DataSource, Host, host_messages, vm_messages
from xapi.datamodel.classes import sr as sr_messages
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.errors import INVALID_VALUE, VM_BAD_POWER_STATE
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import assert_allowed
from xapi.monitoring.recorder import NoSuchSource, Offered, Owner, OwnerKind, Recorder

LONGEST_DELAY = 24 * 60 * 60.0


def recorder_of(ctx: Context) -> Recorder:
    """What records the performance of this host."""
    recorder: Recorder = ctx.toolstack.part(Recorder)
    return recorder


def _described(offered: Offered) -> DataSource:
    source = offered.source
    values = {
        "name_label": source.name,
        "name_description": source.description,
        "enabled": offered.recorded,
        "standard": source.standard,
        "units": source.units,
        "min": source.low,
        "max": source.high,
        "value": 0.0 if isnan(offered.value) else offered.value,
    }
    return DataSource((NULL, *(values[field.name] for field in DataSource.fields)))


def _sources(ctx: Context, owner: Owner) -> tuple[DataSource, ...]:
    return tuple(_described(offered) for offered in recorder_of(ctx).offered(owner))


def _record(ctx: Context, owner: Owner, data_source: str) -> None:
    try:
        recorder_of(ctx).begin_recording(owner, data_source)
    except NoSuchSource:
        raise INVALID_VALUE("data_source", data_source) from None


def _query(ctx: Context, owner: Owner, data_source: str) -> float:
    try:
        return recorder_of(ctx).newest(owner, data_source)
    except NoSuchSource:
        raise INVALID_VALUE("data_source", data_source) from None


def _forget(ctx: Context, owner: Owner, data_source: str) -> None:
    try:
        recorder_of(ctx).forget_source(owner, data_source)
    except NoSuchSource:
        raise INVALID_VALUE("data_source", data_source) from None


# VMs


def _vm(ctx: Context, ref: Ref[VM]) -> Owner:
    return Owner(OwnerKind.VM, ctx.db.get(VM, ref).uuid)


@implements(vm_messages.get_data_sources)
def get_vm_data_sources(ctx: Context, self: Ref[VM]) -> tuple[DataSource, ...]:
    """List what is measured of a running VM."""
    with ctx.transaction() as transaction:  # it changes nothing: reading must not tell listeners
        assert_allowed(transaction, transaction.get(VM, self), VmOperations.DATA_SOURCE_OP)
    return _sources(ctx, _vm(ctx, self))


@implements(vm_messages.record_data_source, occupies=VmOperations.DATA_SOURCE_OP)
def record_vm_data_source(ctx: Context, self: Ref[VM], data_source: str) -> None:
    """Record a source of a running VM from now on; INVALID_VALUE when it has none of that name."""
    _record(ctx, _vm(ctx, self), data_source)


@implements(vm_messages.query_data_source)
def query_vm_data_source(ctx: Context, self: Ref[VM], data_source: str) -> float:
    """Return the newest value of a recorded source of a VM that runs or is paused; NaN when it is not known."""
    vm = ctx.db.get(VM, self)
    if vm.power_state not in (VmPowerState.RUNNING, VmPowerState.PAUSED):
        raise VM_BAD_POWER_STATE(self, "running, paused", vm.power_state.lower())
    return _query(ctx, _vm(ctx, self), data_source)


@implements(vm_messages.forget_data_source_archives, occupies=VmOperations.DATA_SOURCE_OP)
def forget_vm_data_source_archives(ctx: Context, self: Ref[VM], data_source: str) -> None:
    """Throw away the past of a source of a running VM; a standard one begins anew."""
    _forget(ctx, _vm(ctx, self), data_source)


# Hosts


def _host(ctx: Context, ref: Ref[Host]) -> Owner:
    return Owner(OwnerKind.HOST, ctx.db.get(Host, ref).uuid)


@implements(host_messages.get_data_sources, runs_on="host")
def get_host_data_sources(ctx: Context, host: Ref[Host]) -> tuple[DataSource, ...]:
    """List what is measured of the host."""
    return _sources(ctx, _host(ctx, host))


@implements(host_messages.record_data_source, runs_on="host")
def record_host_data_source(ctx: Context, host: Ref[Host], data_source: str) -> None:
    """Record a source of the host from now on; INVALID_VALUE when it has none of that name."""
    _record(ctx, _host(ctx, host), data_source)


@implements(host_messages.query_data_source, runs_on="host")
def query_host_data_source(ctx: Context, host: Ref[Host], data_source: str) -> float:
    """Return the newest value of a recorded source of the host; NaN when it is not known."""
    return _query(ctx, _host(ctx, host), data_source)


@implements(host_messages.forget_data_source_archives, runs_on="host")
def forget_host_data_source_archives(ctx: Context, host: Ref[Host], data_source: str) -> None:
    """Throw away the past of a source of the host; a standard one begins anew."""
    _forget(ctx, _host(ctx, host), data_source)


@implements(host_messages.backup_rrds, runs_on="host")
def backup_rrds(ctx: Context, host: Ref[Host], delay: float) -> None:
    """Keep all archives on disk after `delay` seconds, or before this returns when there is no delay."""
    if not isfinite(delay) or not 0.0 <= delay <= LONGEST_DELAY:
        raise INVALID_VALUE("delay", f"{delay:g}")
    recorder = recorder_of(ctx)
    if not delay:
        recorder.keep()
        return
    timer = Timer(delay, recorder.keep)
    timer.daemon = True
    timer.start()


# Storage repositories


def _sr(ctx: Context, ref: Ref[SR]) -> Owner:
    return Owner(OwnerKind.SR, ctx.db.get(SR, ref).uuid)


@implements(sr_messages.get_data_sources)
def get_sr_data_sources(ctx: Context, sr: Ref[SR]) -> tuple[DataSource, ...]:
    """List what is measured of the SR; nothing when it is not plugged in here."""
    return _sources(ctx, _sr(ctx, sr))


@implements(sr_messages.record_data_source)
def record_sr_data_source(ctx: Context, sr: Ref[SR], data_source: str) -> None:
    """Record a source of the SR from now on; INVALID_VALUE when it has none of that name."""
    _record(ctx, _sr(ctx, sr), data_source)


@implements(sr_messages.query_data_source)
def query_sr_data_source(ctx: Context, sr: Ref[SR], data_source: str) -> float:
    """Return the newest value of a recorded source of the SR; NaN when it is not known."""
    return _query(ctx, _sr(ctx, sr), data_source)


@implements(sr_messages.forget_data_source_archives)
def forget_sr_data_source_archives(ctx: Context, sr: Ref[SR], data_source: str) -> None:
    """Throw away the past of a source of the SR; a standard one begins anew."""
    _forget(ctx, _sr(ctx, sr), data_source)
