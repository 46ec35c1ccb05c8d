"""What a VIF may carry and which addresses its guest is told to use (XenAPI's class VIF, its setters)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xapi.actions.addresses import IPV4, IPV6, check_cidr, check_ip
from xapi.actions.attach_networks import attacher
from xapi.actions.backends import openvswitch_active
from xapi.actions.tentative import taken_back_on_failure
from xapi.actions.vif import host_port, is_active, locking_of, nic_of
from xapi.datamodel.classes import VIF, VM, Network, SDNController, VMGuestMetrics
from xapi.datamodel.classes import vif as api
from xapi.datamodel.classes.vif import VifIpv4ConfigurationMode, VifIpv6ConfigurationMode, VifLockingMode
from xapi.datamodel.errors import (
    ADDRESS_VIOLATES_LOCKING_CONSTRAINT,
    NETWORK_INCOMPATIBLE_WITH_TRUNKS,
    OPERATION_NOT_ALLOWED,
    VLAN_TAG_INVALID,
    VM_LACKS_FEATURE,
)
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.hypervisor.config import LockingMode
from xapi.network.interface import HIGHEST_TAG, NetworkError

STATIC_ADDRESSES = "feature-static-ip-setting"
Change = Callable[[Transaction, VIF], dict[str, Any]]


def _change(ctx: Context, self: Ref[VIF], change: Change, apply: Callable[[Context, VIF], None]) -> None:
    """Write fields, then tell the running guest's card; the fields are as before if that fails."""
    with ctx.transaction() as transaction:
        before = transaction.get(VIF, self)
        wanted = change(transaction, before)
        after = transaction.update(VIF, self, **wanted)
    with taken_back_on_failure(ctx, [before], wanted):
        if is_active(ctx.db, after):
            apply(ctx, after)


def _apply_locking(ctx: Context, vif: VIF) -> None:
    vm, nic = ctx.db.get(VM, vif.VM), nic_of(ctx.db, vif)
    if vm.is_control_domain:
        port = host_port(vm, nic)
        try:
            attacher(ctx).networking.driver.ports.set_filtering(
                port.name, port.filtering, port.allowed_ipv4, port.allowed_ipv6
            )
        except NetworkError as error:
            raise OPERATION_NOT_ALLOWED(str(error)) from error
        return
    devices = ctx.toolstack.hypervisor.devices
    devices.set_nic_locking(vm.uuid, nic.device, nic.locking, nic.allowed_ipv4, nic.allowed_ipv6)


def _apply_addresses(ctx: Context, vif: VIF) -> None:
    vm, nic = ctx.db.get(VM, vif.VM), nic_of(ctx.db, vif)
    ctx.toolstack.hypervisor.devices.set_nic_address(vm.uuid, nic.device, nic.static_ipv4, nic.static_ipv6)


def _effective(transaction: Transaction, vif: VIF, mode: VifLockingMode) -> LockingMode:
    if mode != VifLockingMode.NETWORK_DEFAULT:
        return LockingMode(mode)
    index = VIF.locking_mode.index
    return locking_of(VIF((*vif[:index], mode, *vif[index + 1 :])), transaction.get(Network, vif.network))


@implements(api.set_locking_mode)
def set_locking_mode(ctx: Context, self: Ref[VIF], value: VifLockingMode) -> None:
    """Choose whether the guest's traffic is filtered; no lock holds beside a controller from outside."""

    def change(transaction: Transaction, vif: VIF) -> dict[str, Any]:
        locked = _effective(transaction, vif, value) is LockingMode.LOCKED
        if locked and transaction.all(SDNController) and openvswitch_active(transaction):
            raise OPERATION_NOT_ALLOWED("A vswitch controller is active")
        return {"locking_mode": value}

    _change(ctx, self, change, _apply_locking)


@implements(api.set_ipv4_allowed)
def set_ipv4_allowed(ctx: Context, self: Ref[VIF], value: tuple[str, ...]) -> None:
    """Replace the IPv4 addresses that the guest may use while it is locked."""
    for address in value:
        check_ip(IPV4, "ipv4_allowed", address)
    _change(ctx, self, lambda _, vif: {"ipv4_allowed": tuple(dict.fromkeys(value))}, _apply_locking)


@implements(api.add_ipv4_allowed)
def add_ipv4_allowed(ctx: Context, self: Ref[VIF], value: str) -> None:
    """Allow the guest one more IPv4 address."""
    check_ip(IPV4, "ipv4_allowed", value)
    _change(ctx, self, lambda _, vif: {"ipv4_allowed": _with(vif.ipv4_allowed, value)}, _apply_locking)


@implements(api.remove_ipv4_allowed)
def remove_ipv4_allowed(ctx: Context, self: Ref[VIF], value: str) -> None:
    """Take one IPv4 address away; one that is not there is as good as removed."""
    _change(ctx, self, lambda _, vif: {"ipv4_allowed": _without(vif.ipv4_allowed, value)}, _apply_locking)


