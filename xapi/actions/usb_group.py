"""Groups through which VMs are given USB devices (XenAPI's class USB_group)."""

from __future__ import annotations

from collections.abc import Mapping

from xapi.datamodel.classes import USBGroup
from xapi.datamodel.classes import usb_group as api
from xapi.datamodel.errors import USB_GROUP_CONTAINS_PUSB, USB_GROUP_CONTAINS_VUSB
from xapi.datamodel.model import NOTHING, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


@implements(api.create)
def create(
    ctx: Context, name_label: str = "", name_description: str = "", other_config: Mapping[str, str] = NOTHING
) -> Ref[USBGroup]:
    """Make a group without devices."""
    with ctx.transaction() as transaction:
        return transaction.create(
            USBGroup, name_label=name_label, name_description=name_description, other_config=other_config
        )


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[USBGroup]) -> None:
    """Remove a group that neither a device nor a VM needs."""
    with ctx.transaction() as transaction:
        row = transaction.get(USBGroup, self)
        if row.PUSBs:
            raise USB_GROUP_CONTAINS_PUSB(*row.PUSBs)
        if row.VUSBs:
            raise USB_GROUP_CONTAINS_VUSB(*row.VUSBs)
        transaction.delete(USBGroup, self)
