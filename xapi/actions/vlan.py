"""VLANs of interfaces (XenAPI's class VLAN), on one host or on every host of the pool."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from xapi.actions.attach_networks import attacher, networking
from xapi.actions.network import check_managed as check_network_managed
from xapi.actions.pif_checks import (
    UNTAGGED,
    check_host_unconnected,
    check_managed,
    check_may_unplug,
    check_no_cards_in_use,
    check_not_in_bond,
    check_not_management,
    check_takes_vlan,
    check_unprotected,
)
from xapi.actions.pif_wiring import PifKind, base_of, bring_down, bring_up, kind_of
from xapi.datamodel.classes import PIF, VLAN, Host, HostMetrics, Network, pool_messages
from xapi.datamodel.classes import vlan as api
from xapi.datamodel.errors import (
    HANDLE_INVALID,
    INVALID_VALUE,
    IS_TUNNEL_ACCESS_PIF,
    NETWORK_INCOMPATIBLE_WITH_VLAN_ON_BRIDGE,
    NETWORK_INCOMPATIBLE_WITH_VLAN_ON_SRIOV,
    PIF_IS_PHYSICAL,
    PIF_IS_VLAN,
    PIF_VLAN_EXISTS,
    VLAN_TAG_INVALID,
)
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle.view import View
from xapi.network.interface import HIGHEST_TAG

NOBODYS_MAC: Final = "fe:ff:ff:ff:ff:ff"  # a VLAN sends with the address of what it is built on


@implements(api.pool_introduce)
def pool_introduce(
    ctx: Context, tagged_PIF: Ref[PIF], untagged_PIF: Ref[PIF], tag: int, other_config: Mapping[str, str]
) -> Ref[VLAN]:
    """Write down a VLAN that another host of the pool has."""
    with ctx.transaction() as transaction:
        transaction.get(PIF, untagged_PIF)
        made = transaction.create(
            VLAN, tagged_PIF=tagged_PIF, untagged_PIF=untagged_PIF, tag=tag, other_config=other_config
        )
        transaction.update(PIF, untagged_PIF, VLAN_master_of=made)
    return made


@implements(api.create)
def create(ctx: Context, tagged_PIF: Ref[PIF], tag: int, network: Ref[Network]) -> Ref[VLAN]:
    """Put one VLAN of an interface onto a network, and bring it up."""
    net = networking(ctx)
    with net.lock, ExitStack() as undo:
        with ctx.transaction() as transaction:
            base, target = transaction.get(PIF, tagged_PIF), transaction.get(Network, network)
            check_may_create(transaction, base, tag, target)
            vlan, pif = make_rows(transaction, base, tag, target)
        undo.callback(delete_rows, ctx, vlan)
        bring_up(net, pif)
        undo.pop_all()
    return vlan


def check_may_create(view: View, base: PIF, tag: int, network: Network) -> None:
    """Pass when the VLAN can be made."""
    check_network_managed(network)
    check_host_unconnected(view, network, base.host)
    check_managed(base)
    check_takes_vlan(base)
    _check_network_fits(view, base, network)
    if not 0 <= tag <= HIGHEST_TAG:
        raise VLAN_TAG_INVALID(tag)
    if any(view.get(VLAN, ref).tag == tag for ref in base.VLAN_slave_of):
        raise PIF_VLAN_EXISTS(base.device)


def _check_network_fits(view: View, base: PIF, network: Network) -> None:
    """A network with SR-IOV on other hosts takes only VLANs of virtual functions here, and the reverse."""
    on_sriov = kind_of(base) is PifKind.SRIOV
    for ref in network.PIFs:
        other = view.find(PIF, ref)
        below = base_of(view, other) if other is not None else None
        other_on_sriov = below is not None and kind_of(below) is PifKind.SRIOV
        if on_sriov and not other_on_sriov:
            raise NETWORK_INCOMPATIBLE_WITH_VLAN_ON_SRIOV(network.ref)
        if other is not None and not on_sriov and (other_on_sriov or kind_of(other) is PifKind.SRIOV):
            raise NETWORK_INCOMPATIBLE_WITH_VLAN_ON_BRIDGE(network.ref)


def make_rows(transaction: Transaction, base: PIF, tag: int, network: Network) -> tuple[Ref[VLAN], Ref[PIF]]:
    """Write down a VLAN and its untagged PIF, which shows the base's link state and keeps its MTU."""
    pif = transaction.create(
        PIF,
        device=base.device,
        device_name=base.device,
        network=network.ref,
        host=base.host,
        MAC=NOBODYS_MAC,
        MTU=base.MTU,
        VLAN=tag,
        metrics=base.metrics,
        physical=False,
        currently_attached=False,
    )
    vlan = transaction.create(VLAN, tagged_PIF=base.ref, untagged_PIF=pif, tag=tag)
    transaction.update(PIF, pif, VLAN_master_of=vlan)
    return vlan, pif


