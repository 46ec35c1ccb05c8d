"""XenAPI's class VGPU_type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.gpu_group import GPUGroup
    from xapi.datamodel.classes.pgpu import PGPU
    from xapi.datamodel.classes.vgpu import VGPU


class VgpuTypeImplementation(WireEnum):
    """Technology behind a virtual GPU: the whole device, or a maker's way of sharing it."""

    PASSTHROUGH = "passthrough"
    NVIDIA = "nvidia"
    NVIDIA_SRIOV = "nvidia_sriov"
    GVT_G = "gvt_g"
    MXGPU = "mxgpu"


class VGPUType(Entity, name="VGPU_type", since="vgpu-tech-preview", role=POOL_OPERATOR):
    """A model of virtual GPU that some graphics device of the pool can provide."""

    uuid: DynamicRO[str] = identity()
    vendor_name: StaticRO[str] = field("maker of the virtual GPU", default="")
    model_name: StaticRO[str] = field("model as a readable name", default="")
    framebuffer_size: StaticRO[int] = field("bytes of video memory each virtual GPU has", default=0)
    max_heads: StaticRO[int] = field("most screens a VM can drive with it", default=0)
    max_resolution_x: StaticRO[int] = field(
        "widest picture of a screen, in pixels", default=0, since="vgpu-productisation"
    )
    max_resolution_y: StaticRO[int] = field(
        "highest picture of a screen, in pixels", default=0, since="vgpu-productisation"
    )
    size: StaticRO[int] = field(
        "share of a PGPU's size that one virtual GPU takes, in the same units", default=0, internal=True
    )
    supported_on_PGPUs: DynamicRO[SetOf[Ref[PGPU]]] = field(
        "graphics devices able to provide this type", inverse="PGPU.supported_VGPU_types"
    )
    enabled_on_PGPUs: DynamicRO[SetOf[Ref[PGPU]]] = field(
        "graphics devices on which this type is permitted", inverse="PGPU.enabled_VGPU_types"
    )
    VGPUs: DynamicRO[SetOf[Ref[VGPU]]] = many("VGPU.type", "virtual GPUs of this type")
    internal_config: StaticRO[Map[str, str]] = field(
        "settings handed to the program that emulates the device", default={}, internal=True
    )
    supported_on_GPU_groups: DynamicRO[SetOf[Ref[GPUGroup]]] = field(
        "groups with at least one device able to provide this type",
        since="vgpu-productisation",
        inverse="GPU_group.supported_VGPU_types",
    )
    enabled_on_GPU_groups: DynamicRO[SetOf[Ref[GPUGroup]]] = field(
        "groups with at least one device on which this type is permitted",
        since="vgpu-productisation",
        inverse="GPU_group.enabled_VGPU_types",
    )
    implementation: StaticRO[VgpuTypeImplementation] = field(
        "technology that makes the virtual GPU out of the physical one",
        default=VgpuTypeImplementation.PASSTHROUGH,
        since="dundee",
    )
    identifier: StaticRO[str] = field(
        "string that names the type uniquely, derived from its implementation and parameters",
        default="",
        since="dundee",
    )
    experimental: StaticRO[bool] = field(
        "true if the type is not yet meant for production", default=False, since="dundee"
    )
    compatible_types_in_vm: DynamicRO[SetOf[Ref[VGPUType]]] = field(
        "types that may sit beside this one in the same VM", default=(), since="quebec", dangling=True
    )
    compatible_types_on_pgpu: DynamicRO[SetOf[Ref[VGPUType]]] = field(
        "types that may run beside this one on the same graphics device",
        default=(),
        since="quebec",
        internal=True,
        dangling=True,
    )
