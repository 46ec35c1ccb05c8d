"""Network cards of the host and the PIFs that stand for them: found, introduced, refreshed, brought up at a start."""

from __future__ import annotations

import logging
import re
from datetime import datetime
from typing import Any

from xapi.actions.attach_networks import AttachNetworks
from xapi.actions.pif_checks import UNTAGGED
from xapi.actions.pif_wiring import Networking, PifKind, bring_up, kind_of
from xapi.datamodel.classes import PCI, PIF, Network, PIFMetrics
from xapi.datamodel.classes.pif import IpConfigurationMode
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.network.interface import NetworkError, Nic

LOG = logging.getLogger("xapi.actions.pif")
USUAL_PROPERTIES = {"gro": "on"}


def bridge_name(device: str) -> str:
    """The name of the bridge of a card: xenbr0 for eth0, and `br` with the card's name for others."""
    match = re.fullmatch(r"eth(\d+)", device)
    return f"xenbr{match[1]}" if match else f"br{device}"


def network_for(transaction: Transaction, device: str) -> Ref[Network]:
    """The pool's network for cards of a name, made when no host has needed it before."""
    bridge = bridge_name(device)
    for network in transaction.all(Network):
        if network.bridge == bridge:
            return network.ref
    return transaction.create(
        Network, name_label=f"Pool-wide network associated with {device}", bridge=bridge, MTU=1500
    )


def introduce_card(transaction: Transaction, host: str, nic: Nic, now: datetime, *, managed: bool = True) -> Ref[PIF]:
    """Make the PIF of a card, on the network of its name, not yet plugged."""
    pif = transaction.create(
        PIF,
        device=nic.name,
        device_name=nic.name,
        network=network_for(transaction, nic.name),
        host=host,
        MAC=nic.mac,
        MTU=nic.mtu,
        VLAN=UNTAGGED,
        metrics=transaction.create(PIFMetrics),
        physical=True,
        currently_attached=False,
        managed=managed,
        properties=USUAL_PROPERTIES,
    )
    refresh_card(transaction, pif, nic, now)
    return pif


def refresh_card(transaction: Transaction, ref: Ref[PIF], nic: Nic, now: datetime) -> None:
    """Write down what a card says of itself, if it differs from what is known."""
    pif = transaction.get(PIF, ref)
    pci = next(
        (row.ref for row in transaction.all(PCI) if (row.host, row.pci_id) == (pif.host, nic.pci_bus_path)), NULL
    )
    found: dict[str, Any] = {"MAC": nic.mac, "capabilities": nic.capabilities, "PCI": pci}
    if transaction.find(PIFMetrics, pif.metrics) is None:
        found["metrics"] = transaction.create(PIFMetrics)
    if any(pif[pif.field_named[name].index] != value for name, value in found.items()):
        pif = transaction.update(PIF, ref, **found)
    metrics = transaction.get(PIFMetrics, pif.metrics)
    facts: dict[str, Any] = {
        "carrier": nic.carrier,
        "speed": nic.speed if nic.carrier else 0,
        "duplex": nic.duplex,
        "vendor_id": nic.vendor_id,
        "vendor_name": nic.vendor_name,
        "device_id": nic.device_id,
        "device_name": nic.device_name,
        "pci_bus_path": nic.pci_bus_path,
    }
    if any(metrics[metrics.field_named[name].index] != value for name, value in facts.items()):
        transaction.update(PIFMetrics, metrics.ref, **facts, last_updated=now)


def cards(transaction: Transaction, host: str) -> dict[str, PIF]:
    """The PIFs of a host's cards, by device."""
    return {pif.device: pif for pif in transaction.all(PIF) if pif.host == host and pif.physical}


def scan_cards(net: Networking, nics: tuple[Nic, ...], now: datetime) -> tuple[Ref[PIF], ...]:
    """Make PIFs for this host's cards that have none, refresh the others; answers the new ones."""
    with net.db.transaction() as transaction:
        known = cards(transaction, net.this_host)
        for nic in nics:
            if nic.name in known:
                refresh_card(transaction, known[nic.name].ref, nic, now)
        new = [nic for nic in nics if nic.name not in known]
        return tuple(introduce_card(transaction, net.this_host, nic, now) for nic in new)


def start_networking(networks: AttachNetworks, now: datetime) -> None:
    """Find the host's cards, and bring up what was up or what belongs up: cards, bonds, whatever has an address.

    A PIF that does not come up is logged and marked as unplugged: one bad card must not keep a host from starting.
    """
    net = networks.networking
    try:
        scan_cards(net, net.driver.hardware.nics(), now)
    except NetworkError as error:
        LOG.warning("the host's cards could not be looked for: %s", error)
    for pif in sorted(_wanted(net), key=lambda row: kind_of(row) in (PifKind.VLAN, PifKind.TUNNEL)):
        try:
            bring_up(net, pif.ref)
        except Failure as failure:
            LOG.warning("PIF %s (%s) did not come up: %s", pif.device, pif.uuid, failure.description)
            with net.db.transaction() as transaction:
                transaction.update(PIF, pif.ref, currently_attached=False)
    networks.remember()


def _wanted(net: Networking) -> list[PIF]:
    own = [pif for pif in net.db.all(PIF) if pif.host == net.this_host and pif.managed and pif.bond_slave_of == NULL]
    return [
        pif
        for pif in own
        if pif.currently_attached
        or pif.physical
        or kind_of(pif) in (PifKind.BOND, PifKind.SRIOV)
        or pif.ip_configuration_mode != IpConfigurationMode.NONE
    ]
