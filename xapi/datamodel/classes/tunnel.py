"""XenAPI's class tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.errors import IS_TUNNEL_ACCESS_PIF, OPENVSWITCH_NOT_ACTIVE, TRANSPORT_PIF_NOT_CONFIGURED
from xapi.datamodel.model import NULL, RW, DynamicRO, Entity, Map, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.network import Network
    from xapi.datamodel.classes.pif import PIF


class TunnelProtocol(WireEnum):
    """Encapsulation of a tunnel's packets."""

    GRE = "gre"
    VXLAN = "vxlan"


class Tunnel(Entity, name="tunnel", since="cowley", role=POOL_OPERATOR):
    """An overlay link of a host: a network's packets wrapped and sent over another interface."""

    uuid: DynamicRO[str] = identity()
    access_PIF: StaticRO[Ref[PIF]] = field("interface that connects the tunnel to its network", default=NULL)
    transport_PIF: StaticRO[Ref[PIF]] = field("interface over which the wrapped packets travel", default=NULL)
    status: RW[Map[str, str]] = field(
        "state reported by the SDN controller; key 'active' tells whether the tunnel works", default={"active": "false"}
    )
    other_config: RW[Map[str, str]] = field("free settings of clients and toolstack", default={})
    protocol: RW[TunnelProtocol] = field("encapsulation in use", default=TunnelProtocol.GRE, since="1.250.0")


@message(
    Tunnel,
    errors=(OPENVSWITCH_NOT_ACTIVE, TRANSPORT_PIF_NOT_CONFIGURED, IS_TUNNEL_ACCESS_PIF),
    param_since={"transport_PIF": "dundee", "network": "dundee", "protocol": "1.250.0"},
)
def create(
    transport_PIF: Ref[PIF], network: Ref[Network], protocol: TunnelProtocol = TunnelProtocol.GRE
) -> Ref[Tunnel]:
    """Create a tunnel that carries a network over an interface of one host.

    Needs Open vSwitch; an SDN controller is expected to link the hosts. Refused on a bond member or another tunnel.
    """


@message(Tunnel)
def destroy(self: Ref[Tunnel]) -> None:
    """Remove the tunnel and its access interface."""
