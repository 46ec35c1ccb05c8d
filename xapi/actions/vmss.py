"""Schedules by which snapshots are taken and retired (XenAPI's class VMSS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from xapi.actions.message import forget_all_about, post
from xapi.datamodel.classes import VBD, VDI, VM, VMSS
from xapi.datamodel.classes import vmss as api
from xapi.datamodel.classes.message import Cls
from xapi.datamodel.classes.vbd import VbdType
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.classes.vmss import VmssFrequency, VmssType
from xapi.datamodel.errors import INVALID_VALUE, MAP_DUPLICATE_KEY, VMSS_HAS_VM
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys, implements
from xapi.dispatch.perform import run_message

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MINUTES: Final = ("0", "15", "30", "45")
HOURS: Final = tuple(str(hour) for hour in range(24))
FEWEST_KEPT: Final = 1
MOST_KEPT: Final = 10
SUCCEEDED: Final = ("VMSS_SNAPSHOT_SUCCEEDED", 5)
FAILED: Final = ("VMSS_SNAPSHOT_FAILED", 3)
MISSED: Final = ("VMSS_SNAPSHOT_MISSED_EVENT", 3)

KEYS: Final[Mapping[VmssFrequency, tuple[str, ...]]] = {
    VmssFrequency.HOURLY: ("min",),
    VmssFrequency.DAILY: ("hour", "min"),
    VmssFrequency.WEEKLY: ("hour", "min", "days"),
}
DEFAULTS: Final[Mapping[str, str]] = {"min": MINUTES[0], "hour": HOURS[0], "days": DAYS[0]}


def _one_of(choices: tuple[str, ...], text: str) -> str | None:
    """The choice that a text means, whatever its case."""
    return next((choice for choice in choices if choice.lower() == text.strip().lower()), None)


def _hour(text: str) -> str | None:
    return str(int(text)) if text.isascii() and text.isdigit() and int(text) < len(HOURS) else None


def _days(text: str) -> str | None:
    found = [_one_of(DAYS, day) for day in text.split(",")]
    return None if None in found else ",".join(day for day in dict.fromkeys(found) if day)


READERS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "min": lambda text: _one_of(MINUTES, text),
    "hour": _hour,
    "days": _days,
}


def checked_schedule(
    schedule: Mapping[str, str], allowed: tuple[str, ...] = KEYS[VmssFrequency.WEEKLY]
) -> dict[str, str]:
    """The entries of a schedule in their usual form; INVALID_VALUE ["schedule:key", value] for any other."""
    checked = {}
    for key, value in schedule.items():
        known = READERS[key](value) if key in allowed else None
        if known is None:
            raise INVALID_VALUE(f"schedule:{key}", value)
        checked[key] = known
    return checked


def complete_schedule(schedule: Mapping[str, str], frequency: VmssFrequency) -> dict[str, str]:
    """The entries that a frequency needs, with defaults for those that are missing, and no others."""
    return {key: schedule.get(key, DEFAULTS[key]) for key in KEYS[frequency]}


def _assert_kept(number: int) -> None:
    if not FEWEST_KEPT <= number <= MOST_KEPT:
        raise INVALID_VALUE("retained_snapshots", number)


@creates(VMSS)
def create(ctx: Context, values: dict[str, Any]) -> Ref[VMSS]:
    """Make a schedule without VMs; VM.set_snapshot_schedule puts them in."""
    given = {name: values.get(name, VMSS.field_named[name].default) for name in VMSS.field_named if name != "uuid"}
    frequency = given["frequency"]
    entries = checked_schedule(given["schedule"], KEYS[frequency])
    _assert_kept(given["retained_snapshots"])
    with ctx.transaction() as transaction:
        return transaction.create(
            VMSS,
            name_label=given["name_label"],
            name_description=given["name_description"],
            enabled=given["enabled"],
            type=given["type"],
            retained_snapshots=given["retained_snapshots"],
            frequency=frequency,
            schedule=complete_schedule(entries, frequency),
        )


@destroys(VMSS)
def destroy(ctx: Context, self: Ref[VMSS]) -> None:
    """Remove a schedule that has no VMs, with the alerts about it."""
    with ctx.transaction() as transaction:
        row = transaction.get(VMSS, self)
        if row.VMs:
            raise VMSS_HAS_VM()
        forget_all_about(transaction, row.uuid)
        transaction.delete(VMSS, self)


@implements(api.set_retained_snapshots)
def set_retained_snapshots(ctx: Context, self: Ref[VMSS], value: int) -> None:
    """Say how many snapshots of each VM are kept."""
    _assert_kept(value)
    with ctx.transaction() as transaction:
        transaction.update(VMSS, self, retained_snapshots=value)


@implements(api.set_frequency)
def set_frequency(ctx: Context, self: Ref[VMSS], value: VmssFrequency) -> None:
    """Say how often snapshots are taken; the schedule gets what that needs and loses what it does not."""
    with ctx.transaction() as transaction:
        schedule = complete_schedule(transaction.get(VMSS, self).schedule, value)
        transaction.update(VMSS, self, frequency=value, schedule=schedule)


@implements(api.set_schedule)
def set_schedule(ctx: Context, self: Ref[VMSS], value: Mapping[str, str]) -> None:
    """Say at which times snapshots are taken."""
    entries = checked_schedule(value)
    with ctx.transaction() as transaction:
        transaction.update(VMSS, self, schedule=entries)


@implements(api.add_to_schedule)
def add_to_schedule(ctx: Context, self: Ref[VMSS], key: str, value: str) -> None:
    """Add one entry to the times; MAP_DUPLICATE_KEY when it is there."""
    entries = checked_schedule({key: value})
    with ctx.transaction() as transaction:
        present = transaction.get(VMSS, self).schedule
        if key in present:
            raise MAP_DUPLICATE_KEY(VMSS.wire_name, "schedule", self, key)
        transaction.update(VMSS, self, schedule={**present, **entries})


@implements(api.remove_from_schedule)
def remove_from_schedule(ctx: Context, self: Ref[VMSS], key: str) -> None:
    """Drop one entry of the times; its default counts then."""
    with ctx.transaction() as transaction:
        present = transaction.get(VMSS, self).schedule
        transaction.update(VMSS, self, schedule={name: text for name, text in present.items() if name != key})


@implements(api.set_last_run_time)
def set_last_run_time(ctx: Context, self: Ref[VMSS], value: datetime) -> None:
    """Note when snapshots were taken last."""
    with ctx.transaction() as transaction:
        transaction.update(VMSS, self, last_run_time=value)


@implements(api.set_type)
def set_type(ctx: Context, self: Ref[VMSS], value: VmssType) -> None:
    """Say whether snapshots hold the disks only, or the memory too."""
    with ctx.transaction() as transaction:
        transaction.update(VMSS, self, type=value)


@implements(api.snapshot_now)
def snapshot_now(ctx: Context, vmss: Ref[VMSS]) -> str:
    """Take the snapshots of a schedule at once; answers a line for each VM."""
    return "\n".join(take_snapshots(ctx, vmss))


def take_snapshots(ctx: Context, vmss: str) -> list[str]:
    """Take a snapshot of each VM of a schedule and retire old ones; an alert tells of each VM, and of each failure."""
    schedule = ctx.db.get(VMSS, vmss)
    report = []
    for ref in schedule.VMs:
        vm = ctx.db.find(VM, ref)
        if vm is None:
            continue
        try:
            snapshot = _snapshot(ctx, schedule, vm)
            _retire(ctx, schedule, vm.ref)
        except Failure as failure:
            outcome, alert = f"failed: {' '.join(failure.description)}", FAILED
        else:
            outcome, alert = snapshot, SUCCEEDED
        report.append(f"{vm.uuid} {outcome}")
        with ctx.transaction() as transaction:
            _tell(ctx, transaction, schedule, alert, f"VM: {vm.name_label}, UUID: {vm.uuid}, {outcome}")
    with ctx.transaction() as transaction:
        if transaction.find(VMSS, vmss) is not None:
            transaction.update(VMSS, vmss, last_run_time=ctx.now())
    return report


def _tell(ctx: Context, transaction: Transaction, schedule: VMSS, alert: tuple[str, int], body: str) -> None:
    name, priority = alert
    post(ctx.toolstack, transaction, name, priority, Cls.VMSS, schedule.uuid, body)


def tell_of_missed(ctx: Context, vmss: str, due: datetime) -> None:
    """Post the alert that snapshots were due at a moment when nobody could take them."""
    schedule = ctx.db.get(VMSS, vmss)
    with ctx.transaction() as transaction:
        _tell(ctx, transaction, schedule, MISSED, f"The snapshots due at {due:%Y-%m-%d %H:%M} UTC were not taken.")


def _snapshot(ctx: Context, schedule: VMSS, vm: VM) -> str:
    """Take one snapshot, marked as the schedule's; answers its UUID. A VM that does not run has no memory to hold."""
    name = f"{schedule.name_label} {vm.name_label} {ctx.now():%Y-%m-%dT%H:%M:%SZ}"
    live = vm.power_state in (VmPowerState.RUNNING, VmPowerState.SUSPENDED)
    if schedule.type == VmssType.CHECKPOINT and live:
        ref = run_message(ctx, "VM.checkpoint", vm.ref, name)
    elif schedule.type == VmssType.SNAPSHOT_WITH_QUIESCE and live:
        ref = run_message(ctx, "VM.snapshot_with_quiesce", vm.ref, name)
    else:
        ref = run_message(ctx, "VM.snapshot", vm.ref, name, ())
    with ctx.transaction() as transaction:
        return transaction.update(VM, ref, is_vmss_snapshot=True).uuid


def _retire(ctx: Context, schedule: VMSS, vm: str) -> None:
    """Remove the oldest snapshots that schedules took of a VM, with their disks, beyond the number to be kept."""
    snapshots = [row for row in ctx.db.all(VM) if row.snapshot_of == vm and row.is_vmss_snapshot]
    snapshots.sort(key=lambda row: (row.snapshot_time, ctx.db.tables[VM][row.ref].created), reverse=True)
    for old in snapshots[schedule.retained_snapshots :]:
        disks = [vbd.VDI for ref in old.VBDs if (vbd := ctx.db.find(VBD, ref)) and vbd.type == VbdType.DISK]
        run_message(ctx, "VM.destroy", old.ref)
        for disk in (*disks, old.suspend_VDI):
            if disk != NULL and ctx.db.find(VDI, disk) is not None:
                run_message(ctx, "VDI.destroy", disk)
