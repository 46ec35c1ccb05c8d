"""What stands against changes of PIFs, in the words of the contract; everything here only looks."""

from __future__ import annotations

from xapi.actions.pif_wiring import PifKind, base_of, kind_of, local_pifs
from xapi.datamodel.classes import PIF, VIF, VM, Network
from xapi.datamodel.classes.vif import VifOperations
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.errors import (
    CANNOT_ADD_TUNNEL_TO_BOND_SLAVE,
    CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL,
    CANNOT_ADD_TUNNEL_TO_VLAN_ON_SRIOV_LOGICAL,
    CANNOT_ADD_VLAN_TO_BOND_SLAVE,
    CANNOT_FORGET_SRIOV_LOGICAL,
    HA_IS_ENABLED,
    IS_TUNNEL_ACCESS_PIF,
    NETWORK_ALREADY_CONNECTED,
    PIF_ALREADY_BONDED,
    PIF_DOES_NOT_ALLOW_UNPLUG,
    PIF_IS_MANAGEMENT_INTERFACE,
    PIF_IS_SRIOV_LOGICAL,
    PIF_IS_VLAN,
    PIF_SRIOV_STILL_EXISTS,
    PIF_TUNNEL_STILL_EXISTS,
    PIF_UNMANAGED,
    PIF_VLAN_EXISTS,
    PIF_VLAN_STILL_EXISTS,
    REDO_LOG_IS_ENABLED,
    VIF_IN_USE,
)
from xapi.datamodel.model import NULL
from xapi.lifecycle.surroundings import the_pool
from xapi.lifecycle.view import View

UNTAGGED = -1


def check_managed(pif: PIF) -> None:
    """Pass a PIF that the toolstack may change; PIF_UNMANAGED otherwise."""
    if not pif.managed:
        raise PIF_UNMANAGED(pif.ref)


def check_not_management(pif: PIF) -> None:
    """Pass what does not carry the host's management; PIF_IS_MANAGEMENT_INTERFACE otherwise."""
    if pif.management:
        raise PIF_IS_MANAGEMENT_INTERFACE(pif.ref)


def check_unprotected(view: View, pif: PIF) -> None:
    """Pass unless the PIF is up while the pool is guarded; HA_IS_ENABLED, REDO_LOG_IS_ENABLED."""
    pool = the_pool(view)
    if pool is None or not pif.currently_attached:
        return
    if pool.ha_enabled:
        raise HA_IS_ENABLED()
    if pool.redo_log_enabled:
        raise REDO_LOG_IS_ENABLED()


def check_not_in_bond(pif: PIF) -> None:
    """Pass what is neither a bond nor a member of one; PIF_ALREADY_BONDED otherwise."""
    if pif.bond_slave_of != NULL or pif.bond_master_of:
        raise PIF_ALREADY_BONDED(pif.ref)


def check_no_vlans(pif: PIF) -> None:
    """Pass what neither is a VLAN nor carries any; PIF_VLAN_STILL_EXISTS otherwise."""
    if pif.VLAN_slave_of or pif.VLAN != UNTAGGED:
        raise PIF_VLAN_STILL_EXISTS(pif.ref)


def check_no_tunnels(pif: PIF) -> None:
    """Pass what neither is a tunnel nor carries any; PIF_TUNNEL_STILL_EXISTS otherwise."""
    if pif.tunnel_transport_PIF_of or pif.tunnel_access_PIF_of:
        raise PIF_TUNNEL_STILL_EXISTS(pif.ref)


def check_no_sriov(pif: PIF) -> None:
    """Pass what SR-IOV has no part in; CANNOT_FORGET_SRIOV_LOGICAL, PIF_SRIOV_STILL_EXISTS."""
    if kind_of(pif) is PifKind.SRIOV:
        raise CANNOT_FORGET_SRIOV_LOGICAL(pif.ref)
    if pif.sriov_physical_PIF_of:
        raise PIF_SRIOV_STILL_EXISTS(pif.ref)


def check_host_unconnected(view: View, network: Network, host: str) -> None:
    """Pass when the host has no PIF on the network; NETWORK_ALREADY_CONNECTED [host, PIF] otherwise."""
    pifs = local_pifs(view, network, host)
    if pifs:
        raise NETWORK_ALREADY_CONNECTED(host, pifs[0].ref)


def check_no_cards_in_use(view: View, network: Network, host: str) -> None:
    """Pass when no running VM of the host has a card on the network; VIF_IN_USE [network, VIF] otherwise."""
    for ref in network.VIFs:
        vif = view.get(VIF, ref)
        vm = view.find(VM, vif.VM)
        if vm is None or vm.resident_on != host:
            continue
        live = vm.power_state in (VmPowerState.RUNNING, VmPowerState.PAUSED)
        if VifOperations.ATTACH in vif.current_operations.values() or (vif.currently_attached and live):
            raise VIF_IN_USE(network.ref, ref)


def check_may_unplug(pif: PIF) -> None:
    """Pass a PIF that may be unplugged; PIF_DOES_NOT_ALLOW_UNPLUG otherwise."""
    if pif.disallow_unplug:
        raise PIF_DOES_NOT_ALLOW_UNPLUG(pif.ref)


def check_takes_vlan(pif: PIF) -> None:
    """Pass a PIF that may carry VLANs: no member of a bond, no VLAN, no tunnel."""
    match kind_of(pif):
        case PifKind.PHYSICAL if pif.bond_slave_of != NULL:
            raise CANNOT_ADD_VLAN_TO_BOND_SLAVE(pif.ref)
        case PifKind.VLAN:
            raise PIF_IS_VLAN(pif.ref)
        case PifKind.TUNNEL:
            raise IS_TUNNEL_ACCESS_PIF(pif.ref)


def check_takes_tunnel(view: View, pif: PIF) -> None:
    """Pass a PIF that may carry tunnels: no member of a bond, no tunnel, nothing of SR-IOV."""
    match kind_of(pif):
        case PifKind.PHYSICAL if pif.bond_slave_of != NULL:
            raise CANNOT_ADD_TUNNEL_TO_BOND_SLAVE(pif.ref)
        case PifKind.TUNNEL:
            raise IS_TUNNEL_ACCESS_PIF(pif.ref)
        case PifKind.SRIOV:
            raise CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL(pif.ref)
        case PifKind.VLAN:
            base = base_of(view, pif)
            if base is not None and kind_of(base) is PifKind.SRIOV:
                raise CANNOT_ADD_TUNNEL_TO_VLAN_ON_SRIOV_LOGICAL(pif.ref)


def check_takes_bond(pif: PIF) -> None:
    """Pass a PIF that may be a member of a bond: a card of its own, or what is as good as one."""
    match kind_of(pif):
        case PifKind.PHYSICAL if pif.bond_slave_of != NULL:
            raise PIF_ALREADY_BONDED(pif.ref)
        case PifKind.VLAN:
            raise PIF_VLAN_EXISTS(pif.device)
        case PifKind.TUNNEL:
            raise IS_TUNNEL_ACCESS_PIF(pif.ref)
        case PifKind.SRIOV:
            raise PIF_IS_SRIOV_LOGICAL(pif.ref)
