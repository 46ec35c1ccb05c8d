"""The networks that a host starts with, and the PIFs of its network cards."""

from __future__ import annotations

import re
from datetime import datetime

from xapi.datamodel.classes import PIF, Host, Network, PIFMetrics
from xapi.datamodel.classes.pif import IpConfigurationMode
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.services.startup.surroundings import HostNic, Surroundings

INTERNAL_MARK = "is_host_internal_management_network"
INTERNAL_BRIDGE = "xenapi"
UNTAGGED = -1


def prepare_networks(transaction: Transaction, surroundings: Surroundings, host: Ref[Host], now: datetime) -> None:
    """Make a network and a PIF for each network card, and the internal network; refresh what the cards say."""
    known = {pif.device: pif for pif in transaction.all(PIF) if pif.host == host and pif.physical}
    for nic in surroundings.nics:
        pif = known.get(nic.device)
        ref = _make_pif(transaction, nic, host) if pif is None else pif.ref
        _refresh_pif(transaction, ref, nic, now)
    _prepare_internal_network(transaction)


def _make_pif(transaction: Transaction, nic: HostNic, host: Ref[Host]) -> Ref[PIF]:
    managing = any(pif.management and pif.host == host for pif in transaction.all(PIF))
    return transaction.create(
        PIF,
        device=nic.device,
        device_name=nic.device,
        network=_network_of(transaction, nic),
        host=host,
        MTU=nic.mtu,
        VLAN=UNTAGGED,
        metrics=transaction.create(PIFMetrics),
        physical=True,
        currently_attached=True,
        management=nic.management and not managing,
        ip_configuration_mode=IpConfigurationMode(nic.mode),
        IP=nic.address,
        netmask=nic.netmask,
        gateway=nic.gateway,
        DNS=nic.dns,
        properties={"gro": "on"},
    )


def _refresh_pif(transaction: Transaction, ref: Ref[PIF], nic: HostNic, now: datetime) -> None:
    pif = transaction.get(PIF, ref)
    values: dict[str, object] = {"MAC": nic.mac}
    if pif.ip_configuration_mode is IpConfigurationMode.DHCP:
        values |= {"IP": nic.address, "netmask": nic.netmask, "gateway": nic.gateway, "DNS": nic.dns}
    if transaction.find(PIFMetrics, pif.metrics) is None:
        values["metrics"] = transaction.create(PIFMetrics)
    pif = transaction.update(PIF, ref, **values)
    transaction.update(
        PIFMetrics,
        pif.metrics,
        carrier=nic.carrier,
        speed=nic.speed if nic.carrier else 0,
        duplex=nic.duplex,
        vendor_id=nic.vendor_id,
        vendor_name=nic.vendor_name,
        device_id=nic.device_id,
        device_name=nic.device_name,
        pci_bus_path=nic.pci_bus_path,
        last_updated=now,
    )


def _network_of(transaction: Transaction, nic: HostNic) -> Ref[Network]:
    """The pool's network for this device, made when no host has needed it before."""
    bridge = bridge_name(nic.device)
    for network in transaction.all(Network):
        if network.bridge == bridge:
            return network.ref
    return transaction.create(
        Network,
        name_label=f"Pool-wide network associated with {nic.device}",
        bridge=bridge,
        MTU=nic.mtu,
    )


def bridge_name(device: str) -> str:
    """The name of a device's bridge: xenbr0 for eth0, and `br` with the device's name for others."""
    match = re.fullmatch(r"eth(\d+)", device)
    return f"xenbr{match[1]}" if match else f"br{device}"


def _prepare_internal_network(transaction: Transaction) -> None:
    if any(network.other_config.get(INTERNAL_MARK) == "true" for network in transaction.all(Network)):
        return
    transaction.create(
        Network,
        name_label="Host internal management network",
        name_description="Gives guests a link-local address at which they reach the XenAPI of their host.",
        bridge=INTERNAL_BRIDGE,
        other_config={
            "is_guest_installer_network": "true",
            INTERNAL_MARK: "true",
            "ip_begin": "169.254.0.1",
            "ip_end": "169.254.255.254",
            "netmask": "255.255.0.0",
        },
    )
