"""USB devices of hosts (XenAPI's class PUSB)."""

from __future__ import annotations

from collections.abc import Iterable

from xapi.datamodel.classes import PUSB, SR, VBD, VDI, VUSB, Host, USBGroup
from xapi.datamodel.classes import pusb as api
from xapi.datamodel.errors import PUSB_VDI_CONFLICT, USB_ALREADY_ATTACHED
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.hypervisor.interface import UsbDevice

Identity = tuple[str, str, str, str, str]


def _identity_of(row: PUSB) -> Identity:
    return row.path, row.vendor_id, row.product_id, row.serial, row.version


def refresh_pusbs(transaction: Transaction, host: Ref[Host], devices: Iterable[UsbDevice]) -> None:
    """Let a host's objects be those of the devices that are plugged in; each device has a group of its own.

    With a device that is gone its group goes, and what VMs had of it.
    """
    found = {(one.path, one.vendor_id, one.product_id, one.serial, one.version): one for one in devices}
    for row in transaction.all(PUSB):
        if row.host != host:
            continue
        if found.pop(_identity_of(row), None) is None:
            _remove(transaction, row)
    for device in found.values():
        description = f"{device.vendor_name} {device.product_name}".strip()
        group = transaction.create(USBGroup, name_label=f"Group of {device.vendor_id} {device.product_id} USBs")
        transaction.create(
            PUSB,
            USB_group=group,
            host=host,
            path=device.path,
            vendor_id=device.vendor_id,
            vendor_desc=device.vendor_name,
            product_id=device.product_id,
            product_desc=device.product_name,
            serial=device.serial,
            version=device.version,
            description=description,
        )


def _remove(transaction: Transaction, row: PUSB) -> None:
    group = transaction.find(USBGroup, row.USB_group)
    transaction.delete(PUSB, row.ref)
    if group is not None and group.PUSBs == (row.ref,):
        for vusb in group.VUSBs:
            transaction.delete(VUSB, vusb)
        transaction.delete(USBGroup, group.ref)


@implements(api.scan, runs_on="host")
def scan(ctx: Context, host: Ref[Host]) -> None:
    """Look which USB devices are plugged in."""
    devices = ctx.toolstack.hypervisor.host.facts().usb_devices
    with ctx.transaction() as transaction:
        refresh_pusbs(transaction, host, devices)


@implements(api.set_passthrough_enabled)
def set_passthrough_enabled(ctx: Context, self: Ref[PUSB], value: bool) -> None:
    """Let VMs have a device, which then is no disk of the host's, or forbid it while no VM has it."""
    with ctx.transaction() as transaction:
        row = transaction.get(PUSB, self)
        if value:
            _assert_no_disk_in_use(transaction, row)
        else:
            _take_from_vms(transaction, row)
        transaction.update(PUSB, self, passthrough_enabled=value)


def _assert_no_disk_in_use(transaction: Transaction, row: PUSB) -> None:
    """Refuse while a VM uses the device as a disk: PUSB_VDI_CONFLICT [PUSB, VDI]. Otherwise that disk goes."""
    for sr in transaction.all(SR):
        if sr.type != "udev":
            continue
        for ref in sr.VDIs:
            vdi = transaction.find(VDI, ref)
            if vdi is None or vdi.sm_config.get("usb_path") != row.path:
                continue
            if any(transaction.find(VBD, vbd) is not None for vbd in vdi.VBDs):
                raise PUSB_VDI_CONFLICT(row.ref, ref)
            transaction.delete(VDI, ref)


def _take_from_vms(transaction: Transaction, row: PUSB) -> None:
    group = transaction.find(USBGroup, row.USB_group)
    vusbs = [transaction.get(VUSB, ref) for ref in group.VUSBs] if group is not None else []
    for vusb in vusbs:
        if vusb.currently_attached:
            raise USB_ALREADY_ATTACHED(row.ref, vusb.VM)
    for vusb in vusbs:
        transaction.delete(VUSB, vusb.ref)
