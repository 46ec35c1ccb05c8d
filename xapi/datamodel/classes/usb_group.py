"""XenAPI's class USB_group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NOTHING, RW, DynamicRO, Entity, Map, Ref, SetOf, field, identity, many, message

if TYPE_CHECKING:
    from xapi.datamodel.classes.pusb import PUSB
    from xapi.datamodel.classes.vusb import VUSB


class USBGroup(Entity, name="USB_group", since="inverness"):
    """A group of like USB devices, from which a VM's virtual USB device is served."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field("name shown to people", default="", group="name")
    name_description: RW[str] = field("free-text note about the group", default="", group="name")
    PUSBs: DynamicRO[SetOf[Ref[PUSB]]] = many("PUSB.USB_group", "USB devices that belong to the group")
    VUSBs: DynamicRO[SetOf[Ref[VUSB]]] = many(
        "VUSB.USB_group", "virtual USB devices of VMs that are served from the group"
    )
    other_config: RW[Map[str, str]] = field("free key/value pairs for clients", default={})


@message(USBGroup)
def create(name_label: str = "", name_description: str = "", other_config: Map[str, str] = NOTHING) -> Ref[USBGroup]:
    """Create an empty group."""


@message(USBGroup)
def destroy(self: Ref[USBGroup]) -> None:
    """Delete the group.

    Refused while USB devices or virtual USB devices belong to it.
    """
