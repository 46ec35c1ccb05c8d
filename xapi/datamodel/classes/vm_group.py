"""XenAPI's class VM_group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Ref, SetOf, StaticRO, field, identity
from xapi.datamodel.roles import VM_ADMIN
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.vm import VM


class PlacementPolicy(WireEnum):
    """Whether the members of a group are spread over hosts or placed freely."""

    ANTI_AFFINITY = "anti_affinity"
    NORMAL = "normal"


class VMGroup(Entity, name="VM_group", since="prototyped 24.19.1", role=VM_ADMIN, constructor=True):
    """A set of VMs that share a rule on which hosts they are placed."""

    uuid: DynamicRO[str] = identity(since="rio")
    name_label: RW[str] = field("name of the group shown to people", default="", group="name", since="rio")
    name_description: RW[str] = field("free text notes about the group", default="", group="name", since="rio")
    placement: StaticRO[PlacementPolicy] = field(
        "rule by which hosts are chosen for the members", default=PlacementPolicy.NORMAL
    )
    VMs: DynamicRO[SetOf[Ref[VM]]] = field("VMs that belong to the group", inverse="VM.groups")
