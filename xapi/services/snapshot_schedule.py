"""Takes the snapshots of each schedule when they are due, by the host's own time zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from xapi.actions.vmss import DAYS, DEFAULTS, take_snapshots, tell_of_missed
from xapi.datamodel.classes import VMSS, Host
from xapi.datamodel.classes.vmss import VmssFrequency
from xapi.dispatch.context import Context
from xapi.dispatch.sessions import Session
from xapi.dispatch.tasks import TaskInHand
from xapi.dispatch.toolstack import Toolstack
from xapi.services.periodic import Periodic

PAUSE: Final = 60.0  # seconds between two looks at the clock
QUARTER: Final = timedelta(minutes=15)
LONGEST: Final = timedelta(days=7)  # between two times of the rarest schedule
USER: Final = "__dom0__vmss"


def is_due_at(frequency: VmssFrequency, schedule: Mapping[str, str], moment: datetime) -> bool:
    """Whether a moment of the host's own time is one of a schedule's; only quarters of an hour ever are."""
    entries = {**DEFAULTS, **schedule}
    if moment.minute != int(entries["min"]):
        return False
    if frequency == VmssFrequency.HOURLY:
        return True
    if moment.hour != int(entries["hour"]):
        return False
    return frequency == VmssFrequency.DAILY or DAYS[moment.weekday()] in entries["days"].split(",")


def latest_due(
    frequency: VmssFrequency, schedule: Mapping[str, str], since: datetime, until: datetime, zone: tzinfo
) -> datetime | None:
    """The latest time of a schedule after one moment and up to another, in UTC; None when there is none."""
    moment = until.replace(minute=until.minute - until.minute % 15, second=0, microsecond=0)
    earliest = max(since, until - LONGEST - QUARTER)
    while moment > earliest:
        if is_due_at(frequency, schedule, moment.astimezone(zone)):
            return moment
        moment -= QUARTER
    return None


class SnapshotSchedules:
    """Looks at the clock once a minute, and at each look takes what became due since the last one."""

    def __init__(self, toolstack: Toolstack) -> None:
        self._toolstack = toolstack
        self._looked = toolstack.clock.now()
        self._periodic = Periodic("snapshot schedules", PAUSE, self.turn)

    def start(self) -> None:
        """Begin; times before now do not count any more."""
        self._periodic.start()

    def stop(self) -> None:
        """End after the snapshots that are being taken."""
        self._periodic.stop()

    def turn(self) -> None:
        """Take the snapshots that are due; those due too long ago are only told of, as VMs may have changed since."""
        since, until = self._looked, self._toolstack.clock.now()
        self._looked = until
        zone = self._zone()
        for row in self._toolstack.db.all(VMSS):
            if not row.enabled or not row.VMs:
                continue
            due = latest_due(row.frequency, row.schedule, since, until, zone)
            if due is not None:
                self._run(row, due, missed=until - due >= QUARTER)

    def _run(self, row: VMSS, due: datetime, *, missed: bool) -> None:
        toolstack = self._toolstack
        task = TaskInHand(toolstack.tasks, "VMSS.snapshot_now", "")
        ctx = Context(toolstack, Session(ref="", user=USER, superuser=True), task)
        try:
            if missed:
                tell_of_missed(ctx, row.ref, due)
            else:
                take_snapshots(ctx, row.ref)
        finally:
            task.succeed()

    def _zone(self) -> tzinfo:
        name = self._toolstack.db.get(Host, self._toolstack.this_host).timezone
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")
