"""What goes over when a bond is made or dissolved: VLANs, tunnels and guests' cards, and all of it back on failure."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from xapi.actions.attach_networks import networking
from xapi.actions.pif_wiring import Networking, PifKind, above, bring_down, bring_up, kind_of
from xapi.actions.vif import move_to
from xapi.datamodel.classes import PIF, VIF, VLAN, VM, Host, Network, Tunnel
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Entity, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.lifecycle.view import View

LOG = logging.getLogger("xapi.actions.bond")


@dataclass(slots=True)
class Moved:
    """Interfaces and what is above them, as all of it was before.

    `new` is what was made meanwhile, `cards` are those moved so far, with the networks that they came from.
    """

    bases: list[PIF]
    children: list[PIF]
    rows: list[Entity]
    new: list[tuple[type[Entity], str]] = field(default_factory=list)
    cards: list[tuple[Ref[VIF], Ref[Network]]] = field(default_factory=list)

    @classmethod
    def of(cls, view: View, bases: list[PIF], also: Iterable[Entity] = ()) -> Moved:
        """What is above these interfaces now."""
        children = [row for base in bases for row in above(view, base)]
        rows: list[Entity] = [*bases, *children, *also]
        for base in bases:
            rows += [view.get(VLAN, ref) for ref in base.VLAN_slave_of]
            rows += [view.get(Tunnel, ref) for ref in base.tunnel_transport_PIF_of]
        return cls(list(bases), children, rows)

    def made(self, entity: type[Entity], ref: str) -> None:
        """Remember that an object is new."""
        self.new.append((entity, ref))


def bring_all_down(net: Networking, moved: Moved) -> None:
    """Take the bridges down, those above first."""
    for pif in (*moved.children, *moved.bases):
        if pif.currently_attached:
            bring_down(net, pif.ref)


def retarget(transaction: Transaction, moved: Moved, base: Ref[PIF]) -> list[tuple[Ref[Network], Ref[Network]]]:
    """Put VLANs and tunnels onto another interface.

    Two VLANs of one tag become one; answers (network that has lost its VLAN, network that has it) for each of these.
    """
    merged: list[tuple[Ref[Network], Ref[Network]]] = []
    device = transaction.get(PIF, base).device
    for child in moved.children:
        if kind_of(child) is PifKind.TUNNEL:
            transaction.update(Tunnel, child.tunnel_access_PIF_of[0], transport_PIF=base)
            continue
        present = {transaction.get(VLAN, ref).tag: ref for ref in transaction.get(PIF, base).VLAN_slave_of}
        if child.VLAN in present:
            other = transaction.get(PIF, transaction.get(VLAN, present[child.VLAN]).untagged_PIF)
            merged.append((child.network, other.network))
            transaction.delete(VLAN, child.VLAN_master_of)
            transaction.delete(PIF, child.ref)
            continue
        transaction.update(VLAN, child.VLAN_master_of, tagged_PIF=base)
        metrics = transaction.get(PIF, base).metrics
        transaction.update(PIF, child.ref, device=device, device_name=device, metrics=metrics)
    return merged


def bring_children_up(net: Networking, moved: Moved) -> None:
    """Bring those up again that were up before."""
    for child in moved.children:
        if child.currently_attached and net.db.find(PIF, child.ref) is not None:
            bring_up(net, child.ref)


def cards_of(view: View, host: str, networks: Iterable[str]) -> list[VIF]:
    """The cards on these networks of VMs that run on the host, or that could start on no other."""
    alone = len(view.all(Host)) == 1
    found: list[VIF] = []
    for network in dict.fromkeys(networks):
        for ref in view.get(Network, network).VIFs:
            vif = view.get(VIF, ref)
            vm = view.find(VM, vif.VM)
            if vm is not None and (vm.resident_on == host or (vm.resident_on == NULL and alone)):
                found.append(vif)
    return found


def move_cards(ctx: Context, cards: Iterable[VIF], network: Ref[Network], moved: Moved) -> None:
    """Connect cards to another network, one after the other."""
    target = ctx.db.get(Network, network)
    for vif in cards:
        moved.cards.append((vif.ref, ctx.db.get(VIF, vif.ref).network))
        move_to(ctx, vif.ref, target)


def move_cards_back(ctx: Context, moved: Moved) -> None:
    """Connect cards to the networks that they came from."""
    for ref, before in reversed(moved.cards):
        if ctx.db.find(VIF, ref) is not None:
            move_to(ctx, ref, ctx.db.get(Network, before))


def bring_back(ctx: Context, moved: Moved) -> None:
    """Make everything as it was; a bridge that does not come back is logged, and its PIF is unplugged."""
    net = networking(ctx)
    for entity, ref in moved.new:
        row = ctx.db.find(entity, ref)
        if isinstance(row, PIF) and row.currently_attached:
            _try(net, row, up=False)
    for child in moved.children:
        now = ctx.db.find(PIF, child.ref)
        if now is not None and now.currently_attached:
            _try(net, now, up=False)
    with ctx.transaction() as transaction:
        for entity, ref in moved.new:
            if transaction.find(entity, ref) is not None:
                transaction.delete(entity, ref)
        for old in moved.rows:
            _restore(transaction, old)
    for pif in (*moved.bases, *moved.children):
        if pif.currently_attached:
            _try(net, pif, up=True)


def _restore(transaction: Transaction, old: Entity) -> None:
    """Write a row down as it was; sets that are computed from others follow these."""
    entity = type(old)
    values = {one.name: old[one.index] for one in entity.fields if not one.derived}
    if transaction.find(entity, old.ref) is None:
        transaction.create(entity, old.ref, **values)
    else:
        transaction.update(entity, old.ref, **values)


def _try(net: Networking, pif: PIF, *, up: bool) -> None:
    try:
        (bring_up if up else bring_down)(net, pif.ref)
    except Failure as failure:
        LOG.error("PIF %s (%s) could not be put back: %s", pif.device, pif.uuid, failure.description)
        with net.db.transaction() as transaction:
            if transaction.find(PIF, pif.ref) is not None:
                transaction.update(PIF, pif.ref, currently_attached=False)