def delete_rows(ctx: Context, ref: Ref[VLAN]) -> None:
    """Remove a VLAN and its untagged PIF from the database."""
    with ctx.transaction() as transaction:
        vlan = transaction.get(VLAN, ref)
        transaction.delete(VLAN, ref)
        if transaction.find(PIF, vlan.untagged_PIF) is not None:
            transaction.delete(PIF, vlan.untagged_PIF)


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[VLAN]) -> None:
    """Take a VLAN down and remove it with its untagged PIF."""
    net = networking(ctx)
    with net.lock:
        pif = ctx.db.find(PIF, ctx.db.get(VLAN, self).untagged_PIF)
        if pif is None:
            delete_rows(ctx, self)
            return
        check_not_in_bond(pif)
        check_unprotected(ctx.db, pif)
        if pif.VLAN < 0:
            raise PIF_IS_PHYSICAL()
        network = ctx.db.get(Network, pif.network)
        check_managed(pif)
        check_not_management(pif)
        check_no_cards_in_use(ctx.db, network, pif.host)
        check_may_unplug(pif)
        bring_down(net, pif.ref)
        delete_rows(ctx, self)
        attacher(ctx).release(network)


# On every host of the pool


def _living(view: View, host: str) -> bool:
    row = view.find(Host, host)
    metrics = view.find(HostMetrics, row.metrics) if row is not None else None
    return metrics is not None and metrics.live


def _create_on(ctx: Context, bases: list[PIF], tag: int, network: Ref[Network]) -> tuple[Ref[PIF], ...]:
    """Make the VLAN on each of the interfaces, or on none."""
    made: list[Ref[PIF]] = []
    with ExitStack() as undo:
        for base in bases:
            vlan = create(ctx, base.ref, tag, network)
            undo.callback(destroy, ctx, vlan)
            made.append(ctx.db.get(VLAN, vlan).untagged_PIF)
        undo.pop_all()
    return tuple(made)


@implements(pool_messages.create_VLAN)
def create_on_device(ctx: Context, device: str, network: Ref[Network], VLAN: int) -> tuple[Ref[PIF], ...]:
    """Put one VLAN of the device of a name on a network, on every host that is alive."""
    found = {pif.host: pif for pif in ctx.db.all(PIF) if pif.device == device and pif.VLAN == UNTAGGED}
    hosts = [host.ref for host in ctx.db.all(Host) if _living(ctx.db, host.ref)]
    if not hosts or not found.keys() >= set(hosts):
        raise INVALID_VALUE("device", device)
    if ctx.db.find(Network, network) is None:
        raise HANDLE_INVALID(Network.wire_name, network)
    return _create_on(ctx, [found[host] for host in hosts], VLAN, network)


@implements(pool_messages.create_VLAN_from_PIF)
def create_from_pif(ctx: Context, pif: Ref[PIF], network: Ref[Network], VLAN: int) -> tuple[Ref[PIF], ...]:
    """Put one VLAN of what carries the PIF's network on each host that is alive on another network."""
    like = ctx.db.get(PIF, pif)
    if like.VLAN != UNTAGGED:
        raise PIF_IS_VLAN(pif)
    if like.tunnel_access_PIF_of:
        raise IS_TUNNEL_ACCESS_PIF(pif)
    if ctx.db.find(Network, network) is None:
        raise HANDLE_INVALID(Network.wire_name, network)
    rows = (ctx.db.find(PIF, ref) for ref in ctx.db.get(Network, like.network).PIFs)
    bases = [row for row in rows if row is not None and _living(ctx.db, row.host)]
    return _create_on(ctx, bases, VLAN, network)
