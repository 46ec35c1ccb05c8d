"""XenAPI's class SDN_controller."""

from __future__ import annotations

from xapi.datamodel.model import DynamicRO, Entity, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum


class SdnControllerProtocol(WireEnum):
    """Who connects: the switches to the controller (ssl) or the controller to the switches (pssl)."""

    SSL = "ssl"
    PSSL = "pssl"


class SDNController(Entity, name="SDN_controller", since="falcon", role=POOL_OPERATOR):
    """The outside controller that steers the Open vSwitch of every host in the pool."""

    uuid: DynamicRO[str] = identity()
    protocol: StaticRO[SdnControllerProtocol] = field(
        "which side opens the connection between controller and switch", default=SdnControllerProtocol.SSL
    )
    address: StaticRO[str] = field("IP address of the controller, or empty if the switches wait for it", default="")
    port: StaticRO[int] = field("TCP port of the connection, 0 for the default", default=0)


@message(SDNController)
def introduce(
    protocol: SdnControllerProtocol = SdnControllerProtocol.SSL, address: str = "", port: int = 0
) -> Ref[SDNController]:
    """Connect the pool's switches to a controller.

    Only one controller at a time. With pssl the address must stay empty, with ssl it is needed.
    """


@message(SDNController)
def forget(self: Ref[SDNController]) -> None:
    """Disconnect the pool's switches from the controller and drop its record."""
