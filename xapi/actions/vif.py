"""Network cards of VMs (XenAPI's class VIF): made, removed, plugged and moved; what they allow is in `vif_settings`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from xapi.actions.addresses import IPV4, IPV6, check_ip, is_mac, mac_from_seed, random_mac
from xapi.actions.attach_networks import attacher, check_sees_networks
from xapi.datamodel.classes import VIF, VM, Network, PVSProxy, VIFMetrics
from xapi.datamodel.classes import vif as api
from xapi.datamodel.classes.network import NetworkDefaultLockingMode
from xapi.datamodel.classes.vif import (
    VifIpv4ConfigurationMode,
    VifIpv6ConfigurationMode,
    VifLockingMode,
    VifOperations,
)
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.errors import (
    CANNOT_PLUG_VIF,
    DEVICE_ALREADY_EXISTS,
    DEVICE_DETACH_REJECTED,
    HANDLE_INVALID,
    HOST_CANNOT_ATTACH_NETWORK,
    INVALID_DEVICE,
    MAC_INVALID,
    OPERATION_NOT_ALLOWED,
    VM_REQUIRES_NETWORK,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys, implements
from xapi.hypervisor.config import LockingMode, Nic, StaticAddress
from xapi.hypervisor.errors import DeviceBusy, DeviceRefused, NoSuchDevice
from xapi.lifecycle.view import View
from xapi.network.interface import Filtering, NetworkError, NoSuchPort, Port, PortKind

MAC_SEED: Final = "mac_seed"
AUTODETECT: Final = "autodetect"
MOST_DEVICES: Final = 7  # what the service offers for a VM, whatever its kind
LIVE: Final = (VmPowerState.RUNNING, VmPowerState.PAUSED)
PASSED_ON: Final = ("promiscuous", "mtu", "trunks")  # and ethtool-*: what a driver is told of other_config
CLIENTS_FIELDS: Final = ("other_config", "qos_algorithm_type", "qos_algorithm_params", "locking_mode")


# From rows to a card of the hypervisor


def nic_of(view: View, vif: VIF) -> Nic:
    """The card that a VIF stands for, with everything that its network decides resolved."""
    network = view.get(Network, vif.network)
    return Nic(
        device=int(vif.device),
        mac=vif.MAC,
        bridge=network.bridge,
        mtu=mtu_of(vif, network),
        locking=locking_of(vif, network),
        allowed_ipv4=vif.ipv4_allowed,
        allowed_ipv6=vif.ipv6_allowed,
        static_ipv4=static_ipv4(vif),
        static_ipv6=static_ipv6(vif),
        rate=_rate(vif),
        other=_other(vif),
    )


def mtu_of(vif: VIF, network: Network) -> int:
    """The MTU of a VIF's card: `mtu` in its other_config, else its network's, whatever the VIF's own field says.

    Clients give the field without thinking (0, or 1500 on a network of 9000), and the service has never heeded it.
    """
    given = vif.other_config.get("mtu", "")
    return int(given) if given.isascii() and given.isdecimal() else network.MTU


def locking_of(vif: VIF, network: Network) -> LockingMode:
    """Which traffic a VIF may carry, where need be as its network says."""
    if vif.locking_mode == VifLockingMode.NETWORK_DEFAULT:
        unlocked = network.default_locking_mode == NetworkDefaultLockingMode.UNLOCKED
        return LockingMode.UNLOCKED if unlocked else LockingMode.DISABLED
    return LockingMode(vif.locking_mode)


def static_ipv4(vif: VIF) -> StaticAddress | None:
    """The IPv4 address that the guest is told to use, if any."""
    if vif.ipv4_configuration_mode != VifIpv4ConfigurationMode.STATIC or not vif.ipv4_addresses:
        return None
    return StaticAddress(vif.ipv4_addresses[0], vif.ipv4_gateway)


def static_ipv6(vif: VIF) -> StaticAddress | None:
    """The IPv6 address that the guest is told to use, if any."""
    if vif.ipv6_configuration_mode != VifIpv6ConfigurationMode.STATIC or not vif.ipv6_addresses:
        return None
    return StaticAddress(vif.ipv6_addresses[0], vif.ipv6_gateway)


def _rate(vif: VIF) -> int:
    """KiB/s, 0 without a limit; what is no number limits nothing, as the service has it."""
    given = vif.qos_algorithm_params.get("kbps", "")
    wanted = vif.qos_algorithm_type == "ratelimit" and given.isascii() and given.isdecimal()
    return int(given) if wanted else 0


def _other(vif: VIF) -> dict[str, str]:
    passed = {k: v for k, v in vif.other_config.items() if k.startswith("ethtool-") or k in PASSED_ON}
    return {**passed, "trunks": ",".join(map(str, vif.trunks))} if vif.trunks else passed


def is_active(view: View, vif: VIF) -> bool:
    """Whether there is a card of this VIF in a domain now: attached, and its VM is not merely suspended."""
    return vif.currently_attached and view.get(VM, vif.VM).power_state in LIVE


# Making and removing


def allowed_devices(view: View, vm: VM) -> tuple[str, ...]:
    """The device numbers that a VM's next VIF may have, lowest first."""
    used = used_devices(view, vm)
    return tuple(str(number) for number in range(MOST_DEVICES) if number not in used)


