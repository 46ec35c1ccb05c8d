"""XenAPI's class VMSS."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.model import EPOCH, RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many, message
from xapi.datamodel.roles import LOCAL_ROOT, POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.vm import VM


class VmssFrequency(WireEnum):
    """How often a snapshot schedule takes snapshots."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"


class VmssType(WireEnum):
    """Whether scheduled snapshots hold disks only, memory too, or disks flushed by the guest."""

    SNAPSHOT = "snapshot"
    CHECKPOINT = "checkpoint"
    SNAPSHOT_WITH_QUIESCE = "snapshot_with_quiesce"


class VMSS(Entity, since="falcon", role=POOL_OPERATOR, constructor=True):
    """A schedule by which the pool takes snapshots of a set of VMs."""

    uuid: DynamicRO[str] = identity(since="rio")
    name_label: RW[str] = field("name of the schedule shown to people", default="", group="name", since="rio")
    name_description: RW[str] = field("free text notes about the schedule", default="", group="name", since="rio")
    enabled: RW[bool] = field("whether snapshots are taken at the set times", default=True, since="rio")
    type: StaticRO[VmssType] = field("whether snapshots hold the disks only or the memory as well", since="rio")
    retained_snapshots: StaticRO[int] = field(
        "number of scheduled snapshots kept per VM, 1 to 10, before the oldest is deleted", default=7, since="rio"
    )
    frequency: StaticRO[VmssFrequency] = field("whether snapshots are taken every hour, day or week", since="rio")
    schedule: StaticRO[Map[str, str]] = field(
        "when snapshots are taken: min, hour and days (comma-separated weekdays)", default={}, since="rio"
    )
    last_run_time: DynamicRO[datetime] = field("when the schedule last took snapshots", default=EPOCH, since="rio")
    VMs: DynamicRO[SetOf[Ref[VM]]] = many(
        "VM.snapshot_schedule", "VMs that the schedule takes snapshots of", since="rio"
    )


@message(VMSS, asynchronous=False)
def snapshot_now(vmss: Ref[VMSS]) -> str:
    """Take the snapshots of the schedule at once and return a report on them."""


@message(VMSS, asynchronous=False)
def set_retained_snapshots(self: Ref[VMSS], value: int) -> None:
    """Set how many scheduled snapshots are kept per VM.

    Values outside 1 to 10 are refused.
    """


@message(VMSS, asynchronous=False)
def set_frequency(self: Ref[VMSS], value: VmssFrequency) -> None:
    """Choose between hourly, daily and weekly snapshots.

    Schedule entries the new frequency needs are filled with defaults.
    """


@message(VMSS, asynchronous=False)
def set_schedule(self: Ref[VMSS], value: Map[str, str]) -> None:
    """Replace the times at which snapshots are taken.

    Unknown keys and values that do not fit the frequency are refused.
    """


@message(VMSS, asynchronous=False)
def add_to_schedule(self: Ref[VMSS], key: str, value: str) -> None:
    """Add one entry, such as hour or min, to the times for snapshots."""


@message(VMSS, asynchronous=False)
def remove_from_schedule(self: Ref[VMSS], key: str) -> None:
    """Drop one entry of the times for snapshots."""


@message(VMSS, role=LOCAL_ROOT, asynchronous=False)
def set_last_run_time(self: Ref[VMSS], value: datetime) -> None:
    """Record when the schedule last ran; called by the scheduler, not by clients."""


@message(VMSS, asynchronous=False)
def set_type(self: Ref[VMSS], value: VmssType) -> None:
    """Choose whether snapshots hold the disks only or the memory as well."""
