"""Whether the VMs of a host could live elsewhere, and moving them there."""

from __future__ import annotations

from collections.abc import Mapping

from xapi import lifecycle
from xapi.datamodel.classes import VM, Host, HostMetrics, Network
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.classes.host import HostAllowedOperations
from xapi.datamodel.classes.vm import VmOperations
from xapi.datamodel.errors import CANNOT_EVACUATE_HOST, INTERNAL_ERROR, NO_HOSTS_AVAILABLE, VM_BAD_POWER_STATE
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.perform import run_message

Plan = Mapping[Ref[VM], Ref[Host] | Failure]


def guests_of(ctx: Context, host: str) -> list[VM]:
    """The VMs with a domain on a host, without the control domain."""
    vms = (ctx.db.find(VM, ref) for ref in ctx.db.get(Host, host).resident_VMs)
    return [vm for vm in vms if vm is not None and not vm.is_control_domain]


def _targets(ctx: Context, host: str) -> list[Host]:
    """The other hosts that would take VMs."""
    others = (other for other in ctx.db.all(Host) if other.ref != host and other.enabled)
    metrics = ((other, ctx.db.find(HostMetrics, other.metrics)) for other in others)
    return [other for other, figures in metrics if figures is not None and figures.live]


def plan_evacuation(ctx: Context, host: str) -> Plan:
    """For each VM of a host where it would go, or why it cannot leave."""
    targets = _targets(ctx, host)
    plan: dict[Ref[VM], Ref[Host] | Failure] = {}
    for vm in guests_of(ctx, host):
        if not targets:
            plan[vm.ref] = NO_HOSTS_AVAILABLE(vm.ref)
            continue
        refusal = lifecycle.why_not(ctx.db, vm, VmOperations.POOL_MIGRATE)
        plan[vm.ref] = refusal or _first_that_takes(ctx, vm, targets)
    return plan


def _first_that_takes(ctx: Context, vm: VM, targets: list[Host]) -> Ref[Host] | Failure:
    refusal: Failure = NO_HOSTS_AVAILABLE(vm.ref)
    for target in targets:
        try:
            run_message(ctx, "VM.assert_can_boot_here", vm.ref, target.ref)
        except Failure as failure:
            refusal = failure
        else:
            return target.ref
    return refusal


@implements(api.assert_can_evacuate)
def assert_can_evacuate(ctx: Context, host: Ref[Host]) -> None:
    """Refuse when a VM could not leave: CANNOT_EVACUATE_HOST with all reasons, each as "CODE,parameter,…"."""
    outcomes = plan_evacuation(ctx, host).values()
    reasons = [",".join(outcome.description) for outcome in outcomes if isinstance(outcome, Failure)]
    if reasons:
        raise CANNOT_EVACUATE_HOST("|".join(reasons))


@implements(api.get_vms_which_prevent_evacuation)
def get_vms_which_prevent_evacuation(ctx: Context, self: Ref[Host]) -> Mapping[Ref[VM], tuple[str, ...]]:
    """The VMs that cannot leave, each with the error that says why."""
    return {
        vm: tuple(outcome.description)
        for vm, outcome in plan_evacuation(ctx, self).items()
        if isinstance(outcome, Failure)
    }


@implements(api.evacuate, occupies=HostAllowedOperations.EVACUATE)
def evacuate(ctx: Context, host: Ref[Host], network: Ref[Network] = NULL, evacuate_batch_size: int = 0) -> None:
    """Move all VMs to other hosts, or none when one of them cannot go: then its error is the answer."""
    if network != NULL:
        ctx.db.get(Network, network)
    plan = plan_evacuation(ctx, host)
    for outcome in plan.values():
        if isinstance(outcome, Failure):
            raise outcome
    options = {"live": "true"} if network == NULL else {"network": network, "live": "true"}
    for done, (vm, target) in enumerate(plan.items()):
        ctx.task.check()
        try:
            run_message(ctx, "VM.pool_migrate", vm, target, options)
        except Failure as failure:
            if failure.code != VM_BAD_POWER_STATE.code:  # one that has stopped meanwhile need not move
                raise
        ctx.task.progress((done + 1) / len(plan))
    left = guests_of(ctx, host)
    if left:
        raise INTERNAL_ERROR(f"{len(left)} VMs are still on the host, among them {left[0].uuid}")


@implements(api.get_uncooperative_resident_VMs, checks_first=False)
def get_uncooperative_resident_VMs(ctx: Context, self: Ref[Host]) -> tuple[Ref[VM], ...]:
    """None: a domain that ignores its memory target is not told apart any more."""
    return ()


@implements(api.get_uncooperative_domains, checks_first=False)
def get_uncooperative_domains(ctx: Context, self: Ref[Host]) -> tuple[str, ...]:
    """None: a domain that ignores its memory target is not told apart any more."""
    return ()
