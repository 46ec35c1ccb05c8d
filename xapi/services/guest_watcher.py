"""Follows what the hypervisor tells of guests: agents that report, and guests that stop by themselves.

News come on the driver's threads; they are queued and looked after by one thread, which never waits for a guest: what
takes long (a restart) runs among the asynchronous calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread

from xapi.actions.vm.alerts import VmAlert, tell
from xapi.actions.vm.domains import mark_halted, mark_running, note_agent, note_domain
from xapi.actions.vm.power import destroy_domain, rebuild_domain
from xapi.datamodel.classes import VM
from xapi.datamodel.classes.vm import OnCrashBehaviour, OnNormalExit, OnSoftrebootBehavior, VmOperations, VmPowerState
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.occupy import occupied
from xapi.dispatch.sessions import Session
from xapi.dispatch.tasks import TaskInHand
from xapi.dispatch.toolstack import Toolstack
from xapi.dispatch.translate import translated
from xapi.hypervisor.interface import (
    ChangeKind,
    DomainChanged,
    DomainEvent,
    DomainShutdown,
    DomainState,
    GuestAgentChanged,
    HypervisorError,
    NoSuchDomain,
    Power,
    ShutdownReason,
)
from xapi.services.periodic import attempt

LOG = logging.getLogger("xapi.guests")
RESTARTING = frozenset(
    {OnCrashBehaviour.RESTART, OnCrashBehaviour.COREDUMP_AND_RESTART, OnCrashBehaviour.RENAME_RESTART}
)


def system_context(toolstack: Toolstack, name: str) -> Context:
    """The context of something that the toolstack does by itself."""
    session = Session(ref="", user="", superuser=True)
    return Context(toolstack, session, TaskInHand(toolstack.tasks, name, ""))


class GuestWatcher:
    """Keeps the rows of VMs true to their domains."""

    def __init__(self, toolstack: Toolstack) -> None:
        self._toolstack = toolstack
        self._queue: SimpleQueue[DomainEvent | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="guests", daemon=True)
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Listen from now on, and bring the rows up to what the domains have become meanwhile."""
        self._unsubscribe = self._toolstack.hypervisor.watching.subscribe(self._queue.put)
        reconcile(self._toolstack)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._unsubscribe()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            event = self._queue.get()
            if event is None:
                return
            attempt(partial(self._heed, event), "what follows from %r", event)

    def _heed(self, event: DomainEvent) -> None:
        row = self._toolstack.db.by_uuid(VM, event.uuid)
        if row is not None:
            with suppress(NoSuchDomain):  # gone again by now
                self._follow(row, event)

    def _follow(self, row: VM, event: DomainEvent) -> None:
        match event:
            case GuestAgentChanged():
                note_agent(system_context(self._toolstack, "guest agent"), row.ref)
            case DomainChanged(what=ChangeKind.MEMORY | ChangeKind.VCPUS):
                note_domain(system_context(self._toolstack, "domain"), row.ref)
            case DomainShutdown(reason=reason) if reason is not ShutdownReason.SUSPEND:
                if row.current_operations:
                    self._heed_after_the_call(event, row.ref)
                elif row.domid == event.domid:
                    self._toolstack.workers.submit(follow_shutdown, self._toolstack, row.ref, event.domid, reason)

    def _heed_after_the_call(self, event: DomainShutdown, vm: Ref[VM]) -> None:
        """Look at the news again when the VM changes, as a call that is under way now mostly looks after it itself.

        If that call fails, this is what finds the domain that has stopped meanwhile.
        """
        turn = Lock()

        def again() -> None:
            if turn.acquire(blocking=False):  # once only
                forget()
                self._queue.put(event)

        forget = self._toolstack.db.waiters.add([(VM, vm)], again)
        row = self._toolstack.db.find(VM, vm)
        if row is None or not row.current_operations:
            again()


