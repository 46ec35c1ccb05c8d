"""Bonds of network cards (XenAPI's class Bond): made, dissolved, and their modes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from xapi.actions.addresses import is_mac
from xapi.actions.attach_networks import networking
from xapi.actions.bond_moves import (
    Moved,
    bring_all_down,
    bring_back,
    bring_children_up,
    cards_of,
    move_cards,
    move_cards_back,
    retarget,
)
from xapi.actions.network import check_managed as check_network_managed
from xapi.actions.pif_checks import UNTAGGED, check_host_unconnected, check_managed, check_takes_bond
from xapi.actions.pif_wiring import PifKind, bring_up, kind_of
from xapi.actions.tentative import taken_back_on_failure
from xapi.datamodel.classes import PIF, Bond, Network, PIFMetrics
from xapi.datamodel.classes import bond as api
from xapi.datamodel.classes.bond import BondMode
from xapi.datamodel.classes.pif import IpConfigurationMode
from xapi.datamodel.errors import (
    HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE,
    INCOMPATIBLE_PIF_PROPERTIES,
    INVALID_VALUE,
    MAC_INVALID,
    NETWORK_INCOMPATIBLE_WITH_BOND,
    PIF_BOND_MORE_THAN_ONE_IP,
    PIF_BOND_NEEDS_MORE_MEMBERS,
    PIF_CANNOT_BOND_CROSS_HOST,
)
from xapi.datamodel.model import NOTHING, NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle.surroundings import ha_enabled
from xapi.lifecycle.view import View

NO_ADDRESS: Final[Mapping[str, Any]] = {
    "ip_configuration_mode": IpConfigurationMode.NONE,
    "IP": "",
    "netmask": "",
    "gateway": "",
    "DNS": "",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a mode: its default (None for none), and which texts it may have."""

    default: str | None
    allows: Callable[[str], bool]


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda value: value in values


SETTINGS: Final[Mapping[BondMode, Mapping[str, Setting]]] = {
    BondMode.LACP: {
        "hashing_algorithm": Setting("tcpudp_ports", _one_of("src_mac", "tcpudp_ports")),
        "lacp-time": Setting("slow", _one_of("fast", "slow")),
        "lacp-aggregation-key": Setting(None, lambda value: value.isascii() and value.isdecimal()),
        "lacp-fallback-ab": Setting("true", _one_of("true", "false")),
    },
}


def _check_setting(mode: BondMode, name: str, value: str) -> None:
    setting = SETTINGS.get(mode, {}).get(name)
    if setting is None or not setting.allows(value):
        raise INVALID_VALUE("properties", f"{name} = {value}")


def _with_defaults(mode: BondMode, given: Mapping[str, str]) -> dict[str, str]:
    defaults = {name: one.default for name, one in SETTINGS.get(mode, {}).items() if one.default is not None}
    return {**defaults, **given}


# Making


@implements(api.create)
def create(
    ctx: Context,
    network: Ref[Network],
    members: tuple[Ref[PIF], ...],
    MAC: str,
    mode: BondMode = BondMode.BALANCE_SLB,
    properties: Mapping[str, str] = NOTHING,
) -> Ref[Bond]:
    """Join interfaces of one host: what was on them, their VLANs, tunnels and guests' cards, goes over to the bond."""
    net = networking(ctx)
    with net.lock:
        rows = _check_create(ctx.db, network, members, MAC, mode, properties)
        ctx.task.check()
        moved = Moved.of(ctx.db, rows)
        cards = cards_of(ctx.db, net.this_host, [row.network for row in rows])
        with ExitStack() as undo:
            undo.callback(move_cards_back, ctx, moved)
            undo.callback(bring_back, ctx, moved)  # done first: cards need a bridge to go back to
            bring_all_down(net, moved)
            with ctx.transaction() as transaction:
                bond, master = _make_rows(transaction, network, rows, MAC, mode, properties)
                moved.made(Bond, bond)
                moved.made(PIFMetrics, transaction.get(PIF, master).metrics)
                moved.made(PIF, master)
                merged = retarget(transaction, moved, master)
            ctx.task.progress(0.2)
            bring_up(net, master)
            bring_children_up(net, moved)
            ctx.task.progress(0.6)
            for old, new in merged:
                move_cards(ctx, cards_of(ctx.db, net.this_host, [old]), new, moved)
            move_cards(ctx, cards, network, moved)
            undo.pop_all()
    return bond


