"""USB devices as VMs have them (XenAPI's class VUSB)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xapi.datamodel.classes import VM, VUSB, USBGroup
from xapi.datamodel.classes import vusb as api
from xapi.datamodel.classes.vusb import VusbOperations
from xapi.datamodel.errors import FEATURE_RESTRICTED, OPERATION_NOT_ALLOWED, TOO_MANY_VUSBS, USB_GROUP_CONFLICT
from xapi.datamodel.model import NOTHING, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements

MOST_PER_VM: Final = 6
RESTRICTION: Final = "restrict_usb_passthrough"


@implements(api.create)
def create(ctx: Context, VM: Ref[VM], USB_group: Ref[USBGroup], other_config: Mapping[str, str] = NOTHING) -> Ref[VUSB]:
    """Give a VM the device of a group; it is there from the VM's next start on."""
    if ctx.pool.restrictions.get(RESTRICTION) == "true":
        raise FEATURE_RESTRICTED(RESTRICTION)
    with ctx.transaction() as transaction:
        vm = transaction.get(_VM, VM)
        group = transaction.get(USBGroup, USB_group)
        if len(vm.VUSBs) >= MOST_PER_VM:
            raise TOO_MANY_VUSBS(MOST_PER_VM)
        if group.VUSBs:
            raise USB_GROUP_CONFLICT(USB_group)
        if vm.ha_restart_priority == "restart":
            raise OPERATION_NOT_ALLOWED(
                f"VM {VM} ha_restart_priority has been set to 'restart', cannot create VUSB for it."
            )
        return transaction.create(VUSB, VM=VM, USB_group=USB_group, other_config=other_config)


_VM = VM  # the parameter of `create` has the name of the class


@implements(api.unplug, occupies=VusbOperations.UNPLUG)
def unplug(ctx: Context, self: Ref[VUSB]) -> None:
    """Take the device back from the running VM."""
    row = ctx.db.get(VUSB, self)
    ctx.toolstack.hypervisor.devices.unplug_vusb(ctx.db.get(VM, row.VM).uuid, row.uuid)
    with ctx.transaction() as transaction:
        transaction.update(VUSB, self, currently_attached=False)


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[VUSB]) -> None:
    """Take the device from the VM, which must not have it at the moment."""
    with ctx.transaction() as transaction:
        row = transaction.get(VUSB, self)
        if row.currently_attached:
            owner = transaction.find(VM, row.VM)
            raise OPERATION_NOT_ALLOWED(f"VUSB '{row.uuid}' still attached to '{owner.uuid if owner else row.VM}'")
        transaction.delete(VUSB, self)
