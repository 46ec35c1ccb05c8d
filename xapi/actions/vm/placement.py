"""Which host a VM can run on."""

from __future__ import annotations

from xapi.actions.vm.domain_config import domain_config
from xapi.datamodel.classes import PBD, PIF, SR, VBD, VDI, VIF, VM, Host, HostMetrics, VMGroup
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vbd import VbdType
from xapi.datamodel.classes.vm_group import PlacementPolicy
from xapi.datamodel.errors import (
    HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED,
    HOST_DISABLED,
    HOST_NOT_ENOUGH_FREE_MEMORY,
    HOST_NOT_LIVE,
    INVALID_VALUE,
    MEMORY_CONSTRAINT_VIOLATION,
    NO_HOSTS_AVAILABLE,
    VM_REQUIRES_NETWORK,
    VM_REQUIRES_SR,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle.view import View


def memory_needed(ctx: Context, row: VM) -> int:
    """The bytes that a VM needs to start, with its overhead."""
    config = domain_config(ctx.db, row)
    return config.memory.target + ctx.toolstack.hypervisor.host.memory_overhead(config)


def _assert_settings(row: VM) -> None:
    """Refuse settings that contradict one another, which clients may give in any order before a start."""
    if row.VCPUs_max < 1:
        raise INVALID_VALUE("VCPUs_max", row.VCPUs_max)
    if not 1 <= row.VCPUs_at_startup <= row.VCPUs_max:
        raise INVALID_VALUE("VCPUs_at_startup", row.VCPUs_at_startup)
    if not 0 <= row.memory_static_min <= row.memory_static_max:
        raise MEMORY_CONSTRAINT_VIOLATION("memory_static_min must be at most memory_static_max")


def assert_can_boot(ctx: Context, row: VM, host: str) -> None:
    """Raise what keeps a VM from booting on a host, if anything does."""
    place = ctx.db.find(Host, host)
    metrics = ctx.db.find(HostMetrics, place.metrics) if place is not None else None
    if place is None or metrics is None or not metrics.live:
        raise HOST_NOT_LIVE()
    if not place.enabled:
        raise HOST_DISABLED(host)
    _assert_settings(row)
    _assert_storage(ctx, row, host)
    _assert_networks(ctx, row, host)
    if host == ctx.this_host:
        needed, free = memory_needed(ctx, row), ctx.toolstack.hypervisor.host.memory_free()
        if needed > free:
            raise HOST_NOT_ENOUGH_FREE_MEMORY(needed, free)


def _assert_storage(ctx: Context, row: VM, host: str) -> None:
    reachable = {pbd.SR for pbd in ctx.db.all(PBD) if pbd.host == host and pbd.currently_attached}
    for ref in row.VBDs:
        vbd = ctx.db.find(VBD, ref)
        vdi = ctx.db.find(VDI, vbd.VDI) if vbd is not None and not vbd.empty else None
        if vdi is not None and vbd is not None and vdi.SR not in reachable and vbd.type is not VbdType.CD:
            raise VM_REQUIRES_SR(row.ref, vdi.SR)


def _assert_networks(ctx: Context, row: VM, host: str) -> None:
    """A network that has cards somewhere needs one here; one that has none anywhere lives within each host."""
    for ref in row.VIFs:
        vif = ctx.db.find(VIF, ref)
        if vif is None or vif.network == NULL:
            continue
        cards = [pif for pif in ctx.db.all(PIF) if pif.network == vif.network]
        if cards and not any(pif.host == host for pif in cards):
            raise VM_REQUIRES_NETWORK(row.ref, vif.network)


def possible_hosts(ctx: Context, row: VM) -> list[Ref[Host]]:
    """The hosts that the VM could boot on now."""
    found: list[Ref[Host]] = []
    for host in ctx.db.all(Host):
        try:
            assert_can_boot(ctx, row, host.ref)
        except Failure:
            continue
        found.append(host.ref)
    return found


def suitable_host(ctx: Context, row: VM) -> Ref[Host]:
    """The host to start a VM on: the one it prefers, or else any that can. With one host, say what is wrong there."""
    hosts = ctx.db.all(Host)
    if len(hosts) == 1:
        assert_can_boot(ctx, row, hosts[0].ref)
        return hosts[0].ref
    candidates = possible_hosts(ctx, row)
    if not candidates:
        raise NO_HOSTS_AVAILABLE()
    return preferred(ctx.db, row, candidates)


def preferred(view: View, row: VM, candidates: list[Ref[Host]]) -> Ref[Host]:
    """The best of the hosts that a VM can run on: fewest companions of its group, then its affinity, then as listed.

    A group with the policy anti_affinity spreads its members; other groups place them freely.
    """

    def companions(host: Ref[Host]) -> int:
        count = 0
        for ref in row.groups:
            group = view.find(VMGroup, ref)
            if group is not None and group.placement is PlacementPolicy.ANTI_AFFINITY:
                members = (view.find(VM, member) for member in group.VMs if member != row.ref)
                count += sum(member is not None and member.resident_on == host for member in members)
        return count

    return min(candidates, key=lambda host: (companions(host), host != row.affinity))


@implements(api.get_possible_hosts)
def get_possible_hosts(ctx: Context, vm: Ref[VM]) -> tuple[Ref[Host], ...]:
    """Answer the hosts that the VM could boot on now."""
    return tuple(possible_hosts(ctx, ctx.db.get(VM, vm)))


@implements(api.assert_can_boot_here)
def assert_can_boot_here(ctx: Context, self: Ref[VM], host: Ref[Host]) -> None:
    """Do nothing, if the VM could boot on a host now; else raise what keeps it from that."""
    assert_can_boot(ctx, ctx.db.get(VM, self), host)


@implements(api.assert_agile)
def assert_agile(ctx: Context, self: Ref[VM]) -> None:
    """Do nothing, if the VM could run on any host: all its storage is shared."""
    row = ctx.db.get(VM, self)
    for ref in row.VBDs:
        vbd = ctx.db.find(VBD, ref)
        vdi = ctx.db.find(VDI, vbd.VDI) if vbd is not None else None
        if vdi is not None and not ctx.db.get(SR, vdi.SR).shared:
            raise HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED(vdi.SR)
