"""VMs that share a rule of placement (XenAPI's class VM_group)."""

from __future__ import annotations

from typing import Any

from xapi.datamodel.classes import VMGroup
from xapi.datamodel.classes.vm_group import PlacementPolicy
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys


@creates(VMGroup)
def create(ctx: Context, values: dict[str, Any]) -> Ref[VMGroup]:
    """Make a group without VMs; VM.set_groups puts them in."""
    with ctx.transaction() as transaction:
        return transaction.create(
            VMGroup,
            name_label=values.get("name_label", ""),
            name_description=values.get("name_description", ""),
            placement=values.get("placement", PlacementPolicy.NORMAL),
        )


@destroys(VMGroup)
def destroy(ctx: Context, self: Ref[VMGroup]) -> None:
    """Remove a group; its VMs are placed freely from then on."""
    with ctx.transaction() as transaction:
        transaction.delete(VMGroup, self)