@implements(api.set_ipv6_allowed)
def set_ipv6_allowed(ctx: Context, self: Ref[VIF], value: tuple[str, ...]) -> None:
    """Replace the IPv6 addresses that the guest may use while it is locked."""
    for address in value:
        check_ip(IPV6, "ipv6_allowed", address)
    _change(ctx, self, lambda _, vif: {"ipv6_allowed": tuple(dict.fromkeys(value))}, _apply_locking)


@implements(api.add_ipv6_allowed)
def add_ipv6_allowed(ctx: Context, self: Ref[VIF], value: str) -> None:
    """Allow the guest one more IPv6 address."""
    check_ip(IPV6, "ipv6_allowed", value)
    _change(ctx, self, lambda _, vif: {"ipv6_allowed": _with(vif.ipv6_allowed, value)}, _apply_locking)


@implements(api.remove_ipv6_allowed)
def remove_ipv6_allowed(ctx: Context, self: Ref[VIF], value: str) -> None:
    """Take one IPv6 address away; one that is not there is as good as removed."""
    _change(ctx, self, lambda _, vif: {"ipv6_allowed": _without(vif.ipv6_allowed, value)}, _apply_locking)


def _with(present: tuple[Any, ...], value: object) -> tuple[Any, ...]:
    return present if value in present else (value, *present)


def _without(present: tuple[Any, ...], value: object) -> tuple[Any, ...]:
    return tuple(item for item in present if item != value)


@implements(api.configure_ipv4)
def configure_ipv4(
    ctx: Context, self: Ref[VIF], mode: VifIpv4ConfigurationMode, address: str = "", gateway: str = ""
) -> None:
    """Tell the guest how to set up IPv4 on this card; its agent must have said that it can."""

    def change(transaction: Transaction, vif: VIF) -> dict[str, Any]:
        if mode == VifIpv4ConfigurationMode.STATIC:
            _check_static(transaction, vif, IPV4, address, gateway)
        _check_guest_obeys(transaction, vif)
        addresses = (address,) if address else ()
        return {"ipv4_configuration_mode": mode, "ipv4_addresses": addresses, "ipv4_gateway": gateway}

    _change(ctx, self, change, _apply_addresses)


@implements(api.configure_ipv6)
def configure_ipv6(
    ctx: Context, self: Ref[VIF], mode: VifIpv6ConfigurationMode, address: str = "", gateway: str = ""
) -> None:
    """Tell the guest how to set up IPv6 on this card; its agent must have said that it can."""

    def change(transaction: Transaction, vif: VIF) -> dict[str, Any]:
        if mode == VifIpv6ConfigurationMode.STATIC:
            _check_static(transaction, vif, IPV6, address, gateway)
        _check_guest_obeys(transaction, vif)
        addresses = (address,) if address else ()
        return {"ipv6_configuration_mode": mode, "ipv6_addresses": addresses, "ipv6_gateway": gateway}

    _change(ctx, self, change, _apply_addresses)


def _check_static(transaction: Transaction, vif: VIF, family: int, address: str, gateway: str) -> None:
    plain = check_cidr(family, "address", address)
    allowed = vif.ipv4_allowed if family == IPV4 else vif.ipv6_allowed
    if _effective(transaction, vif, vif.locking_mode) is LockingMode.LOCKED and plain not in allowed:
        raise ADDRESS_VIOLATES_LOCKING_CONSTRAINT(address)
    if gateway:
        check_ip(family, "gateway", gateway)


def _check_guest_obeys(transaction: Transaction, vif: VIF) -> None:
    vm = transaction.get(VM, vif.VM)
    guest = transaction.find(VMGuestMetrics, vm.guest_metrics) if vm.guest_metrics != NULL else None
    if guest is None or guest.other.get(STATIC_ADDRESSES) != "1":
        raise VM_LACKS_FEATURE(vm.ref)


# Trunks of VLANs, which a plain bridge cannot carry


def _set_trunks(ctx: Context, self: Ref[VIF], change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> None:
    with ctx.transaction() as transaction:
        vif = transaction.get(VIF, self)
        trunks = change(vif.trunks)
        for tag in trunks:
            if not 0 <= tag <= HIGHEST_TAG:
                raise VLAN_TAG_INVALID(tag)
        if trunks and not openvswitch_active(transaction):
            raise NETWORK_INCOMPATIBLE_WITH_TRUNKS(vif.network)
        if is_active(transaction, vif):
            raise OPERATION_NOT_ALLOWED("the trunks of a VIF are changed while it is unplugged")
        transaction.update(VIF, self, trunks=trunks)


@implements(api.set_trunks)
def set_trunks(ctx: Context, self: Ref[VIF], value: tuple[int, ...]) -> None:
    """Replace the VLAN tags that may pass to the guest, from the next plugging on."""
    _set_trunks(ctx, self, lambda _: tuple(dict.fromkeys(value)))


@implements(api.add_trunks)
def add_trunks(ctx: Context, self: Ref[VIF], value: int) -> None:
    """Let one more VLAN tag pass to the guest, from the next plugging on."""
    _set_trunks(ctx, self, lambda present: _with(present, value))


@implements(api.remove_trunks)
def remove_trunks(ctx: Context, self: Ref[VIF], value: int) -> None:
    """Let one VLAN tag no longer pass to the guest, from the next plugging on."""
    _set_trunks(ctx, self, lambda present: _without(present, value))
