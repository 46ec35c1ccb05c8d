"""How the rows of an SR and of its disks follow what a driver has found."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from xapi.datamodel.classes import SR, VBD, VDI, VM, Crashdump, Pool, VBDMetrics
from xapi.datamodel.classes.vbd import VbdType
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.storage.interface import ScanResult, SrHealth, SrStat, VdiFacts

FindVdi = Callable[[str], str]
"""The reference of the disk with a UUID, or null."""
LOG = logging.getLogger("xapi.storage")
PARENT: Final = "vhd-parent"
DRIVERS_KEYS: Final = frozenset({PARENT, "vdi_type", "image-format"})
"""The sm_config keys that only a driver knows: they go when it no longer reports them."""


def new_values(transaction: Transaction, facts: VdiFacts, find: FindVdi) -> dict[str, Any]:
    """The fields of the row for a disk that had none."""
    return {
        "uuid": facts.uuid,
        "location": facts.location,
        "name_label": facts.name_label,
        "name_description": facts.name_description,
        "type": VdiType(facts.type),
        "read_only": facts.read_only,
        "sharable": facts.sharable,
        "is_a_snapshot": facts.is_a_snapshot,
        "snapshot_of": find(facts.snapshot_of) if facts.snapshot_of else NULL,
        "snapshot_time": facts.snapshot_time,
        "metadata_of_pool": _pool(transaction, facts.metadata_of_pool),
        **measured_values(facts, {}),
    }


def measured_values(facts: VdiFacts, sm_config: Mapping[str, str]) -> dict[str, Any]:
    """The fields in which a driver is always right; what it does not report of `sm_config` is kept."""
    kept = {key: value for key, value in sm_config.items() if key not in DRIVERS_KEYS}
    return {
        "virtual_size": facts.virtual_size,
        "physical_utilisation": facts.physical_utilisation,
        "managed": facts.managed,
        "missing": facts.missing,
        "cbt_enabled": facts.cbt_enabled,
        "sm_config": {**kept, **facts.sm_config},
    }


def _pool(transaction: Transaction, identifier: str) -> str:
    found = (pool.ref for pool in transaction.all(Pool) if identifier and pool.uuid == identifier)
    return next(found, NULL)


def allocated(disk: VDI | VdiFacts) -> int:
    """The bytes that a disk adds to its SR's virtual allocation: none for inner nodes and for mere metadata."""
    return disk.virtual_size if disk.managed and disk.type != VdiType.CBT_METADATA else 0


def note_disk(transaction: Transaction, row: VDI, facts: VdiFacts) -> None:
    """Let the row of a disk follow what is known of it now, if anything differs."""
    values = measured_values(facts, row.sm_config)
    if facts.type == VdiType.CBT_METADATA:
        values["type"] = VdiType.CBT_METADATA
    changed = {name: value for name, value in values.items() if row[VDI.field_named[name].index] != value}
    if changed:
        transaction.update(VDI, row.ref, **changed)


def note_figures(transaction: Transaction, sr: str, stat: SrStat | None, virtual: int) -> None:
    """Let the SR's figures follow: its space as the driver has it, and its virtual allocation grown by `virtual`."""
    row = transaction.get(SR, sr)
    values: dict[str, Any] = {}
    if virtual:
        values["virtual_allocation"] = max(row.virtual_allocation + virtual, 0)
    if stat is not None and stat.health is not SrHealth.UNREACHABLE:
        if row.physical_size != stat.total:
            values["physical_size"] = stat.total
        if row.physical_utilisation != stat.used:
            values["physical_utilisation"] = stat.used
    if values:
        transaction.update(SR, sr, **values)


def drop_disk(transaction: Transaction, row: VDI) -> None:
    """Remove the row of a disk that is gone, with the drives that held it; CD drives are left empty."""
    for ref in row.VBDs:
        vbd = transaction.find(VBD, ref)
        if vbd is None:
            continue
        if vbd.type is VbdType.CD:
            transaction.update(VBD, ref, VDI=NULL, empty=True)
        else:
            drop_drive(transaction, vbd)
    for dump in row.crash_dumps:
        transaction.delete(Crashdump, dump)
    if row.type is VdiType.SUSPEND:
        for vm in transaction.all(VM):
            if vm.suspend_VDI == row.ref:
                transaction.update(VM, vm.ref, suspend_VDI=NULL)
    transaction.delete(VDI, row.ref)


def drop_drive(transaction: Transaction, vbd: VBD) -> None:
    """Remove a drive's row with its figures."""
    if transaction.find(VBDMetrics, vbd.metrics) is not None:
        transaction.delete(VBDMetrics, vbd.metrics)
    transaction.delete(VBD, vbd.ref)


def note_scan(transaction: Transaction, sr: Ref[SR], found: ScanResult) -> None:
    """Let the rows follow a scan: new disks get rows, vanished ones lose theirs, and figures are as they are.

    A disk is known again by its location. One that vanished while somebody has it attached is marked as missing.
    """
    row = transaction.get(SR, sr)
    known = {vdi.location: vdi for ref in row.VDIs if (vdi := transaction.find(VDI, ref)) is not None}
    refs = {vdi.uuid: str(vdi.ref) for vdi in known.values()}
    appeared: list[VdiFacts] = []
    for facts in found.vdis:
        present = known.pop(facts.location, None)
        if present is None:
            appeared.append(facts)
        else:
            note_disk(transaction, present, facts)
    fresh: list[tuple[Ref[VDI], VdiFacts]] = []
    taken = {vdi.uuid for vdi in transaction.all(VDI)} if appeared else set()
    for facts in appeared:
        if facts.uuid in taken:
            LOG.warning("SR %s: disk %s has the UUID of another disk and is left out", row.uuid, facts.location)
            continue
        taken.add(facts.uuid)
        made = transaction.create(VDI, SR=sr, **new_values(transaction, facts, lambda _: NULL))
        refs[facts.uuid] = made
        fresh.append((made, facts))
    for made, facts in fresh:
        original = refs.get(facts.snapshot_of, NULL)
        if original != NULL:
            transaction.update(VDI, made, snapshot_of=original)
    _note_vanished(transaction, known.values())
    values = {
        "physical_size": found.total,
        "physical_utilisation": found.used,
        "virtual_allocation": found.virtual,
    }
    if any(row[SR.field_named[name].index] != value for name, value in values.items()):
        transaction.update(SR, sr, **values)


def _note_vanished(transaction: Transaction, vanished: Iterable[VDI]) -> None:
    for vdi in vanished:
        drives = (transaction.find(VBD, ref) for ref in vdi.VBDs)
        if vdi.is_tools_iso or any(vbd is not None and vbd.currently_attached for vbd in drives):
            if not vdi.missing:
                transaction.update(VDI, vdi.ref, missing=True)
        else:
            drop_disk(transaction, vdi)
