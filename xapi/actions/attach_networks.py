"""Networks attached to this host when guests need them, and internal ones removed when nobody does any more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from xapi.actions.pif_wiring import Networking, bring_up, local_pifs
from xapi.datamodel.classes import PIF, VIF, VM, Host, Network
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.errors import (
    BRIDGE_NOT_AVAILABLE,
    CANNOT_PLUG_BOND_SLAVE,
    HOST_CANNOT_ATTACH_NETWORK,
    VM_REQUIRES_NETWORK,
)
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Database
from xapi.dispatch.context import Context
from xapi.hypervisor.config import Nic
from xapi.lifecycle.surroundings import is_true
from xapi.lifecycle.view import View
from xapi.network.interface import BridgeConfig, BridgeInUse, NetworkDriver, NetworkError

LOG = logging.getLogger("xapi.actions.network")
LIVE = (VmPowerState.RUNNING, VmPowerState.PAUSED)
User = tuple[str, str, int]  # bridge, UUID of the VM, number of its card


class AttachNetworks:
    """The hypervisor floor's NetworkAttacher: a bridge is there before a card is connected to it.

    What it raises are failures of the contract already: BRIDGE_NOT_AVAILABLE, HOST_CANNOT_ATTACH_NETWORK,
    CANNOT_PLUG_BOND_SLAVE, PIF_CONFIGURATION_ERROR.
    """

    def __init__(self, database: Database, driver: NetworkDriver, this_host: Ref[Host]) -> None:
        self.networking = Networking(database, driver, this_host)
        self._users: set[User] = set()

    def remember(self) -> None:
        """Count the cards of guests that run here already, as after a restart of the toolstack."""
        net = self.networking
        with net.lock:
            for vif in net.db.all(VIF):
                vm, network = net.db.find(VM, vif.VM), net.db.find(Network, vif.network)
                if vm is None or network is None or not vif.currently_attached:
                    continue
                if vm.power_state in LIVE and vm.resident_on == net.this_host:
                    self._users.add((network.bridge, vm.uuid, int(vif.device)))

    def connect(self, uuid: str, nic: Nic) -> None:
        """Make sure that the card's bridge exists, and count the card as its user."""
        net = self.networking
        with net.lock:
            network = network_on(net.db, nic.bridge)
            if network is not None:
                attach(net, network)
            elif nic.bridge not in net.driver.bridges.names():
                raise BRIDGE_NOT_AVAILABLE(nic.bridge)
            self._users.add((nic.bridge, uuid, nic.device))

    def disconnect(self, uuid: str, nic: Nic) -> None:
        """The card no longer uses its bridge; an internal network that has no user left loses its bridge."""
        net = self.networking
        with net.lock:
            self._users.discard((nic.bridge, uuid, nic.device))
            network = network_on(net.db, nic.bridge)
            if network is not None and network.managed and not network.PIFs:
                self.release(network)

    def release(self, network: Network) -> None:
        """Remove the bridge of a network unless a card or a port still uses it.

        One that does not go is logged and stays: whoever has just left it is not to suffer for that.
        """
        net = self.networking
        with net.lock:
            if any(bridge == network.bridge for bridge, _, _ in self._users):
                return
            try:
                net.driver.bridges.take_down(network.bridge)
            except BridgeInUse as error:
                LOG.info("the bridge of network %s stays: %s", network.uuid, error)
            except NetworkError as error:
                LOG.warning("the bridge of network %s could not be removed: %s", network.uuid, error)


def attacher(ctx: Context) -> AttachNetworks:
    """The one of this toolstack."""
    found: AttachNetworks = ctx.toolstack.part(AttachNetworks)
    return found


def networking(ctx: Context) -> Networking:
    """What the bridges of this host are made with."""
    return attacher(ctx).networking


def network_on(view: View, bridge: str) -> Network | None:
    """The network that a bridge carries, or None."""
    return next((network for network in view.all(Network) if network.bridge == bridge), None)


def attach(net: Networking, network: Network, *, again: bool = False) -> None:
    """Bring a network up on this host: its PIF, or a bridge for what is on this host only.

    `again` applies settings also to what is up. An unmanaged network must have a bridge: BRIDGE_NOT_AVAILABLE.
    """
    with net.lock:
        there = net.driver.bridges.names()
        if not network.managed:
            if network.bridge not in there:
                raise BRIDGE_NOT_AVAILABLE(network.bridge)
            return
        pifs = local_pifs(net.db, network, net.this_host)
        if not pifs:
            if network.bridge not in there or again:
                with _attaching(net, network):
                    net.driver.bridges.bring_up(BridgeConfig(network.bridge, mtu=network.MTU))
            return
        for pif in pifs:
            if pif.managed and (again or not pif.currently_attached or network.bridge not in there):
                check_no_member(pif)
                bring_up(net, pif.ref)


@contextmanager
def _attaching(net: Networking, network: Network) -> Iterator[None]:
    try:
        yield
    except NetworkError as error:
        raise HOST_CANNOT_ATTACH_NETWORK(net.this_host, network.ref) from error


def check_no_member(pif: PIF) -> None:
    """Pass a PIF that may be plugged by itself; CANNOT_PLUG_BOND_SLAVE otherwise."""
    if pif.bond_slave_of != NULL:
        raise CANNOT_PLUG_BOND_SLAVE(pif.ref)


def check_sees_networks(view: View, vm: VM, host: str, networks: list[Network]) -> None:
    """Pass when a host can give the VM all of these networks.

    VM_REQUIRES_NETWORK [VM, network] when one has PIFs, but none here, or lives on other hosts only;
    HOST_CANNOT_ATTACH_NETWORK [host, network] when its PIF here is a member of a bond.
    """
    for network in networks:
        if not _available(view, network, host):
            raise VM_REQUIRES_NETWORK(vm.ref, network.ref)
    for network in networks:
        if any(pif.bond_slave_of != NULL for pif in local_pifs(view, network, host)):
            raise HOST_CANNOT_ATTACH_NETWORK(host, network.ref)


def _available(view: View, network: Network, host: str) -> bool:
    if network.PIFs:
        return bool(local_pifs(view, network, host))
    if is_true(network.other_config, "assume_network_is_shared") or not network.managed:
        return True
    # An internal network is where its running VMs are: it cannot be on two hosts at a time.
    vms = (view.find(VM, vif.VM) for ref in network.VIFs if (vif := view.find(VIF, ref)) is not None)
    hosts = {vm.resident_on for vm in vms if vm is not None and vm.power_state == VmPowerState.RUNNING}
    return not hosts or host in hosts
