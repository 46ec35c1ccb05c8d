"""XenAPI's class VGPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NOTHING, NULL, RW, DynamicRO, Entity, Map, Ref, field, identity, message
from xapi.datamodel.roles import LOCAL_ROOT, POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.gpu_group import GPUGroup
    from xapi.datamodel.classes.pgpu import PGPU
    from xapi.datamodel.classes.vgpu_type import VGPUType
    from xapi.datamodel.classes.vm import VM


class VGPU(Entity, since="boston", role=POOL_OPERATOR):
    """A virtual or passed-through graphics processor of a VM."""

    uuid: DynamicRO[str] = identity()
    VM: DynamicRO[Ref[classes.VM]] = field("virtual machine that has the graphics processor")
    GPU_group: DynamicRO[Ref[GPUGroup]] = field("group of physical GPUs that one is picked from when the VM starts")
    device: DynamicRO[str] = field(
        "position among the VM's graphics processors, as a decimal number starting at 0", default="0"
    )
    currently_attached: DynamicRO[bool] = field("true while the running domain has the device", default=False)
    other_config: RW[Map[str, str]] = field("keys and values that clients attach to the VGPU", default={})
    type: DynamicRO[Ref[VGPUType]] = field(
        "model of virtual GPU: how much of a physical one it takes", default=NULL, since="vgpu-tech-preview"
    )
    resident_on: DynamicRO[Ref[PGPU]] = field(
        "physical GPU the device runs on; null while it is not attached", default=NULL, since="vgpu-tech-preview"
    )
    scheduled_to_be_resident_on: DynamicRO[Ref[PGPU]] = field(
        "physical GPU held for a start or migration under way", default=NULL, since="dundee"
    )
    compatibility_metadata: DynamicRO[Map[str, str]] = field(
        "vendor's data by which hosts tell if the running device can migrate to them", default={}, since="inverness"
    )
    extra_args: RW[str] = field("additional arguments for the vendor's emulation process", default="", since="quebec")
    PCI: DynamicRO[Ref[classes.PCI]] = field(
        "PCI function passed through to the guest for this device; null if there is none", default=NULL, since="quebec"
    )


@message(VGPU, param_since={"type": "vgpu-tech-preview"})
def create(
    VM: Ref[VM],
    GPU_group: Ref[GPUGroup],
    device: str = "0",
    other_config: Map[str, str] = NOTHING,
    type: Ref[VGPUType] = NULL,
) -> Ref[VGPU]:
    """Give a halted VM a graphics processor from a group.

    A null type means pass-through of a whole GPU.
    """


@message(VGPU)
def destroy(self: Ref[VGPU]) -> None:
    """Take a graphics processor out of its VM.

    Refused unless the VM is halted.
    """


@message(VGPU, role=LOCAL_ROOT, since="dundee", pool_internal=True, hidden=True)
def atomic_set_resident_on(self: Ref[VGPU], value: Ref[PGPU]) -> None:
    """Record the physical GPU in use and clear its reservation; for hosts, not for clients."""
