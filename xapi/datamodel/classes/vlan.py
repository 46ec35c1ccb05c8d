"""XenAPI's class VLAN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, RW, DynamicRO, Entity, Map, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.network import Network
    from xapi.datamodel.classes.pif import PIF


class VLAN(Entity, since="miami", role=POOL_OPERATOR):
    """The tie between an interface with tagged traffic and the PIF that shows one VLAN untagged."""

    uuid: DynamicRO[str] = identity(since="rio")
    tagged_PIF: StaticRO[Ref[PIF]] = field("interface on which the VLAN's packets carry the tag", default=NULL)
    untagged_PIF: DynamicRO[Ref[PIF]] = field("interface that offers the VLAN's packets without the tag", default=NULL)
    tag: StaticRO[int] = field("VLAN number, from 0 to 4094", default=-1)
    other_config: RW[Map[str, str]] = field("free settings of clients and toolstack", default={})


@message(VLAN, since="inverness", hidden=True)
def pool_introduce(tagged_PIF: Ref[PIF], untagged_PIF: Ref[PIF], tag: int, other_config: Map[str, str]) -> Ref[VLAN]:
    """Add a VLAN's record for existing interfaces; used while a host joins a pool."""


@message(VLAN)
def create(tagged_PIF: Ref[PIF], tag: int, network: Ref[Network]) -> Ref[VLAN]:
    """Put the VLAN with this tag of an interface onto a network and return it.

    Refused if the tag is in use on the interface or the network already has a PIF on that host.
    """


@message(VLAN)
def destroy(self: Ref[VLAN]) -> None:
    """Remove the VLAN and its untagged interface.

    Refused while the interface serves management or is held by running VMs.
    """
