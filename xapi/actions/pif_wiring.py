"""From PIF rows to bridges of the host: what each PIF is, what its bridge should be, up and down.

The lock of `Networking` is held while a bridge and the rows that tell of it change; it is never taken within a
transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import RLock
from typing import Any

from xapi.datamodel.classes import PIF, VLAN, Bond, Host, Network, Tunnel
from xapi.datamodel.classes.pif import IpConfigurationMode, Ipv6ConfigurationMode
from xapi.datamodel.errors import BRIDGE_NOT_AVAILABLE, OPENVSWITCH_NOT_ACTIVE, PIF_CONFIGURATION_ERROR
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Database, Transaction
from xapi.lifecycle.view import View
from xapi.network.interface import (
    AddressMode,
    BondMode,
    BridgeConfig,
    BridgeState,
    Card,
    CardBond,
    Ipv4,
    Ipv6,
    NetworkDriver,
    NetworkError,
    NoSuchBridge,
    NotSupported,
    Overlay,
    TaggedTraffic,
    TunnelProtocol,
    Uplink,
)

LOG = logging.getLogger("xapi.actions.pif")
ETHTOOL = "ethtool-"


class PifKind(Enum):
    """What a PIF stands for; each is exactly one of these."""

    PHYSICAL = auto()
    BOND = auto()
    VLAN = auto()
    TUNNEL = auto()
    SRIOV = auto()


@dataclass(slots=True)
class Networking:
    """What the bridges of this host are made with."""

    db: Database
    driver: NetworkDriver
    this_host: Ref[Host]
    lock: Any = field(default_factory=RLock)


def kind_of(pif: PIF) -> PifKind:
    """What a PIF stands for."""
    if pif.tunnel_access_PIF_of:
        return PifKind.TUNNEL
    if pif.VLAN_master_of != NULL:
        return PifKind.VLAN
    if pif.sriov_logical_PIF_of:
        return PifKind.SRIOV
    return PifKind.BOND if pif.bond_master_of else PifKind.PHYSICAL


def base_of(view: View, pif: PIF) -> PIF | None:
    """The PIF that a VLAN or tunnel rests upon; None for others."""
    match kind_of(pif):
        case PifKind.VLAN:
            return view.get(PIF, view.get(VLAN, pif.VLAN_master_of).tagged_PIF)
        case PifKind.TUNNEL:
            return view.get(PIF, view.get(Tunnel, pif.tunnel_access_PIF_of[0]).transport_PIF)
        case _:
            return None


def above(view: View, pif: PIF) -> list[PIF]:
    """The PIFs of VLANs and tunnels that rest upon this one."""
    vlans = (view.get(VLAN, ref).untagged_PIF for ref in pif.VLAN_slave_of)
    tunnels = (view.get(Tunnel, ref).access_PIF for ref in pif.tunnel_transport_PIF_of)
    found = (view.find(PIF, ref) for ref in (*vlans, *tunnels))
    return [row for row in found if row is not None]


def local_pifs(view: View, network: Network, host: str) -> list[PIF]:
    """The PIFs that connect a host to a network; by construction there is at most one."""
    found = (view.find(PIF, ref) for ref in network.PIFs)
    return [pif for pif in found if pif is not None and pif.host == host]


def bridge_of(view: View, pif: PIF) -> str:
    """The name of the bridge that a PIF belongs to."""
    return view.get(Network, pif.network).bridge


def configuration_of(view: View, pif: PIF, *, addressed: bool = True) -> BridgeConfig:
    """What the bridge of a PIF should be; not `addressed` it only carries others."""
    network = view.get(Network, pif.network)
    settings = {**network.other_config, **pif.other_config}
    return BridgeConfig(
        name=network.bridge,
        uplink=_uplink_of(view, pif),
        mac=pif.MAC if kind_of(pif) in (PifKind.PHYSICAL, PifKind.BOND) else "",
        mtu=_mtu_of(pif, network),
        ipv4=_ipv4_of(pif) if addressed else Ipv4(),
        ipv6=_ipv6_of(pif) if addressed else Ipv6(),
        ethtool={key[len(ETHTOOL) :]: value for key, value in settings.items() if key.startswith(ETHTOOL)},
    )


def _mtu_of(pif: PIF, network: Network) -> int:
    given = pif.other_config.get("mtu", "")
    return int(given) if given.isascii() and given.isdecimal() else network.MTU


def _uplink_of(view: View, pif: PIF) -> Uplink | None:
    base = base_of(view, pif)
    match kind_of(pif):
        case PifKind.VLAN if base is not None:
            return TaggedTraffic(bridge_of(view, base), base.device, pif.VLAN)
        case PifKind.TUNNEL if base is not None:
            tunnel = view.get(Tunnel, pif.tunnel_access_PIF_of[0])
            return Overlay(bridge_of(view, base), pif.device, TunnelProtocol(tunnel.protocol))
        case PifKind.BOND:
            bond = view.get(Bond, pif.bond_master_of[0])
            members = tuple(sorted(view.get(PIF, ref).device for ref in bond.slaves))
            return CardBond(pif.device, members, BondMode(bond.mode), dict(bond.properties))
        case PifKind.SRIOV:
            return None
        case _:
            return Card(pif.device, dict(pif.properties))


def _ipv4_of(pif: PIF) -> Ipv4:
    dns = tuple(part.strip() for part in pif.DNS.split(",") if part.strip())
    if pif.ip_configuration_mode != IpConfigurationMode.STATIC:
        # What a DHCP server said last time is no wish of anybody's.
        return Ipv4(AddressMode(pif.ip_configuration_mode))
    return Ipv4(AddressMode.STATIC, pif.IP, pif.netmask, pif.gateway, dns)


def _ipv6_of(pif: PIF) -> Ipv6:
    if pif.ipv6_configuration_mode != Ipv6ConfigurationMode.STATIC:
        return Ipv6(AddressMode(pif.ipv6_configuration_mode))
    return Ipv6(AddressMode.STATIC, tuple(filter(None, pif.IPv6)), pif.ipv6_gateway)


@contextmanager
def network_failures(pif: str) -> Iterator[None]:
    """Let what a network driver raises leave the block as the failure that the contract has for a PIF."""
    try:
        yield
    except NoSuchBridge as error:
        raise BRIDGE_NOT_AVAILABLE(error.bridge) from error
    except NotSupported as error:
        raise OPENVSWITCH_NOT_ACTIVE() from error
    except NetworkError as error:
        raise PIF_CONFIGURATION_ERROR(pif, str(error)) from error


def bring_up(net: Networking, ref: Ref[PIF]) -> None:
    """Bring a managed PIF up, with what it rests upon, or apply its changed settings; the rows follow."""
    with net.lock:
        pif = net.db.get(PIF, ref)
        if kind_of(pif) is PifKind.SRIOV:
            # Its virtual functions go straight to guests: there is no bridge.
            _note(net, pif, None)
            return
        base = base_of(net.db, pif)
        if base is not None and bridge_of(net.db, base) not in net.driver.bridges.names():
            bring_up(net, base.ref)
        with network_failures(ref):
            if kind_of(pif) is PifKind.BOND:
                for member in net.db.get(Bond, pif.bond_master_of[0]).slaves:
                    net.driver.bridges.take_down(bridge_of(net.db, net.db.get(PIF, member)))
            state = net.driver.bridges.bring_up(configuration_of(net.db, pif))
        _note(net, pif, state)


def bring_down(net: Networking, ref: Ref[PIF]) -> None:
    """Take a PIF's bridge down, or leave only what PIFs above it need; the rows follow."""
    with net.lock:
        pif = net.db.get(PIF, ref)
        if kind_of(pif) is not PifKind.SRIOV:
            with network_failures(ref):
                if any(row.currently_attached for row in above(net.db, pif)):
                    net.driver.bridges.bring_up(configuration_of(net.db, pif, addressed=False))
                else:
                    net.driver.bridges.take_down(bridge_of(net.db, pif))
        with net.db.transaction() as transaction:
            if transaction.find(PIF, ref) is not None:
                transaction.update(PIF, ref, currently_attached=False, **_leased(pif, None))
        base = base_of(net.db, pif)
        if base is not None and not base.currently_attached:
            _release_base(net, base)


