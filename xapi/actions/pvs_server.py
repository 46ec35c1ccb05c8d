"""Provisioning servers (XenAPI's class PVS_server): their records."""

from __future__ import annotations

from xapi.actions.addresses import IPV4, check_ip, check_port
from xapi.actions.backends import check_openvswitch
from xapi.datamodel.classes import PVSServer, PVSSite
from xapi.datamodel.classes import pvs_server as api
from xapi.datamodel.errors import INVALID_VALUE, PVS_SERVER_ADDRESS_IN_USE, VALUE_NOT_SUPPORTED
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


@implements(api.introduce)
def introduce(
    ctx: Context, addresses: tuple[str, ...], first_port: int, last_port: int, site: Ref[PVSSite]
) -> Ref[PVSServer]:
    """Write down a server of a site, whose addresses no other one has."""
    with ctx.transaction() as transaction:
        check_openvswitch(transaction)
        for address in addresses:
            check_ip(IPV4, "addresses", address)
        taken = {address for server in transaction.all(PVSServer) for address in server.addresses}
        in_use = [address for address in addresses if address in taken]
        if in_use:
            raise PVS_SERVER_ADDRESS_IN_USE(*in_use)
        check_port("first_port", first_port)
        check_port("last_port", last_port)
        if last_port < first_port:
            raise VALUE_NOT_SUPPORTED("last_port", last_port, "last_port smaller than first_port")
        if transaction.find(PVSSite, site) is None:
            raise INVALID_VALUE("site", site)
        return transaction.create(PVSServer, addresses=addresses, first_port=first_port, last_port=last_port, site=site)


@implements(api.forget)
def forget(ctx: Context, self: Ref[PVSServer]) -> None:
    """Remove a server from its site."""
    with ctx.transaction() as transaction:
        transaction.delete(PVSServer, self)