def used_devices(view: View, vm: VM) -> set[int]:
    """The device numbers that a VM's VIFs have."""
    rows = (view.find(VIF, ref) for ref in vm.VIFs)
    return {int(row.device) for row in rows if row is not None}


def _device(view: View, vm: VM, wanted: str) -> int:
    """The number that a client means; INVALID_DEVICE, DEVICE_ALREADY_EXISTS."""
    if wanted == AUTODETECT:
        free = allowed_devices(view, vm)
        if not free:
            raise INVALID_DEVICE(wanted)
        return int(free[0])
    if not (wanted.isascii() and wanted.isdecimal() and len(wanted) <= 4):
        raise INVALID_DEVICE(wanted)
    if int(wanted) in used_devices(view, vm):
        raise DEVICE_ALREADY_EXISTS(wanted)
    return int(wanted)


def _mac(vm: VM, device: int, wanted: str) -> tuple[str, bool]:
    """The MAC address of a new VIF, and whether it was chosen here: from the VM's seed if it has one."""
    if wanted:
        if not is_mac(wanted):
            raise MAC_INVALID(wanted)
        return wanted, False
    seed = vm.other_config.get(MAC_SEED)
    return (mac_from_seed(seed, device) if seed is not None else random_mac()), True


@creates(VIF)
def create(ctx: Context, values: dict[str, Any]) -> Ref[VIF]:
    """Give a VM one more card; it is plugged by a message of its own, or when the VM starts."""
    allowed4, allowed6 = _checked_allowed(values)
    with ctx.transaction() as transaction:
        vm = transaction.find(VM, values.get("VM", ""))
        if vm is None:
            raise HANDLE_INVALID(VM.wire_name, values.get("VM", ""))
        network = transaction.find(Network, values.get("network", ""))
        if network is None:
            raise HANDLE_INVALID(Network.wire_name, values.get("network", ""))
        device = _device(transaction, vm, values.get("device", ""))
        mac, chosen = _mac(vm, device, values.get("MAC", ""))
        mtu = values.get("MTU", 0)
        return transaction.create(
            VIF,
            device=str(device),
            VM=vm.ref,
            network=network.ref,
            MAC=mac,
            MAC_autogenerated=chosen,
            MTU=mtu if mtu > 0 else network.MTU,
            # Only the VM in an image may come with cards that are to be there again when it is resumed.
            currently_attached=values.get("currently_attached", False) and vm.power_state == VmPowerState.SUSPENDED,
            ipv4_allowed=allowed4,
            ipv6_allowed=allowed6,
            **{name: values[name] for name in CLIENTS_FIELDS if name in values},
        )