def _check_create(
    view: View,
    network: Ref[Network],
    members: tuple[Ref[PIF], ...],
    MAC: str,
    mode: BondMode,
    properties: Mapping[str, str],
) -> list[PIF]:
    """The members, each once, if they can be joined."""
    target = view.get(Network, network)
    check_network_managed(target)
    if any(kind_of(view.get(PIF, ref)) is PifKind.SRIOV for ref in target.PIFs):
        raise NETWORK_INCOMPATIBLE_WITH_BOND(network)
    rows = [view.get(PIF, ref) for ref in dict.fromkeys(members)]
    if not rows:
        raise PIF_BOND_NEEDS_MORE_MEMBERS()
    check_host_unconnected(view, target, rows[0].host)
    if MAC and not is_mac(MAC):
        raise MAC_INVALID(MAC)
    for name, value in properties.items():
        _check_setting(mode, name, value)
    for row in rows:
        check_takes_bond(row)
        if row.bond_master_of:
            raise INCOMPATIBLE_PIF_PROPERTIES()
        if ha_enabled(view) and row.management:
            raise HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE()
        check_managed(row)
    if len({row.host for row in rows}) != 1:
        raise PIF_CANNOT_BOND_CROSS_HOST()
    if any(dict(row.properties) != dict(rows[0].properties) for row in rows):
        raise INCOMPATIBLE_PIF_PROPERTIES()
    if sum(row.ip_configuration_mode != IpConfigurationMode.NONE for row in rows) > 1:
        raise PIF_BOND_MORE_THAN_ONE_IP()
    return rows


def _primary(rows: list[PIF]) -> PIF:
    """The member that the bond takes over from: that of the management, else one with an address, else the first."""
    managing = (row for row in rows if row.management)
    addressed = (row for row in rows if row.ip_configuration_mode != IpConfigurationMode.NONE)
    return next(itertools.chain(managing, addressed, rows))


def _make_rows(
    transaction: Transaction,
    network: Ref[Network],
    rows: list[PIF],
    MAC: str,
    mode: BondMode,
    properties: Mapping[str, str],
) -> tuple[Ref[Bond], Ref[PIF]]:
    primary = _primary(rows)
    device = _device_name(transaction, primary.host)
    master = transaction.create(
        PIF,
        device=device,
        device_name=device,
        network=network,
        host=primary.host,
        MAC=MAC or primary.MAC,
        MTU=-1,  # known once it is up
        VLAN=UNTAGGED,
        metrics=transaction.create(PIFMetrics, carrier=True),
        physical=False,
        currently_attached=False,
        management=primary.management,
        disallow_unplug=any(row.disallow_unplug for row in rows),
        primary_address_type=primary.primary_address_type,
        properties=primary.properties,
        **_addresses(primary),
    )
    bond = transaction.create(
        Bond,
        master=master,
        primary_slave=primary.ref,
        mode=mode,
        properties=_with_defaults(mode, properties),
        auto_update_mac=not MAC,
    )
    for row in rows:
        transaction.update(PIF, row.ref, bond_slave_of=bond, management=False, disallow_unplug=False, **NO_ADDRESS)
    return bond, master


def _addresses(pif: PIF) -> dict[str, Any]:
    """The IPv4 settings of a PIF."""
    return {name: pif[pif.field_named[name].index] for name in NO_ADDRESS}


