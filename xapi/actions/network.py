"""Networks (XenAPI's class network)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

from xapi.actions.attach_networks import attach as attach_here
from xapi.actions.attach_networks import attacher, networking
from xapi.actions.vif import nic_of
from xapi.datamodel.classes import VIF, VM, Blob, Host, Network
from xapi.datamodel.classes import network as api
from xapi.datamodel.classes.network import NetworkDefaultLockingMode, NetworkPurpose
from xapi.datamodel.errors import (
    BRIDGE_NAME_EXISTS,
    CANNOT_DESTROY_SYSTEM_NETWORK,
    HOST_OFFLINE,
    INVALID_VALUE,
    NETWORK_CONTAINS_PIF,
    NETWORK_CONTAINS_VIF,
    NETWORK_INCOMPATIBLE_PURPOSES,
    NETWORK_UNMANAGED,
    VIF_IN_USE,
)
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys, implements
from xapi.lifecycle.surroundings import is_true
from xapi.lifecycle.view import View
from xapi.network.interface import LONGEST_NAME

STEM: Final = "xapi"
OURS: Final = ("xen", "xapi", "vif", "tap", "eth")  # how names begin that the toolstack or the kernel gives
USUAL_MTU: Final = 1500
SYSTEM: Final = "is_host_internal_management_network"
CLIENTS_FIELDS: Final = ("name_label", "name_description", "other_config", "managed", "tags")
INCOMPATIBLE: Final[Mapping[NetworkPurpose, NetworkPurpose]] = {
    NetworkPurpose.NBD: NetworkPurpose.INSECURE_NBD,
    NetworkPurpose.INSECURE_NBD: NetworkPurpose.NBD,
}


@creates(Network)
def create(ctx: Context, values: dict[str, Any]) -> Ref[Network]:
    """Make a network; its bridge comes into being when something first needs it on a host."""
    with ctx.transaction() as transaction:
        return create_in(transaction, values, trusted=ctx.session.pool)


def create_in(transaction: Transaction, values: Mapping[str, Any], *, trusted: bool = True) -> Ref[Network]:
    """Make a network from the fields given; only who is `trusted` may take a name of the toolstack's for its bridge."""
    mtu = values.get("MTU", USUAL_MTU)
    return transaction.create(
        Network,
        bridge=_bridge_name(transaction, values.get("bridge", ""), trusted),
        MTU=mtu if mtu > 0 else USUAL_MTU,
        **{name: values[name] for name in CLIENTS_FIELDS if name in values},
    )


def _bridge_name(view: View, wanted: str, trusted: bool) -> str:
    """The name wanted, or a free one; INVALID_VALUE, BRIDGE_NAME_EXISTS."""
    taken = {network.bridge for network in view.all(Network)}
    if not wanted:
        return next(name for number in itertools.count() if (name := f"{STEM}{number}") not in taken)
    if not trusted and (len(wanted.encode()) > LONGEST_NAME or wanted.startswith(OURS)):
        raise INVALID_VALUE("bridge", wanted)
    if wanted in taken:
        raise BRIDGE_NAME_EXISTS(wanted)
    return wanted


@implements(api.pool_introduce)
def pool_introduce(
    ctx: Context,
    name_label: str,
    name_description: str,
    MTU: int,
    other_config: Mapping[str, str],
    bridge: str,
    managed: bool,
    purpose: tuple[NetworkPurpose, ...],
) -> Ref[Network]:
    """Write down a network that another host of the pool has."""
    with ctx.transaction() as transaction:
        return transaction.create(
            Network,
            name_label=name_label,
            name_description=name_description,
            MTU=MTU,
            other_config=other_config,
            bridge=bridge,
            managed=managed,
            purpose=purpose,
        )


@destroys(Network)
def destroy(ctx: Context, self: Ref[Network]) -> None:
    """Remove a network on which nothing is plugged, with the cards that VMs have on it."""
    with ctx.transaction() as transaction:
        network = transaction.get(Network, self)
        vifs = [transaction.get(VIF, ref) for ref in network.VIFs]
        plugged = [vif.ref for vif in vifs if vif.currently_attached or vif.reserved]
        if plugged:
            raise NETWORK_CONTAINS_VIF(*plugged)
        if network.PIFs:
            raise NETWORK_CONTAINS_PIF(*network.PIFs)
        if is_true(network.other_config, SYSTEM):
            raise CANNOT_DESTROY_SYSTEM_NETWORK(self)
        for vif in vifs:
            transaction.delete(VIF, vif.ref)
        for blob in network.blobs.values():
            if transaction.find(Blob, blob) is not None:
                transaction.delete(Blob, blob)
        transaction.delete(Network, self)
    if network.managed:
        attacher(ctx).release(network)


@implements(api.attach, checks_first=False)
def attach(ctx: Context, network: Ref[Network], host: Ref[Host]) -> None:
    """Bring the network up on a host, or apply changed settings to it there."""
    if ctx.find(Host, host) is None:
        raise HOST_OFFLINE(host)
    attach_here(networking(ctx), ctx.db.get(Network, network), again=True)


@implements(api.attach_for_vm, runs_on="host")
def attach_for_vm(ctx: Context, host: Ref[Host], vm: Ref[VM]) -> None:
    """Bring every network of a VM up on a host."""
    row = ctx.db.get(VM, vm)
    for ref in row.VIFs:
        attacher(ctx).connect(row.uuid, nic_of(ctx.db, ctx.db.get(VIF, ref)))


@implements(api.detach_for_vm, runs_on="host")
def detach_for_vm(ctx: Context, host: Ref[Host], vm: Ref[VM]) -> None:
    """Release the networks of a VM on a host; those which are internal and have no other user lose their bridge."""
    row = ctx.db.get(VM, vm)
    for ref in row.VIFs:
        attacher(ctx).disconnect(row.uuid, nic_of(ctx.db, ctx.db.get(VIF, ref)))


@implements(api.set_default_locking_mode)
def set_default_locking_mode(ctx: Context, network: Ref[Network], value: NetworkDefaultLockingMode) -> None:
    """Choose how cards that leave it to the network are treated, while none is plugged."""
    with ctx.transaction() as transaction:
        for ref in transaction.get(Network, network).VIFs:
            if transaction.get(VIF, ref).currently_attached:
                raise VIF_IN_USE(network, ref)
        transaction.update(Network, network, default_locking_mode=value)


@implements(api.add_purpose)
def add_purpose(ctx: Context, self: Ref[Network], value: NetworkPurpose) -> None:
    """Open the network to a service; its rival must not be open on any network of the pool."""
    with ctx.transaction() as transaction:
        purpose = transaction.get(Network, self).purpose
        if value in purpose:
            return
        rival = INCOMPATIBLE[value]
        if any(rival in network.purpose for network in transaction.all(Network)):
            raise NETWORK_INCOMPATIBLE_PURPOSES(value, rival)
        transaction.update(Network, self, purpose=(value, *purpose))


@implements(api.remove_purpose)
def remove_purpose(ctx: Context, self: Ref[Network], value: NetworkPurpose) -> None:
    """Close the network to a service."""
    with ctx.transaction() as transaction:
        purpose = transaction.get(Network, self).purpose
        if value in purpose:
            transaction.update(Network, self, purpose=tuple(one for one in purpose if one != value))


def check_managed(network: Network) -> None:
    """Pass a network that the toolstack may change; NETWORK_UNMANAGED otherwise."""
    if not network.managed:
        raise NETWORK_UNMANAGED(network.ref)
