"""Network interfaces of hosts (XenAPI's class PIF); their IP settings are in `pif_addresses`."""

from __future__ import annotations

from collections.abc import Mapping

from xapi.actions import vlan as vlans
from xapi.actions.addresses import is_mac
from xapi.actions.attach_networks import check_no_member, networking
from xapi.actions.pif_checks import (
    UNTAGGED,
    check_managed,
    check_may_unplug,
    check_no_cards_in_use,
    check_no_sriov,
    check_no_tunnels,
    check_no_vlans,
    check_not_in_bond,
    check_not_management,
    check_unprotected,
)
from xapi.actions.pif_scan import cards, introduce_card, scan_cards
from xapi.actions.pif_wiring import Networking, PifKind, above, base_of, bring_down, bring_up, kind_of, network_failures
from xapi.actions.tentative import taken_back_on_failure
from xapi.datamodel.classes import PIF, VLAN, Bond, Host, Network, NetworkSriov, PIFMetrics
from xapi.datamodel.classes import pif as api
from xapi.datamodel.classes.pif import IpConfigurationMode, Ipv6ConfigurationMode, PrimaryAddressType
from xapi.datamodel.errors import (
    CANNOT_CHANGE_PIF_PROPERTIES,
    COULD_NOT_FIND_NETWORK_INTERFACE_WITH_SPECIFIED_DEVICE_NAME_AND_MAC_ADDRESS,
    DUPLICATE_PIF_DEVICE_NAME,
    INVALID_VALUE,
    MAC_INVALID,
    PIF_IS_PHYSICAL,
    TRANSPORT_PIF_NOT_CONFIGURED,
)
from xapi.datamodel.model import NOTHING, NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.network.interface import Nic

VlanRow = VLAN  # for functions with a parameter of that name
PROPERTIES: Mapping[str, tuple[str, ...]] = {"gro": ("on", "off")}


# Plugging


@implements(api.plug)
def plug(ctx: Context, self: Ref[PIF]) -> None:
    """Bring the interface up on its host, with what it is built on."""
    plug_pif(networking(ctx), self)


def plug_pif(net: Networking, ref: Ref[PIF]) -> None:
    """Bring a PIF up, after checking that it and what it is built on may be."""
    with net.lock:
        pif = net.db.get(PIF, ref)
        check_managed(pif)
        base = base_of(net.db, pif)
        match kind_of(pif):
            case PifKind.TUNNEL if base is not None:
                if base.ip_configuration_mode == IpConfigurationMode.NONE:
                    raise TRANSPORT_PIF_NOT_CONFIGURED(base.ref)
                plug_pif(net, base.ref)
            case PifKind.VLAN if base is not None and kind_of(base) is PifKind.SRIOV:
                plug_pif(net, base.ref)
            case PifKind.SRIOV:
                plug_pif(net, net.db.get(NetworkSriov, pif.sriov_logical_PIF_of[0]).physical_PIF)
            case PifKind.PHYSICAL if pif.bond_slave_of != NULL and pif.sriov_physical_PIF_of:
                # The card is up as far as its virtual functions need it when its bond is.
                plug_pif(net, net.db.get(Bond, pif.bond_slave_of).master)
                return
        check_no_member(pif)
        bring_up(net, ref)


@implements(api.unplug)
def unplug(ctx: Context, self: Ref[PIF]) -> None:
    """Bring the interface down on its host, and what cannot go on without it."""
    unplug_pif(networking(ctx), self)


def unplug_pif(net: Networking, ref: Ref[PIF]) -> None:
    """Bring a PIF down with the tunnels over it, after checking that all of them may be."""
    with net.lock:
        pif = net.db.get(PIF, ref)
        for other in (*_going_with(net, pif), pif):
            _check_unpluggable(net, other)
        for other in _going_with(net, pif):
            bring_down(net, other.ref)
        # A member of a bond is down already, and comes and goes with it.
        if pif.bond_slave_of == NULL:
            bring_down(net, ref)