def _checked_allowed(values: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    ipv4 = tuple(dict.fromkeys(values.get("ipv4_allowed", ())))
    ipv6 = tuple(dict.fromkeys(values.get("ipv6_allowed", ())))
    for address in ipv4:
        check_ip(IPV4, "ipv4_allowed", address)
    for address in ipv6:
        check_ip(IPV6, "ipv6_allowed", address)
    return ipv4, ipv6


@destroys(VIF)
def destroy(ctx: Context, self: Ref[VIF]) -> None:
    """Take a card away from a VM in which it is not plugged."""
    with ctx.transaction() as transaction:
        vif = transaction.get(VIF, self)
        vm = transaction.find(VM, vif.VM)
        if vif.currently_attached and vm is not None and vm.power_state in LIVE:
            raise OPERATION_NOT_ALLOWED("VIF currently attached to a running VM")
        if transaction.find(VIFMetrics, vif.metrics) is not None:
            transaction.delete(VIFMetrics, vif.metrics)
        for proxy in transaction.all(PVSProxy):
            if self == proxy.VIF:
                transaction.delete(PVSProxy, proxy.ref)
        transaction.delete(VIF, self)


# Plugging


@implements(api.plug, occupies=VifOperations.PLUG)
def plug(ctx: Context, self: Ref[VIF]) -> None:
    """Give a running VM the card, its network being brought up first."""
    vif = ctx.db.get(VIF, self)
    vm, nic = ctx.db.get(VM, vif.VM), nic_of(ctx.db, vif)
    networks = attacher(ctx)
    with ExitStack() as undo:
        networks.connect(vm.uuid, nic)
        undo.callback(networks.disconnect, vm.uuid, nic)
        with _driver_refusals(self):
            if vm.is_control_domain:
                networks.networking.driver.ports.attach(host_port(vm, nic))
                undo.callback(networks.networking.driver.ports.detach, host_port(vm, nic).name)
            else:
                ctx.toolstack.hypervisor.devices.plug_nic(vm.uuid, nic)
                undo.callback(ctx.toolstack.hypervisor.devices.unplug_nic, vm.uuid, nic.device, True)
        with ctx.transaction() as transaction:
            # A guest that has stopped meanwhile took the card with it.
            if transaction.get(VM, vm.ref).power_state in LIVE:
                transaction.update(VIF, self, currently_attached=True, status_code=0, status_detail="")
        undo.pop_all()


@implements(api.unplug, occupies=VifOperations.UNPLUG)
def unplug(ctx: Context, self: Ref[VIF]) -> None:
    """Take the card away from a running VM, if the guest lets it go."""
    _unplug(ctx, self, force=False)


@implements(api.unplug_force, occupies=VifOperations.UNPLUG)
def unplug_force(ctx: Context, self: Ref[VIF]) -> None:
    """Take the card away from a running VM without asking the guest."""
    _unplug(ctx, self, force=True)


def _unplug(ctx: Context, self: Ref[VIF], *, force: bool) -> None:
    vif = ctx.db.get(VIF, self)
    vm, nic = ctx.db.get(VM, vif.VM), nic_of(ctx.db, vif)
    networks = attacher(ctx)
    try:
        if vm.is_control_domain:
            networks.networking.driver.ports.detach(host_port(vm, nic).name)
        else:
            ctx.toolstack.hypervisor.devices.unplug_nic(vm.uuid, nic.device, force)
    except (NoSuchDevice, NoSuchPort):
        pass  # it is gone already, which is what was asked for
    except (DeviceBusy, NetworkError) as error:
        raise DEVICE_DETACH_REJECTED("VIF", self, str(error)) from error
    with ctx.transaction() as transaction:
        if transaction.find(VIF, self) is not None:
            transaction.update(VIF, self, currently_attached=False)
    networks.disconnect(vm.uuid, nic)


@contextmanager
def _driver_refusals(vif: str) -> Iterator[None]:
    """Let a refusal of the card leave the block as CANNOT_PLUG_VIF."""
    try:
        yield
    except (DeviceRefused, NetworkError) as error:
        raise CANNOT_PLUG_VIF(vif) from error


def host_port(vm: VM, nic: Nic) -> Port:
    """The port that stands for a card of the control domain: an interface of the host itself."""
    return Port(
        name=f"vif{vm.domid if vm.domid > 0 else 0}.{nic.device}",
        bridge=nic.bridge,
        kind=PortKind.HOST,
        mac=nic.mac,
        mtu=nic.mtu,
        filtering=Filtering(nic.locking),
        allowed_ipv4=nic.allowed_ipv4,
        allowed_ipv6=nic.allowed_ipv6,
    )


# Moving


@implements(api.move)
def move(ctx: Context, self: Ref[VIF], network: Ref[Network]) -> None:
    """Connect a card to another network; a running guest does not see it go."""
    vif, target = ctx.db.get(VIF, self), ctx.db.get(Network, network)
    if is_active(ctx.db, vif):
        _check_host_sees(ctx, ctx.db.get(VM, vif.VM), target)
    move_to(ctx, self, target)


def move_to(ctx: Context, self: Ref[VIF], target: Network) -> None:
    """Connect a card to another network, unasked whether it is within sight of the VM's host."""
    vif = ctx.db.get(VIF, self)
    with ExitStack() as undo:
        if is_active(ctx.db, vif) and vif.network != target.ref:
            _switch(ctx, vif, target, undo)
        with ctx.transaction() as transaction:
            transaction.update(VIF, self, network=target.ref)
        undo.pop_all()
    if is_active(ctx.db, vif) and vif.network != target.ref:
        attacher(ctx).disconnect(ctx.db.get(VM, vif.VM).uuid, nic_of(ctx.db, vif))


def _check_host_sees(ctx: Context, vm: VM, target: Network) -> None:
    try:
        check_sees_networks(ctx.db, vm, vm.resident_on, [target])
    except Failure as failure:
        if failure.code == VM_REQUIRES_NETWORK.code:
            raise HOST_CANNOT_ATTACH_NETWORK(vm.resident_on, target.ref) from failure
        raise


def _switch(ctx: Context, vif: VIF, target: Network, undo: ExitStack) -> None:
    """Put the card of a running guest on another bridge; the old one is still counted as used."""
    networks, vm = attacher(ctx), ctx.db.get(VM, vif.VM)
    before = nic_of(ctx.db, vif)
    moved = VIF((*vif[: VIF.network.index], target.ref, *vif[VIF.network.index + 1 :]))
    after = nic_of(ctx.db, moved)
    networks.connect(vm.uuid, after)
    undo.callback(networks.disconnect, vm.uuid, after)
    if vm.is_control_domain:
        ports = networks.networking.driver.ports
        with _driver_refusals(vif.ref):
            ports.attach(host_port(vm, after))
        undo.callback(ports.attach, host_port(vm, before))
        return
    devices = ctx.toolstack.hypervisor.devices
    devices.move_nic(vm.uuid, after.device, after.bridge)
    undo.callback(devices.move_nic, vm.uuid, before.device, before.bridge)
    if after.locking != before.locking:
        devices.set_nic_locking(vm.uuid, after.device, after.locking, after.allowed_ipv4, after.allowed_ipv6)
        undo.callback(
            devices.set_nic_locking,
            vm.uuid,
            before.device,
            before.locking,
            before.allowed_ipv4,
            before.allowed_ipv6,
        )
