"""XenAPI's class VUSB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NOTHING, RW, DynamicRO, Entity, Map, Ref, SetOf, field, identity, message
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.usb_group import USBGroup
    from xapi.datamodel.classes.vm import VM


class VusbOperations(WireEnum):
    """Things that can be done to a virtual USB slot."""

    ATTACH = "attach"
    PLUG = "plug"
    UNPLUG = "unplug"


class VUSB(Entity, since="inverness"):
    """A virtual USB slot through which a VM gets a device of a host."""

    uuid: DynamicRO[str] = identity()
    allowed_operations: DynamicRO[SetOf[VusbOperations]] = field(
        "operations that may be started on the VUSB in its present state", default=(), since="rio", persistent=False
    )
    current_operations: DynamicRO[Map[str, VusbOperations]] = field(
        "operations in progress on the VUSB, each under the reference of its task",
        default={},
        since="rio",
        persistent=False,
    )
    VM: DynamicRO[Ref[classes.VM]] = field("virtual machine that gets the USB device")
    USB_group: DynamicRO[Ref[USBGroup]] = field("group of physical USB devices that one is taken from")
    other_config: RW[Map[str, str]] = field("keys and values that clients attach to the VUSB", default={})
    currently_attached: DynamicRO[bool] = field(
        "true while the device is plugged into the running VM", default=False, since="rio"
    )


@message(VUSB)
def create(VM: Ref[VM], USB_group: Ref[USBGroup], other_config: Map[str, str] = NOTHING) -> Ref[VUSB]:
    """Assign a USB device, by its group, to a VM.

    A group that another VUSB holds, or too many devices in one VM, are refused.
    """


@message(VUSB)
def unplug(self: Ref[VUSB]) -> None:
    """Hot-unplug the USB device from its running VM."""


@message(VUSB)
def destroy(self: Ref[VUSB]) -> None:
    """Delete the assignment of a USB device to a VM.

    Refused while it is plugged in.
    """
