"""XenAPI's class PVS_server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, DynamicRO, Entity, Ref, SetOf, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.pvs_site import PVSSite


class PVSServer(Entity, name="PVS_server", since="ely", role=POOL_OPERATOR):
    """One provisioning server, or set of addresses, that streams disks for a PVS site."""

    uuid: DynamicRO[str] = identity()
    addresses: StaticRO[SetOf[str]] = field("IPv4 addresses at which the server answers", default=())
    first_port: StaticRO[int] = field("lowest UDP port of the range the server uses", default=0)
    last_port: StaticRO[int] = field("highest UDP port of the range the server uses", default=0)
    site: StaticRO[Ref[PVSSite]] = field("provisioning site the server belongs to", default=NULL)


@message(PVSServer)
def introduce(addresses: SetOf[str], first_port: int, last_port: int, site: Ref[PVSSite]) -> Ref[PVSServer]:
    """Add a provisioning server to a site.

    Refused if one of its addresses already belongs to another recorded server.
    """


@message(PVSServer)
def forget(self: Ref[PVSServer]) -> None:
    """Drop the provisioning server from its site."""
