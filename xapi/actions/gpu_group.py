"""Groups of like graphics devices (XenAPI's class GPU_group)."""

from __future__ import annotations

from collections.abc import Mapping

from xapi.actions.pgpu import collect_types, remaining_capacity
from xapi.datamodel.classes import GPUGroup, VGPUType
from xapi.datamodel.classes import gpu_group as api
from xapi.datamodel.errors import GPU_GROUP_CONTAINS_PGPU, GPU_GROUP_CONTAINS_VGPU
from xapi.datamodel.model import NOTHING, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


@implements(api.create)
def create(
    ctx: Context, name_label: str = "", name_description: str = "", other_config: Mapping[str, str] = NOTHING
) -> Ref[GPUGroup]:
    """Make a group without devices."""
    with ctx.transaction() as transaction:
        return transaction.create(
            GPUGroup, name_label=name_label, name_description=name_description, other_config=other_config
        )


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[GPUGroup]) -> None:
    """Remove a group that neither a device nor a VM needs."""
    with ctx.transaction() as transaction:
        row = transaction.get(GPUGroup, self)
        if row.PGPUs:
            raise GPU_GROUP_CONTAINS_PGPU(*row.PGPUs)
        if row.VGPUs:
            raise GPU_GROUP_CONTAINS_VGPU(*row.VGPUs)
        transaction.delete(GPUGroup, self)


@implements(api.update_enabled_VGPU_types)
def update_enabled_VGPU_types(ctx: Context, self: Ref[GPUGroup]) -> None:
    """Collect anew which types the devices of a group may run."""
    with ctx.transaction() as transaction:
        collect_types(transaction, self)


@implements(api.update_supported_VGPU_types)
def update_supported_VGPU_types(ctx: Context, self: Ref[GPUGroup]) -> None:
    """Collect anew which types the devices of a group can run."""
    with ctx.transaction() as transaction:
        collect_types(transaction, self)


@implements(api.get_remaining_capacity)
def get_remaining_capacity(ctx: Context, self: Ref[GPUGroup], vgpu_type: Ref[VGPUType]) -> int:
    """How many more virtual GPUs of a type the devices of a group have room for."""
    kind = ctx.db.get(VGPUType, vgpu_type)
    return sum(remaining_capacity(ctx.db, pgpu, kind) for pgpu in ctx.db.get(GPUGroup, self).PGPUs)
