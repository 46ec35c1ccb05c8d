"""XenAPI's class PUSB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, RW, DynamicRO, Entity, Map, Ref, StaticRO, field, identity, message

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.usb_group import USBGroup


class PUSB(Entity, since="inverness"):
    """A USB device plugged into a host."""

    uuid: DynamicRO[str] = identity()
    USB_group: StaticRO[Ref[USBGroup]] = field("group through which a VM can be given this device", default=NULL)
    host: StaticRO[Ref[Host]] = field("host the device is plugged into", default=NULL)
    path: StaticRO[str] = field("port of the device on the host's USB buses, such as 1-2", default="")
    vendor_id: StaticRO[str] = field("hexadecimal id of the maker", default="")
    vendor_desc: StaticRO[str] = field("maker in words", default="")
    product_id: StaticRO[str] = field("hexadecimal id the maker gave to the product", default="")
    product_desc: StaticRO[str] = field("product in words", default="")
    serial: StaticRO[str] = field("serial number the device reports", default="")
    version: StaticRO[str] = field("USB version the device speaks, such as 2.00", default="")
    description: StaticRO[str] = field("readable summary of maker and product", default="")
    passthrough_enabled: DynamicRO[bool] = field("true if the device may be handed to a VM", default=False)
    other_config: RW[Map[str, str]] = field("free key/value pairs for clients", default={})
    speed: StaticRO[float] = field("transfer rate of the device in Mbit/s", default=-1.0, since="stockholm")


@message(PUSB)
def scan(host: Ref[Host]) -> None:
    """Look again which USB devices are plugged into the host and update their objects."""


@message(PUSB)
def set_passthrough_enabled(self: Ref[PUSB], value: bool) -> None:
    """Permit or forbid handing the device to a VM.

    Forbidding is refused while a VM uses the device.
    """
