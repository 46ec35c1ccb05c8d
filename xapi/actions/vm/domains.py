"""A VM's rows while its domain comes, lives and goes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from xapi.actions.attach_disks import AttachDisks
from xapi.actions.attach_networks import AttachNetworks
from xapi.actions.device_names import device_name, device_number
from xapi.actions.vm.alerts import VmAlert, tell
from xapi.actions.vm.copies import discard_disk
from xapi.actions.vm.domain_config import KINDS, domain_config
from xapi.datamodel.classes import VBD, VIF, VM, Console, Host, VMGuestMetrics, VMMetrics
from xapi.datamodel.classes.console import ConsoleProtocol
from xapi.datamodel.classes.vm import DomainType, VmPowerState
from xapi.datamodel.classes.vm_guest_metrics import TristateType
from xapi.datamodel.errors import TASK_CANCELLED
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.hypervisor.interface import DomainKind, DomainState, GuestAgent, HypervisorError, NoSuchDomain
from xapi.hypervisor.plan import Plan, stop_hard
from xapi.hypervisor.run import Crew, run
from xapi.hypervisor.steps import Step
from xapi.lifecycle.surroundings import is_true
from xapi.network.interface import NetworkError
from xapi.storage.errors import StorageFailure

LOG = logging.getLogger("xapi.vm")
RESTART = "restart"


def perform(ctx: Context, plan: Plan, calls: Mapping[str, Callable[[], None]] | None = None) -> None:
    """Perform a plan with this host's drivers; the task tells how far it is, and can cancel it between steps.

    What fails in the cleanup of a plan whose steps are all done is tried once more, and then left to the log: the
    operation itself has happened and cannot be undone.
    """
    crew = _crew(ctx, calls)
    performed = 0

    def note(done: int, total: int, _step: Step) -> None:
        nonlocal performed
        performed = done
        ctx.task.progress(done / (total + 1))

    try:
        run(plan, crew, _report, note, lambda: ctx.task.cancelled)
    except (HypervisorError, StorageFailure, NetworkError, Failure) as error:
        if performed < len(plan.steps) or not plan.cleanup:
            raise
        LOG.warning("cleaning up after %s of %s is tried again: %s", plan.name, plan.uuid, error)
        try:
            run(Plan(plan.name, plan.uuid, (), plan.cleanup), crew, _report)
        except (HypervisorError, StorageFailure, NetworkError, Failure):
            LOG.exception("something is left over of %s of %s", plan.name, plan.uuid)


def _crew(ctx: Context, calls: Mapping[str, Callable[[], None]] | None = None) -> Crew:
    toolstack = ctx.toolstack
    return Crew(toolstack.hypervisor, toolstack.part(AttachDisks), toolstack.part(AttachNetworks), calls or {})


def _report(step: Step, error: Exception) -> None:
    LOG.error("while undoing or cleaning up, %s failed: %s", step, error)


def console_location(ctx: Context, identifier: str) -> str:
    """The URL under which a console is served by this server."""
    address = ctx.db.get(Host, ctx.this_host).address
    port = ctx.toolstack.https_port
    host = f"[{address}]" if ":" in address else address
    return f"https://{host}{'' if port == 443 else f':{port}'}/console?uuid={identifier}"


def mark_running(ctx: Context, vm: Ref[VM], state: VmPowerState, alert: VmAlert | None = None) -> None:
    """Record that the VM has a domain: where it is, that its devices are plugged, its console. A memory image goes."""
    domain = ctx.toolstack.hypervisor.domains.get(ctx.db.get(VM, vm).uuid)
    with ctx.transaction() as transaction:
        row = transaction.get(VM, vm)
        _note_life(ctx, transaction, row, domain, state, alert)
    if row.suspend_VDI != NULL:
        discard_disk(ctx, row.suspend_VDI)


def mark_running_again(ctx: Context, vm: Ref[VM], state: VmPowerState, alert: VmAlert) -> None:
    """Record the new domain of a VM that had one before.

    If somebody has stopped the VM the hard way meanwhile, that stands: TASK_CANCELLED, and the domain goes.
    """
    domain = ctx.toolstack.hypervisor.domains.get(ctx.db.get(VM, vm).uuid)
    with ctx.transaction() as transaction:
        row = transaction.get(VM, vm)
        stopped = row.power_state is VmPowerState.HALTED
        if not stopped:
            _note_life(ctx, transaction, row, domain, state, alert)
    if stopped:
        with suppress(NoSuchDomain):
            run(stop_hard(domain_config(ctx.db, row, devices=True)), _crew(ctx), _report)
        raise TASK_CANCELLED(ctx.task.ref)
    if row.suspend_VDI != NULL:
        discard_disk(ctx, row.suspend_VDI)


def _note_life(
    ctx: Context,
    transaction: Transaction,
    row: VM,
    domain: DomainState,
    state: VmPowerState,
    alert: VmAlert | None,
) -> None:
    if row.guest_metrics != NULL and transaction.find(VMGuestMetrics, row.guest_metrics) is not None:
        transaction.delete(VMGuestMetrics, row.guest_metrics)
    transaction.update(
        VM,
        row.ref,
        power_state=state,
        domid=domain.domid,
        resident_on=ctx.this_host,
        scheduled_to_be_resident_on=NULL,
        guest_metrics=NULL,
        memory_target=domain.memory_target,
        memory_overhead=domain.memory_overhead,
        requires_reboot=False,
        suspend_VDI=NULL,
        ha_always_run=row.ha_always_run or row.ha_restart_priority == RESTART,
        last_boot_CPU_flags=_cpu_flags(transaction, ctx.this_host),
    )
    _note_metrics(ctx, transaction, row, domain)
    _note_immobile(transaction, row)
    _note_devices(transaction, row, attached=True)
    if not row.consoles:
        for protocol in domain.consoles:
            _make_console(ctx, transaction, row.ref, ConsoleProtocol(str(protocol)))
    if domain.agent is not None:
        _note_agent(ctx, transaction, row.ref, domain.agent)
    if alert is not None:
        tell(ctx, transaction, alert, row)


def _cpu_flags(transaction: Transaction, host: Ref[Host]) -> dict[str, str]:
    """What the guest has seen of the physical CPUs, by which a later host for it is judged."""
    facts = transaction.get(Host, host).cpu_info
    return {"vendor": facts.get("vendor", ""), "features": facts.get("features", "")}


def _note_immobile(transaction: Transaction, row: VM) -> None:
    """Keep how the domain was started, as `platform` is already that of the next start."""
    if transaction.find(VMMetrics, row.metrics) is not None:
        nested, fixed = is_true(row.platform, "nested-virt"), is_true(row.platform, "nomigrate")
        transaction.update(VMMetrics, row.metrics, nested_virt=nested, nomigrate=fixed)


def _make_console(ctx: Context, transaction: Transaction, vm: Ref[VM], protocol: ConsoleProtocol) -> None:
    ref = transaction.create(Console, kept=False, protocol=protocol, VM=vm)
    identifier = transaction.get(Console, ref).uuid
    transaction.update(Console, ref, location=console_location(ctx, identifier))


def _note_metrics(ctx: Context, transaction: Transaction, row: VM, domain: DomainState) -> None:
    if transaction.find(VMMetrics, row.metrics) is None:
        return
    transaction.update(
        VMMetrics,
        row.metrics,
        memory_actual=domain.memory_actual,
        VCPUs_number=domain.vcpus_online,
        start_time=domain.started,
        last_updated=ctx.now(),
        hvm=domain.kind is DomainKind.HVM,
        current_domain_type=_type_of(domain.kind),
    )


def _type_of(kind: DomainKind) -> DomainType:
    return next(known for known, drivers in KINDS.items() if drivers is kind)


def _note_devices(transaction: Transaction, row: VM, *, attached: bool) -> None:
    for ref in row.VBDs:
        vbd = transaction.find(VBD, ref)
        if vbd is not None:
            values: dict[str, Any] = {"currently_attached": attached, "reserved": False}
            if attached and not vbd.device:
                hvm = row.domain_type in (DomainType.HVM, DomainType.UNSPECIFIED)
                values["device"] = device_name(device_number(vbd.userdevice), hvm=hvm)
            transaction.update(VBD, ref, **values)
    for vif_ref in row.VIFs:
        if transaction.find(VIF, vif_ref) is not None:
            transaction.update(VIF, vif_ref, currently_attached=attached, reserved=False)


def mark_halted(ctx: Context, vm: Ref[VM], alert: VmAlert | None = None) -> None:
    """Record that the VM has no domain any more. A memory image that it had goes."""
    with ctx.transaction() as transaction:
        row = transaction.get(VM, vm)
        _note_end(ctx, transaction, row, VmPowerState.HALTED, NULL, alert)
    if row.suspend_VDI != NULL:
        discard_disk(ctx, row.suspend_VDI)


def mark_suspended(ctx: Context, was: VM, image: str, alert: VmAlert | None = None) -> None:
    """Record that the VM's memory is in a disk now.

    If somebody has stopped the VM the hard way or given it another domain meanwhile, that stands: TASK_CANCELLED, and
    the image goes.
    """
    with ctx.transaction() as transaction:
        row = transaction.get(VM, was.ref)
        current = row.domid == was.domid
        if current:
            _note_end(ctx, transaction, row, VmPowerState.SUSPENDED, image, alert)
    if not current:
        discard_disk(ctx, image)
        raise TASK_CANCELLED(ctx.task.ref)


def _note_end(
    ctx: Context, transaction: Transaction, row: VM, state: VmPowerState, image: str, alert: VmAlert | None
) -> None:
    for ref in row.consoles:
        transaction.delete(Console, ref)
    if transaction.find(VMGuestMetrics, row.guest_metrics) is not None:
        transaction.delete(VMGuestMetrics, row.guest_metrics)
    _note_devices(transaction, row, attached=False)
    metrics = transaction.find(VMMetrics, row.metrics)
    if metrics is not None and state is VmPowerState.HALTED:
        transaction.update(
            VMMetrics,
            row.metrics,
            current_domain_type=DomainType.UNSPECIFIED,
            VCPUs_number=0,
            nested_virt=False,
            nomigrate=False,
        )
    transaction.update(
        VM,
        row.ref,
        power_state=state,
        domid=-1,
        resident_on=NULL,
        scheduled_to_be_resident_on=NULL,
        guest_metrics=NULL,
        suspend_VDI=image,
        requires_reboot=False,
        ha_always_run=row.ha_always_run and state is not VmPowerState.HALTED,
    )
    if alert is not None:
        tell(ctx, transaction, alert, row)


def has_domain(ctx: Context, vm: Ref[VM]) -> bool:
    """Say whether a VM has a domain here, in whatever state."""
    try:
        ctx.toolstack.hypervisor.domains.get(ctx.db.get(VM, vm).uuid)
    except NoSuchDomain:
        return False
    return True


def note_domain(ctx: Context, vm: Ref[VM]) -> None:
    """Record how much memory and how many virtual CPUs a domain has now."""
    row = ctx.db.get(VM, vm)
    domain = ctx.toolstack.hypervisor.domains.get(row.uuid)
    with ctx.transaction() as transaction:
        row = transaction.get(VM, vm)
        _note_metrics(ctx, transaction, row, domain)
        if row.memory_target != domain.memory_target:
            transaction.update(VM, vm, memory_target=domain.memory_target)


def note_agent(ctx: Context, vm: Ref[VM]) -> None:
    """Record what the guest's agent reports now."""
    row = ctx.db.get(VM, vm)
    agent = ctx.toolstack.hypervisor.domains.get(row.uuid).agent
    if agent is None:
        return
    with ctx.transaction() as transaction:
        _note_agent(ctx, transaction, vm, agent)