def _going_with(net: Networking, pif: PIF) -> list[PIF]:
    """The PIFs above one that go down when it does: tunnels, and VLANs of virtual functions."""
    gone = [row for row in above(net.db, pif) if kind_of(row) is PifKind.TUNNEL or kind_of(pif) is PifKind.SRIOV]
    for ref in pif.sriov_physical_PIF_of:
        logical = net.db.get(PIF, net.db.get(NetworkSriov, ref).logical_PIF)
        gone += [*_going_with(net, logical), logical]
    return gone


def _check_unpluggable(net: Networking, pif: PIF) -> None:
    check_managed(pif)
    check_unprotected(net.db, pif)
    check_not_management(pif)
    check_no_cards_in_use(net.db, net.db.get(Network, pif.network), pif.host)
    check_may_unplug(pif)


@implements(api.set_disallow_unplug)
def set_disallow_unplug(ctx: Context, self: Ref[PIF], value: bool) -> None:
    """Say whether the interface must stay up."""
    with ctx.transaction() as transaction:
        transaction.update(PIF, self, disallow_unplug=value)


@implements(api.set_property)
def set_property(ctx: Context, self: Ref[PIF], name: str, value: str) -> None:
    """Set one low-level setting of a card, or of all cards of a bond, and apply it to what is up."""
    net = networking(ctx)
    if value not in PROPERTIES.get(name, ()):
        raise INVALID_VALUE("properties", f"{name} = {value}")
    with net.lock:
        with ctx.transaction() as transaction:
            pif = transaction.get(PIF, self)
            if not (pif.physical or pif.bond_master_of) or pif.bond_slave_of != NULL:
                raise CANNOT_CHANGE_PIF_PROPERTIES(self)
            members = [ref for bond in pif.bond_master_of for ref in transaction.get(Bond, bond).slaves]
            before = [transaction.get(PIF, ref) for ref in (self, *members)]
            for row in before:
                transaction.update(PIF, row.ref, properties={**pif.properties, name: value})
        with taken_back_on_failure(ctx, before, ["properties"]):
            if pif.currently_attached:
                bring_up(net, self)


# Records


@implements(api.scan, runs_on="host")
def scan(ctx: Context, host: Ref[Host]) -> None:
    """Look for network cards, and make PIFs for new ones."""
    net = networking(ctx)
    with net.lock:
        scan_cards(net, _nics(net), ctx.now())


def _nics(net: Networking) -> tuple[Nic, ...]:
    with network_failures(NULL):
        return net.driver.hardware.nics()


@implements(api.introduce, runs_on="host")
def introduce(ctx: Context, host: Ref[Host], MAC: str, device: str, managed: bool = True) -> Ref[PIF]:
    """Make the PIF of one network card, named by its device, its MAC address, or both."""
    net = networking(ctx)
    with net.lock:
        nics = _nics(net)
        mac = MAC.lower()
        name = device or next((nic.name for nic in nics if nic.mac.lower() == mac), "")
        mac = mac or next((nic.mac.lower() for nic in nics if nic.name == name), "")
        if not is_mac(mac):
            raise MAC_INVALID(mac)
        with ctx.transaction() as transaction:
            if name in cards(transaction, host):
                raise DUPLICATE_PIF_DEVICE_NAME(name)
            for nic in nics:
                if (nic.name, nic.mac.lower()) == (name, mac):
                    return introduce_card(transaction, host, nic, ctx.now(), managed=managed)
        raise COULD_NOT_FIND_NETWORK_INTERFACE_WITH_SPECIFIED_DEVICE_NAME_AND_MAC_ADDRESS(device, mac)