def _release_base(net: Networking, base: PIF) -> None:
    """Take the bridge down that an unplugged PIF kept for others, if those are all gone."""
    if any(row.currently_attached for row in above(net.db, base)):
        return
    try:
        net.driver.bridges.take_down(bridge_of(net.db, base))
    except NetworkError as error:
        LOG.warning("the bridge of PIF %s (%s) stays: %s", base.device, base.uuid, error)


def _note(net: Networking, pif: PIF, state: BridgeState | None) -> None:
    """Write down that a PIF is up, and what came of it."""
    with net.db.transaction() as transaction:
        if transaction.find(PIF, pif.ref) is None:
            return
        found = {} if state is None else {"MTU": state.mtu, **_leased(pif, state)}
        transaction.update(PIF, pif.ref, currently_attached=True, **found)
        if state is not None and pif.bond_master_of:
            _note_bond(transaction, pif.bond_master_of[0], state.links_up)


def _note_bond(transaction: Transaction, ref: Ref[Bond], links_up: int) -> None:
    """A bond is up: its members are no interfaces of their own any more."""
    transaction.update(Bond, ref, links_up=links_up)
    for member in transaction.get(Bond, ref).slaves:
        if transaction.get(PIF, member).currently_attached:
            transaction.update(PIF, member, currently_attached=False)


def _leased(pif: PIF, state: BridgeState | None) -> Mapping[str, Any]:
    """The addresses that came from outside; none when the PIF is down."""
    found: dict[str, Any] = {}
    if pif.ip_configuration_mode == IpConfigurationMode.DHCP:
        ipv4 = state.ipv4 if state is not None else Ipv4()
        found |= {"IP": ipv4.address, "netmask": ipv4.netmask, "gateway": ipv4.gateway, "DNS": ",".join(ipv4.dns)}
    if pif.ipv6_configuration_mode in (Ipv6ConfigurationMode.DHCP, Ipv6ConfigurationMode.AUTOCONF):
        ipv6 = state.ipv6 if state is not None else Ipv6()
        found |= {"IPv6": ipv6.addresses, "ipv6_gateway": ipv6.gateway}
    return found