def follow_shutdown(toolstack: Toolstack, vm: Ref[VM], domid: int, reason: ShutdownReason) -> None:
    """Do what the VM asks for when its guest stops by itself; a call that made it stop looks after it itself."""
    row = toolstack.db.find(VM, vm)
    if row is None or row.domid != domid:
        return
    ctx = system_context(toolstack, f"the guest stopped: {reason}")
    restart, keep = wanted_after(row, reason)
    if keep:
        with ctx.transaction() as transaction:
            tell(ctx, transaction, VmAlert.CRASHED if reason is ShutdownReason.CRASH else VmAlert.KEPT, row)
        return
    operation = VmOperations.HARD_REBOOT if restart else VmOperations.HARD_SHUTDOWN
    alert = VmAlert.REBOOTED_ITSELF if restart else VmAlert.STOPPED_ITSELF
    if reason is ShutdownReason.CRASH:
        alert = VmAlert.CRASHED
    try:
        with occupied(ctx, VM, vm, operation), translated(ctx):
            if restart:
                rebuild_domain(ctx, vm, alert)
            else:
                destroy_domain(ctx, vm, alert)
    except Failure as failure:
        LOG.warning("VM %s stopped (%s) and could not be looked after: %s", row.uuid, reason, failure)
    finally:
        ctx.task.succeed()


def wanted_after(row: VM, reason: ShutdownReason) -> tuple[bool, bool]:
    """Whether to restart a VM whose guest has stopped, and whether to keep its domain as it is."""
    match reason:
        case ShutdownReason.CRASH:
            return row.actions_after_crash in RESTARTING, row.actions_after_crash is OnCrashBehaviour.PRESERVE
        case ShutdownReason.SOFTREBOOT:
            softly = row.actions_after_softreboot
            restart = softly in (OnSoftrebootBehavior.SOFT_REBOOT, OnSoftrebootBehavior.RESTART)
            return restart, softly is OnSoftrebootBehavior.PRESERVE
        case ShutdownReason.REBOOT:
            return row.actions_after_reboot is OnNormalExit.RESTART, False
        case _:
            return row.actions_after_shutdown is OnNormalExit.RESTART, False


def reconcile(toolstack: Toolstack) -> None:
    """After a start: what has a domain runs, what has none is halted; domains that nobody knows go."""
    hypervisor = toolstack.hypervisor
    domains = {state.uuid: state for state in hypervisor.domains.list()}
    for row in toolstack.db.all(VM):
        if row.is_control_domain or row.is_a_template:
            continue
        state = domains.pop(row.uuid, None)
        ctx = system_context(toolstack, "start of the toolstack")
        try:
            unheard = _stopped_unheard(row, state) if state is not None else None
            if unheard is not None:
                toolstack.workers.submit(follow_shutdown, toolstack, row.ref, row.domid, unheard)
            else:
                _reconcile(ctx, row, state.power if state is not None else None)
        except (Failure, HypervisorError) as problem:
            LOG.warning("VM %s could not be brought up to date: %s", row.uuid, problem)
    for uuid in domains:
        LOG.warning("domain %s belongs to no VM and is taken away", uuid)
        hypervisor.domains.destroy(uuid)


def _stopped_unheard(row: VM, state: DomainState) -> ShutdownReason | None:
    """Why a guest that was running has stopped by itself while nobody listened; None when it has not."""
    ran = row.power_state is VmPowerState.RUNNING and row.domid == state.domid
    return state.shutdown_reason if ran and state.power is Power.STOPPED else None


def _reconcile(ctx: Context, row: VM, power: Power | None) -> None:
    recorded = row.power_state in (VmPowerState.RUNNING, VmPowerState.PAUSED)
    match power:
        case None:
            if recorded:
                LOG.warning("VM %s has no domain any more; it is halted now", row.uuid)
                mark_halted(ctx, row.ref, alert=VmAlert.LOST)
        case Power.RUNNING | Power.PAUSED if recorded:
            note_alive(ctx, row.ref, VmPowerState.RUNNING if power is Power.RUNNING else VmPowerState.PAUSED)
        case _:
            # Half a start or half a stop.
            ctx.toolstack.hypervisor.domains.destroy(row.uuid)
            if recorded:
                mark_halted(ctx, row.ref)


def note_alive(ctx: Context, vm: Ref[VM], state: VmPowerState) -> None:
    """Record again what is lost at a restart of the toolstack: consoles, and what the guest's agent said."""
    mark_running(ctx, vm, state)
    note_agent(ctx, vm)