def _note_agent(ctx: Context, transaction: Transaction, vm: Ref[VM], agent: GuestAgent) -> None:
    row = transaction.get(VM, vm)
    if row.domid < 0:
        return
    hotplug = TristateType.YES if agent.pv_drivers_version else TristateType.UNSPECIFIED
    values: dict[str, Any] = {
        "os_version": dict(agent.os_version),
        "PV_drivers_version": dict(agent.pv_drivers_version),
        "PV_drivers_detected": bool(agent.pv_drivers_version),
        "PV_drivers_up_to_date": bool(agent.pv_drivers_version),
        "memory": dict(agent.memory),
        "networks": dict(agent.networks),
        "other": {**agent.other, **dict.fromkeys(agent.features, "1")},
        "live": agent.live,
        "can_use_hotplug_vbd": hotplug,
        "can_use_hotplug_vif": hotplug,
    }
    known = transaction.find(VMGuestMetrics, row.guest_metrics)
    if known is None:
        made = transaction.create(VMGuestMetrics, kept=False, last_updated=ctx.now(), **values)
        transaction.update(VM, vm, guest_metrics=made)
    elif any(known[VMGuestMetrics.field_named[name].index] != value for name, value in values.items()):
        transaction.update(VMGuestMetrics, known.ref, last_updated=ctx.now(), **values)
        transaction.touch(VM, vm)
    else:
        return
    for ref in row.VBDs:
        transaction.touch(VBD, ref)
    for vif_ref in row.VIFs:
        transaction.touch(VIF, vif_ref)
