"""Graphics processors of VMs (XenAPI's class VGPU)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xapi.datamodel.classes import PGPU, VGPU, VM, GPUGroup, VGPUType
from xapi.datamodel.classes import vgpu as api
from xapi.datamodel.classes.vgpu_type import VgpuTypeImplementation
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.errors import (
    DEVICE_ALREADY_EXISTS,
    FEATURE_RESTRICTED,
    INVALID_DEVICE,
    OPERATION_NOT_ALLOWED,
    VGPU_TYPE_NOT_COMPATIBLE,
    VM_BAD_POWER_STATE,
)
from xapi.datamodel.model import NOTHING, NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle import View

RESTRICTION: Final = "restrict_gpu"
DEVICES: Final = tuple(str(number) for number in range(4))
_VM = VM  # the parameter of `create` has the name of the class


def passthrough_type(view: View) -> Ref[VGPUType]:
    """The type that stands for a whole graphics device; null when no device has it."""
    types = (row for row in view.all(VGPUType) if row.implementation == VgpuTypeImplementation.PASSTHROUGH)
    return next((row.ref for row in types), NULL)


@implements(api.create)
def create(
    ctx: Context,
    VM: Ref[VM],
    GPU_group: Ref[GPUGroup],
    device: str = "0",
    other_config: Mapping[str, str] = NOTHING,
    type: Ref[VGPUType] = NULL,
) -> Ref[VGPU]:
    """Give a halted VM a graphics processor from a group."""
    if ctx.pool.restrictions.get(RESTRICTION) == "true":
        raise FEATURE_RESTRICTED(RESTRICTION)
    if device not in DEVICES:
        raise INVALID_DEVICE(device)
    with ctx.transaction() as transaction:
        vm = transaction.get(_VM, VM)
        transaction.get(GPUGroup, GPU_group)
        wanted = transaction.get(VGPUType, type).ref if type != NULL else passthrough_type(transaction)
        if vm.power_state != VmPowerState.HALTED:
            raise VM_BAD_POWER_STATE(VM, "halted", vm.power_state.lower())
        present = [transaction.get(VGPU, ref) for ref in vm.VGPUs]
        if any(vgpu.device == device for vgpu in present):
            raise DEVICE_ALREADY_EXISTS(device)
        for vgpu in present:
            neighbour = transaction.find(VGPUType, vgpu.type)
            if neighbour is None or wanted not in neighbour.compatible_types_in_vm:
                raise VGPU_TYPE_NOT_COMPATIBLE(wanted)
        return transaction.create(
            VGPU, VM=VM, GPU_group=GPU_group, device=device, other_config=other_config, type=wanted
        )


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[VGPU]) -> None:
    """Take a graphics processor from its VM, which must not have it at the moment."""
    with ctx.transaction() as transaction:
        row = transaction.get(VGPU, self)
        vm = transaction.find(VM, row.VM)
        if vm is not None and vm.power_state == VmPowerState.RUNNING and row.currently_attached:
            raise OPERATION_NOT_ALLOWED("vGPU currently attached to a running VM")
        transaction.delete(VGPU, self)


@implements(api.atomic_set_resident_on)
def atomic_set_resident_on(ctx: Context, self: Ref[VGPU], value: Ref[PGPU]) -> None:
    """Note which graphics device a VM's processor runs on, which ends its reservation."""
    with ctx.transaction() as transaction:
        if value != NULL:
            transaction.get(PGPU, value)
        transaction.update(VGPU, self, resident_on=value, scheduled_to_be_resident_on=NULL)
