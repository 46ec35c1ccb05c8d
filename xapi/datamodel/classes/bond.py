"""XenAPI's class Bond."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import (
    NOTHING,
    NULL,
    RW,
    DynamicRO,
    Entity,
    Map,
    Ref,
    SetOf,
    StaticRO,
    field,
    identity,
    many,
    message,
)
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.network import Network
    from xapi.datamodel.classes.pif import PIF


class BondMode(WireEnum):
    """How a bond uses its links: balanced by source, one at a time, or negotiated with the switch."""

    BALANCE_SLB = "balance-slb"
    ACTIVE_BACKUP = "active-backup"
    LACP = "lacp"


class Bond(Entity, since="miami", role=POOL_OPERATOR):
    """Several PIFs of one host joined into one, for throughput or against link failure."""

    uuid: DynamicRO[str] = identity(since="rio")
    master: StaticRO[Ref[PIF]] = field("interface that stands for the bond as a whole", default=NULL)
    slaves: DynamicRO[SetOf[Ref[PIF]]] = many("PIF.bond_slave_of", "interfaces that are joined")
    other_config: RW[Map[str, str]] = field("free settings of clients and toolstack", default={})
    primary_slave: DynamicRO[Ref[PIF]] = field(
        "member whose IP configuration, and MAC address unless one was given, passed to the bond",
        default=NULL,
        since="boston",
    )
    mode: DynamicRO[BondMode] = field(
        "how traffic is spread over the members", default=BondMode.BALANCE_SLB, since="boston"
    )
    properties: DynamicRO[Map[str, str]] = field(
        "further settings of the mode, such as 'hashing_algorithm' for lacp", default={}, since="tampa"
    )
    links_up: DynamicRO[int] = field("number of members that have a link now", default=0, since="tampa")
    auto_update_mac: DynamicRO[bool] = field(
        "true if the bond takes its MAC address from the primary member rather than a fixed one",
        default=True,
        since="quebec",
    )


@message(Bond, param_since={"mode": "boston", "properties": "tampa"})
def create(
    network: Ref[Network],
    members: SetOf[Ref[PIF]],
    MAC: str,
    mode: BondMode = BondMode.BALANCE_SLB,
    properties: Map[str, str] = NOTHING,
) -> Ref[Bond]:
    """Join interfaces of one host into a bond that carries the given network.

    An empty MAC takes the primary member's. Its IP settings, VLANs and management role move to the bond.
    """


@message(Bond)
def destroy(self: Ref[Bond]) -> None:
    """Dissolve the bond and make its members separate interfaces again.

    IP settings, VLANs and management role go back to the primary member.
    """


@message(Bond, since="boston")
def set_mode(self: Ref[Bond], value: BondMode) -> None:
    """Change how the bond spreads traffic; a bond in use is reconfigured at once."""


@message(Bond, since="tampa")
def set_property(self: Ref[Bond], name: str, value: str) -> None:
    """Set one further setting of the bond's mode.

    A name or value that the mode does not know is refused.
    """
