"""Tunnels over interfaces (XenAPI's class tunnel)."""

from __future__ import annotations

import itertools
import uuid
from contextlib import ExitStack

from xapi.actions.addresses import mac_from_seed
from xapi.actions.attach_networks import networking
from xapi.actions.backends import check_openvswitch
from xapi.actions.network import check_managed as check_network_managed
from xapi.actions.pif import plug_pif, unplug_pif
from xapi.actions.pif_checks import UNTAGGED, check_host_unconnected, check_managed, check_takes_tunnel
from xapi.actions.pif_wiring import PifKind, kind_of
from xapi.datamodel.classes import PIF, Network, Tunnel
from xapi.datamodel.classes import tunnel as api
from xapi.datamodel.classes.tunnel import TunnelProtocol
from xapi.datamodel.errors import NETWORK_INCOMPATIBLE_WITH_TUNNEL
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle.view import View


@implements(api.create)
def create(
    ctx: Context, transport_PIF: Ref[PIF], network: Ref[Network], protocol: TunnelProtocol = TunnelProtocol.GRE
) -> Ref[Tunnel]:
    """Carry a network in wrapped packets over an interface, and bring it up."""
    net = networking(ctx)
    with net.lock, ExitStack() as undo:
        with ctx.transaction() as transaction:
            transport, target = transaction.get(PIF, transport_PIF), transaction.get(Network, network)
            check_network_managed(target)
            check_managed(transport)
            check_takes_tunnel(transaction, transport)
            _check_network_fits(transaction, target)
            check_host_unconnected(transaction, target, transport.host)
            check_openvswitch(transaction)
            tunnel, access = make_rows(transaction, transport, target, protocol)
        undo.callback(delete_rows, ctx, tunnel)
        plug_pif(net, access)
        undo.pop_all()
    return tunnel


def _check_network_fits(view: View, network: Network) -> None:
    for ref in network.PIFs:
        if kind_of(view.get(PIF, ref)) is PifKind.SRIOV:
            raise NETWORK_INCOMPATIBLE_WITH_TUNNEL(network.ref)


def make_rows(
    transaction: Transaction, transport: PIF, network: Network, protocol: TunnelProtocol
) -> tuple[Ref[Tunnel], Ref[PIF]]:
    """Write down a tunnel and its access PIF, which has a MAC address of its own."""
    device = _device_name(transaction, transport.host)
    access = transaction.create(
        PIF,
        device=device,
        device_name=device,
        network=network.ref,
        host=transport.host,
        MAC=mac_from_seed(str(uuid.uuid4()), 0),
        MTU=-1,  # known once it is up
        VLAN=UNTAGGED,
        metrics=transport.metrics,
        physical=False,
        currently_attached=False,
    )
    tunnel = transaction.create(
        Tunnel, access_PIF=access, transport_PIF=transport.ref, protocol=protocol, status={"active": "false"}
    )
    return tunnel, access


def _device_name(view: View, host: str) -> str:
    taken = {pif.device for pif in view.all(PIF) if pif.host == host and pif.tunnel_access_PIF_of}
    return next(name for number in itertools.count() if (name := f"tunnel{number}") not in taken)


def delete_rows(ctx: Context, ref: Ref[Tunnel]) -> None:
    """Remove a tunnel and its access PIF from the database."""
    with ctx.transaction() as transaction:
        tunnel = transaction.get(Tunnel, ref)
        transaction.delete(Tunnel, ref)
        if transaction.find(PIF, tunnel.access_PIF) is not None:
            transaction.delete(PIF, tunnel.access_PIF)


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[Tunnel]) -> None:
    """Take a tunnel down and remove it with its access PIF."""
    net = networking(ctx)
    with net.lock:
        access = ctx.db.get(Tunnel, self).access_PIF
        if ctx.db.find(PIF, access) is not None:
            unplug_pif(net, access)
        delete_rows(ctx, self)
