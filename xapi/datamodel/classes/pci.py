"""XenAPI's class PCI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.classes.pgpu import PciDom0Access
from xapi.datamodel.model import NULL, RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.vm import VM


class PCI(Entity, since="boston", role=POOL_OPERATOR):
    """A PCI device built into a host."""

    uuid: DynamicRO[str] = identity()
    class_id: StaticRO[str] = field("hexadecimal PCI class code", default="")
    class_name: StaticRO[str] = field("kind of device in words, such as VGA compatible controller", default="")
    vendor_id: StaticRO[str] = field("hexadecimal id of the maker of the chip", default="")
    vendor_name: StaticRO[str] = field("maker of the chip in words", default="")
    device_id: StaticRO[str] = field("hexadecimal id the maker gave to this kind of chip", default="")
    device_name: StaticRO[str] = field("kind of chip in words", default="")
    host: StaticRO[Ref[Host]] = field("host the device is built into", default=NULL)
    pci_id: StaticRO[str] = field(
        "address on the bus: domain, bus, slot and function, such as 0000:03:00.0", default=""
    )
    functions: DynamicRO[int] = field("number of PCI functions the device offers", default=1, internal=True)
    virtual_functions: DynamicRO[SetOf[Ref[PCI]]] = many(
        "PCI.physical_function",
        "SR-IOV virtual functions this physical function has brought forth",
        since="falcon",
        internal=True,
    )
    physical_function: StaticRO[Ref[PCI]] = field(
        "device this virtual function belongs to; null for a physical one", default=NULL, since="falcon", internal=True
    )
    attached_VMs: DynamicRO[SetOf[Ref[VM]]] = field(
        "VMs the device is passed through to at the moment", internal=True, inverse="VM.attached_PCIs"
    )
    dependencies: DynamicRO[SetOf[Ref[PCI]]] = field(
        "devices that must be passed through together with this one", dangling=True
    )
    other_config: RW[Map[str, str]] = field("free key/value pairs for clients", default={})
    subsystem_vendor_id: StaticRO[str] = field(
        "hexadecimal id of the maker of the whole card", default="", since="clearwater-whetstone"
    )
    subsystem_vendor_name: StaticRO[str] = field(
        "maker of the whole card in words", default="", since="clearwater-whetstone"
    )
    subsystem_device_id: StaticRO[str] = field(
        "hexadecimal id of the card model", default="", since="clearwater-whetstone"
    )
    subsystem_device_name: StaticRO[str] = field("card model in words", default="", since="clearwater-whetstone")
    scheduled_to_be_attached_to: DynamicRO[Ref[VM]] = field(
        "VM for which the device is reserved while that VM starts", default=NULL, since="falcon", internal=True
    )
    driver_name: StaticRO[str] = field(
        "kernel driver bound to the device in the control domain", default="", since="kolkata"
    )


@message(PCI, since="prototyped 24.14.0")
def disable_dom0_access(self: Ref[PCI]) -> PciDom0Access:
    """Hide the device from the control domain, so that it can be passed to VMs.

    Takes effect when the host has rebooted; the resulting state is returned.
    """


@message(PCI, since="prototyped 24.14.0")
def enable_dom0_access(self: Ref[PCI]) -> PciDom0Access:
    """Let the control domain use the device again.

    Takes effect when the host has rebooted; the resulting state is returned.
    """


@message(PCI, since="prototyped 24.14.0")
def get_dom0_access_status(self: Ref[PCI]) -> PciDom0Access:
    """Return if the control domain can use the device now and after the next reboot."""