@implements(api.forget)
def forget(ctx: Context, self: Ref[PIF]) -> None:
    """Drop the record of a network card that nothing is built on, and bring it down."""
    net = networking(ctx)
    with net.lock:
        pif = ctx.db.get(PIF, self)
        check_not_management(pif)
        check_not_in_bond(pif)
        check_no_vlans(pif)
        check_no_tunnels(pif)
        check_unprotected(ctx.db, pif)
        check_no_sriov(pif)
        if pif.managed:
            check_no_cards_in_use(ctx.db, ctx.db.get(Network, pif.network), pif.host)
            check_may_unplug(pif)
            bring_down(net, self)
        with ctx.transaction() as transaction:
            if transaction.find(PIFMetrics, pif.metrics) is not None:
                transaction.delete(PIFMetrics, pif.metrics)
            transaction.delete(PIF, self)


@implements(api.pool_introduce)
@implements(api.db_introduce)
def introduce_record(
    ctx: Context,
    device: str,
    network: Ref[Network],
    host: Ref[Host],
    MAC: str,
    MTU: int,
    VLAN: int,
    physical: bool,
    ip_configuration_mode: IpConfigurationMode,
    IP: str,
    netmask: str,
    gateway: str,
    DNS: str,
    bond_slave_of: Ref[Bond],
    VLAN_master_of: Ref[VLAN],
    management: bool,
    other_config: Mapping[str, str],
    disallow_unplug: bool = False,
    ipv6_configuration_mode: Ipv6ConfigurationMode = Ipv6ConfigurationMode.NONE,
    IPv6: tuple[str, ...] = (),
    ipv6_gateway: str = "",
    primary_address_type: PrimaryAddressType = PrimaryAddressType.IPV4,
    managed: bool = True,
    properties: Mapping[str, str] = NOTHING,
) -> Ref[PIF]:
    """Write down an interface without touching the host; a bond takes it as a member by a message of its own."""
    with ctx.transaction() as transaction:
        transaction.get(Network, network)
        transaction.get(Host, host)
        return transaction.create(
            PIF,
            device=device,
            device_name=device,
            network=network,
            host=host,
            MAC=MAC,
            MTU=MTU,
            VLAN=VLAN,
            metrics=transaction.create(PIFMetrics),
            physical=physical,
            currently_attached=False,
            ip_configuration_mode=ip_configuration_mode,
            IP=IP,
            netmask=netmask,
            gateway=gateway,
            DNS=DNS,
            # The VLAN may be introduced after its PIF, and ties itself to it then.
            VLAN_master_of=VLAN_master_of if transaction.find(VlanRow, VLAN_master_of) is not None else NULL,
            management=management,
            other_config=other_config,
            disallow_unplug=disallow_unplug,
            ipv6_configuration_mode=ipv6_configuration_mode,
            IPv6=IPv6,
            ipv6_gateway=ipv6_gateway,
            primary_address_type=primary_address_type,
            managed=managed,
            properties=properties,
        )


@implements(api.db_forget)
def db_forget(ctx: Context, self: Ref[PIF]) -> None:
    """Remove the record of an interface without touching the host."""
    with ctx.transaction() as transaction:
        transaction.delete(PIF, self)


# VLANs by their PIFs, as clients made them before VLAN was a class


@implements(api.create_VLAN, runs_on="host")
def create_VLAN(ctx: Context, device: str, network: Ref[Network], host: Ref[Host], VLAN: int) -> Ref[PIF]:
    """Put one VLAN of a host's device onto a network, and answer its PIF."""
    base = next(
        (p for p in ctx.db.all(PIF) if p.host == host and p.device == device and p.VLAN == UNTAGGED),
        None,
    )
    if base is None:
        raise INVALID_VALUE("device", device)
    made = vlans.create(ctx, base.ref, VLAN, network)
    return ctx.db.get(VlanRow, made).untagged_PIF


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[PIF]) -> None:
    """Remove the interface of a VLAN, and so the VLAN."""
    pif = ctx.db.get(PIF, self)
    if pif.VLAN < 0:
        raise PIF_IS_PHYSICAL()
    vlans.destroy(ctx, pif.VLAN_master_of)
