"""PCI devices of hosts, and who has them (XenAPI's class PCI)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xapi.actions.pgpu import ALLOWING, FORBIDDING, set_access
from xapi.datamodel.classes import PCI, PGPU, Host
from xapi.datamodel.classes import pci as api
from xapi.datamodel.classes.pgpu import PciDom0Access
from xapi.datamodel.errors import NOT_IMPLEMENTED
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.hypervisor.interface import PciDevice


def refresh_pcis(transaction: Transaction, host: Ref[Host], devices: Iterable[PciDevice]) -> None:
    """Let a host's objects be those of the devices that are built in."""
    known = {row.pci_id: row for row in transaction.all(PCI) if row.host == host}
    for device in devices:
        values: dict[str, Any] = {
            "class_id": device.class_id,
            "class_name": device.class_name,
            "vendor_id": device.vendor_id,
            "vendor_name": device.vendor_name,
            "device_id": device.device_id,
            "device_name": device.device_name,
        }
        row = known.pop(device.address, None)
        if row is None:
            transaction.create(PCI, host=host, pci_id=device.address, **values)
        elif any(row[PCI.field_named[name].index] != value for name, value in values.items()):
            transaction.update(PCI, row.ref, **values)
    for row in known.values():
        transaction.delete(PCI, row.ref)


def _graphics_of(ctx: Context, pci: Ref[PCI], message: str) -> Ref[PGPU]:
    """The graphics device at a PCI device; for others nobody can hide them from the control domain yet."""
    for row in ctx.db.all(PGPU):
        if pci == row.PCI:
            return row.ref
    raise NOT_IMPLEMENTED(message)


def _step(ctx: Context, pci: Ref[PCI], steps: Mapping[PciDom0Access, PciDom0Access], message: str) -> PciDom0Access:
    return set_access(ctx, _graphics_of(ctx, pci, message), steps)


@implements(api.enable_dom0_access)
def enable_dom0_access(ctx: Context, self: Ref[PCI]) -> PciDom0Access:
    """Let the control domain have a graphics device from the next start on."""
    return _step(ctx, self, ALLOWING, "PCI.enable_dom0_access")


@implements(api.disable_dom0_access)
def disable_dom0_access(ctx: Context, self: Ref[PCI]) -> PciDom0Access:
    """Hide a graphics device from the control domain from the next start on."""
    return _step(ctx, self, FORBIDDING, "PCI.disable_dom0_access")


@implements(api.get_dom0_access_status)
def get_dom0_access_status(ctx: Context, self: Ref[PCI]) -> PciDom0Access:
    """Whether the control domain has a device, which is so unless somebody hides it."""
    for row in ctx.db.all(PGPU):
        if self == row.PCI:
            return row.dom0_access
    return PciDom0Access.ENABLED
