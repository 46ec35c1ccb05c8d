"""XenAPI's class PGPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many, message
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.gpu_group import GPUGroup
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.vgpu import VGPU
    from xapi.datamodel.classes.vgpu_type import VGPUType


class PciDom0Access(WireEnum):
    """Whether the control domain can use a device and if that changes at the next reboot."""

    ENABLED = "enabled"
    DISABLE_ON_REBOOT = "disable_on_reboot"
    DISABLED = "disabled"
    ENABLE_ON_REBOOT = "enable_on_reboot"


class PGPU(Entity, since="boston", role=POOL_OPERATOR):
    """A graphics device of a host, usable by VMs whole or in shares."""

    uuid: DynamicRO[str] = identity()
    PCI: StaticRO[Ref[classes.PCI]] = field("PCI device the graphics device sits on", default=NULL)
    GPU_group: StaticRO[Ref[GPUGroup]] = field("group from which VMs are given this device", default=NULL)
    host: DynamicRO[Ref[Host]] = field("host the device is built into", default=NULL)
    other_config: RW[Map[str, str]] = field("free key/value pairs for clients", default={})
    supported_VGPU_types: DynamicRO[SetOf[Ref[VGPUType]]] = field(
        "virtual GPU types the hardware and its driver can provide",
        since="vgpu-tech-preview",
        inverse="VGPU_type.supported_on_PGPUs",
    )
    enabled_VGPU_types: DynamicRO[SetOf[Ref[VGPUType]]] = field(
        "virtual GPU types the administrator lets run on this device",
        since="vgpu-tech-preview",
        inverse="VGPU_type.enabled_on_PGPUs",
    )
    resident_VGPUs: DynamicRO[SetOf[Ref[VGPU]]] = many(
        "VGPU.resident_on", "virtual GPUs running on this device now", since="vgpu-tech-preview"
    )
    size: StaticRO[int] = field(
        "capacity of the device in abstract units; each VGPU_type takes its own size from it",
        default=1048576,
        since="vgpu-tech-preview",
        internal=True,
    )
    supported_VGPU_max_capacities: DynamicRO[Map[Ref[VGPUType], int]] = field(
        "how many virtual GPUs of each type fit on the empty device", default={}, since="vgpu-productisation"
    )
    dom0_access: DynamicRO[PciDom0Access] = field(
        "whether the control domain can use the device; ask PCI.get_dom0_access_status instead",
        default=PciDom0Access.ENABLED,
        since="published cream, deprecated 24.14.0",
    )
    is_system_display_device: DynamicRO[bool] = field(
        "true if the host's own screen output goes through this device", default=False, since="cream"
    )
    compatibility_metadata: DynamicRO[Map[str, str]] = field(
        "driver data by which a migration checks that a virtual GPU can move here", default={}, since="inverness"
    )


@message(PGPU, since="vgpu-tech-preview")
def add_enabled_VGPU_types(self: Ref[PGPU], value: Ref[VGPUType]) -> None:
    """Permit one more virtual GPU type on the device.

    Refused if the device does not support the type.
    """


@message(PGPU, since="vgpu-tech-preview")
def remove_enabled_VGPU_types(self: Ref[PGPU], value: Ref[VGPUType]) -> None:
    """Forbid a virtual GPU type on the device.

    Refused while virtual GPUs of that type run on it.
    """


@message(PGPU, since="vgpu-tech-preview")
def set_enabled_VGPU_types(self: Ref[PGPU], value: SetOf[Ref[VGPUType]]) -> None:
    """Replace the set of virtual GPU types permitted on the device.

    Refused if one is not supported, or one that would be dropped is running.
    """


@message(PGPU, since="vgpu-tech-preview")
def set_GPU_group(self: Ref[PGPU], value: Ref[GPUGroup]) -> None:
    """Move the device to another group.

    Refused while virtual GPUs run on it, or if the group holds devices of another type.
    """


@message(PGPU, role=READ_ONLY, since="vgpu-tech-preview")
def get_remaining_capacity(self: Ref[PGPU], vgpu_type: Ref[VGPUType]) -> int:
    """Return how many more virtual GPUs of the given type can be started on the device."""


@message(PGPU, since="published cream, deprecated 24.14.0")
def enable_dom0_access(self: Ref[PGPU]) -> PciDom0Access:
    """Let the control domain use the device from the next reboot; see PCI.enable_dom0_access."""


@message(PGPU, since="published cream, deprecated 24.14.0")
def disable_dom0_access(self: Ref[PGPU]) -> PciDom0Access:
    """Hide the device from the control domain at the next reboot; see PCI.disable_dom0_access."""
