"""XenAPI's class GPU_group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NOTHING, RW, DynamicRO, Entity, Map, Ref, SetOf, field, identity, many, message
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.pgpu import PGPU
    from xapi.datamodel.classes.vgpu import VGPU
    from xapi.datamodel.classes.vgpu_type import VGPUType


class AllocationAlgorithm(WireEnum):
    """Whether virtual GPUs are spread over the devices of a group or packed onto few."""

    BREADTH_FIRST = "breadth_first"
    DEPTH_FIRST = "depth_first"


class GPUGroup(Entity, name="GPU_group", since="boston", role=POOL_OPERATOR):
    """A set of like graphics devices in the pool, from which a virtual GPU is served."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field("name shown to people", default="", group="name")
    name_description: RW[str] = field("free-text note about the group", default="", group="name")
    PGPUs: DynamicRO[SetOf[Ref[PGPU]]] = many("PGPU.GPU_group", "graphics devices that belong to the group")
    VGPUs: DynamicRO[SetOf[Ref[VGPU]]] = many("VGPU.GPU_group", "virtual GPUs that are to be served from the group")
    GPU_types: DynamicRO[SetOf[str]] = field("kinds of hardware in the group, as PCI vendor and device ids", default=())
    other_config: RW[Map[str, str]] = field("free key/value pairs for clients", default={})
    allocation_algorithm: RW[AllocationAlgorithm] = field(
        "whether new virtual GPUs are spread over the devices or packed together",
        default=AllocationAlgorithm.DEPTH_FIRST,
        since="vgpu-tech-preview",
    )
    supported_VGPU_types: DynamicRO[SetOf[Ref[VGPUType]]] = field(
        "virtual GPU types that at least one device of the group supports",
        since="vgpu-productisation",
        inverse="VGPU_type.supported_on_GPU_groups",
    )
    enabled_VGPU_types: DynamicRO[SetOf[Ref[VGPUType]]] = field(
        "virtual GPU types that are permitted on at least one device of the group",
        since="vgpu-productisation",
        inverse="VGPU_type.enabled_on_GPU_groups",
    )


@message(GPUGroup)
def create(name_label: str = "", name_description: str = "", other_config: Map[str, str] = NOTHING) -> Ref[GPUGroup]:
    """Create an empty group."""


@message(GPUGroup)
def destroy(self: Ref[GPUGroup]) -> None:
    """Delete the group.

    Refused while graphics devices or virtual GPUs belong to it.
    """


@message(GPUGroup, since="vgpu-productisation", hidden=True)
def update_enabled_VGPU_types(self: Ref[GPUGroup]) -> None:
    """Collect anew the types permitted on the group's devices."""


@message(GPUGroup, since="vgpu-productisation", hidden=True)
def update_supported_VGPU_types(self: Ref[GPUGroup]) -> None:
    """Collect anew the types the group's devices support."""


@message(GPUGroup, role=READ_ONLY, since="vgpu-tech-preview")
def get_remaining_capacity(self: Ref[GPUGroup], vgpu_type: Ref[VGPUType]) -> int:
    """Return how many more virtual GPUs of the given type the group can start."""