def _device_name(view: View, host: str) -> str:
    taken = {pif.device for pif in view.all(PIF) if pif.host == host}
    return next(name for number in itertools.count() if (name := f"bond{number}") not in taken)


# Dissolving


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[Bond]) -> None:
    """Make the members separate again; what was on the bond goes over to the primary one."""
    net = networking(ctx)
    with net.lock:
        bond = ctx.db.get(Bond, self)
        master = ctx.db.get(PIF, bond.master)
        if ha_enabled(ctx.db) and master.management:
            raise HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE()
        members = [ctx.db.get(PIF, ref) for ref in bond.slaves]
        if not members:
            raise PIF_BOND_NEEDS_MORE_MEMBERS()
        primary = next((row for row in members if row.ref == bond.primary_slave), members[0])
        ctx.task.check()
        moved = Moved.of(ctx.db, [master], also=[*members, bond])
        cards = cards_of(ctx.db, net.this_host, [master.network])
        with ExitStack() as undo:
            undo.callback(move_cards_back, ctx, moved)
            undo.callback(bring_back, ctx, moved)  # done first: cards need a bridge to go back to
            bring_all_down(net, moved)
            with ctx.transaction() as transaction:
                _release_members(transaction, bond, master, primary, members)
                retarget(transaction, moved, primary.ref)
            ctx.task.progress(0.2)
            if master.currently_attached:
                for row in members:
                    bring_up(net, row.ref)
            bring_children_up(net, moved)
            ctx.task.progress(0.6)
            move_cards(ctx, cards, primary.network, moved)
            with ctx.transaction() as transaction:
                _delete_rows(transaction, bond, master)
            undo.pop_all()


def _release_members(transaction: Transaction, bond: Bond, master: PIF, primary: PIF, members: list[PIF]) -> None:
    for row in members:
        transaction.update(PIF, row.ref, bond_slave_of=NULL)
    transaction.update(
        PIF,
        primary.ref,
        management=master.management,
        disallow_unplug=master.disallow_unplug,
        **_addresses(master),
    )
    transaction.update(PIF, master.ref, management=False, disallow_unplug=False, **NO_ADDRESS)
    transaction.update(Bond, bond.ref, links_up=0)


def _delete_rows(transaction: Transaction, bond: Bond, master: PIF) -> None:
    transaction.delete(Bond, bond.ref)
    if transaction.find(PIFMetrics, master.metrics) is not None:
        transaction.delete(PIFMetrics, master.metrics)
    transaction.delete(PIF, master.ref)


# Settings


@implements(api.set_mode)
def set_mode(ctx: Context, self: Ref[Bond], value: BondMode) -> None:
    """Change how the bond spreads traffic; settings that the new mode does not know are dropped."""

    def change(bond: Bond) -> dict[str, Any]:
        known = SETTINGS.get(value, {})
        kept = {name: text for name, text in bond.properties.items() if name in known and known[name].allows(text)}
        return {"mode": value, "properties": _with_defaults(value, kept)}

    _change(ctx, self, change)


@implements(api.set_property)
def set_property(ctx: Context, self: Ref[Bond], name: str, value: str) -> None:
    """Change one setting of the bond's mode."""

    def change(bond: Bond) -> dict[str, Any]:
        _check_setting(bond.mode, name, value)
        return {"properties": {**bond.properties, name: value}}

    _change(ctx, self, change)


def _change(ctx: Context, self: Ref[Bond], change: Callable[[Bond], dict[str, Any]]) -> None:
    """Write settings down and apply them to a bond that is up; all is as before when that fails."""
    net = networking(ctx)
    with net.lock:
        with ctx.transaction() as transaction:
            before = transaction.get(Bond, self)
            wanted = change(before)
            transaction.update(Bond, self, **wanted)
        with taken_back_on_failure(ctx, [before], wanted):
            if ctx.db.get(PIF, before.master).currently_attached:
                bring_up(net, before.master)
