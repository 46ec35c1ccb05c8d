"""The controller from outside that steers the pool's switches (XenAPI's class SDN_controller)."""

from __future__ import annotations

from xapi.actions.addresses import IPV4, check_ip, check_port
from xapi.actions.attach_networks import networking
from xapi.actions.backends import openvswitch_active
from xapi.actions.pif_wiring import network_failures
from xapi.datamodel.classes import SDNController
from xapi.datamodel.classes import sdn_controller as api
from xapi.datamodel.classes.sdn_controller import SdnControllerProtocol
from xapi.datamodel.errors import INVALID_VALUE, OPERATION_NOT_ALLOWED
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.network.interface import ControllerTarget

USUAL_PORT = 6632


@implements(api.introduce)
def introduce(
    ctx: Context,
    protocol: SdnControllerProtocol = SdnControllerProtocol.SSL,
    address: str = "",
    port: int = 0,
) -> Ref[SDNController]:
    """Connect this host's switches to a controller, of which there is one at most."""
    net = networking(ctx)
    with net.lock:
        if not openvswitch_active(ctx.db):
            raise OPERATION_NOT_ALLOWED("host not configured for vswitch operation")
        if ctx.db.all(SDNController):
            raise OPERATION_NOT_ALLOWED("SDN controller has been configured. Please forget it first.")
        if protocol == SdnControllerProtocol.PSSL:
            if address:
                raise INVALID_VALUE("address", address)
            if port:
                raise INVALID_VALUE("port", port)
        elif not address:
            raise INVALID_VALUE("address", address)
        else:
            check_ip(IPV4, "address", address)
            port = port or USUAL_PORT
        if port:
            check_port("port", port)
        with network_failures(NULL):
            net.driver.set_controller(ControllerTarget(passive=not address, address=address, port=port))
        with ctx.transaction() as transaction:
            return transaction.create(SDNController, protocol=protocol, address=address, port=port)


@implements(api.forget)
def forget(ctx: Context, self: Ref[SDNController]) -> None:
    """Disconnect this host's switches from the controller."""
    net = networking(ctx)
    with net.lock:
        with network_failures(NULL):
            net.driver.set_controller(None)
        with ctx.transaction() as transaction:
            transaction.delete(SDNController, self)
