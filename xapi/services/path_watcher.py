"""Counts the paths to LUNs again and again, and tells of those that are lost or have come back.

PBDs tell the numbers in their `other_config`. The alert's form is one that clients read: lines of what is not well now,
and of what has changed.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from xapi.actions.message import post
from xapi.actions.sr.paths import MULTIPATHED, Counts, counts_in, note_paths
from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import PBD, SR, Host, Pool
from xapi.datamodel.classes.message import Cls
from xapi.dispatch.toolstack import Toolstack
from xapi.services.periodic import Periodic
from xapi.storage.errors import StorageFailure

LOG = logging.getLogger("xapi.services")
PAUSE: Final = 10.0
ALERT, PRIORITY = "MULTIPATH_PERIODIC_ALERT", 3
QUIET: Final = 120
"""Seconds after an alert without another: what happens meanwhile is told together."""
BROKEN, EVENTS = "Unhealthy paths:", f"Events received during the last {QUIET} seconds:"


class Event(NamedTuple):
    """The paths from one host to one LUN at a moment."""

    moment: datetime
    host: str
    host_name: str
    pbd: str
    scsi_id: str
    counts: Counts

    @property
    def whole(self) -> bool:
        """Whether every path works."""
        return self.counts.active == self.counts.most

    @property
    def text(self) -> str:
        """The line of an alert."""
        moment = self.moment.strftime("%Y%m%dT%H:%M:%SZ")
        name = self.host_name.replace("\n", " ")
        return (
            f'[{moment}] host={self.host}; host-name="{name}"; pbd={self.pbd}; scsi_id={self.scsi_id}; '
            f"current={self.counts.active}; max={self.counts.most}"
        )


class PathWatcher:
    """Looks at the paths of this host's plugged PBDs that are multipathed; while there are none it runs nothing."""

    def __init__(self, toolstack: Toolstack) -> None:
        self._toolstack = toolstack
        self._seen: dict[tuple[str, str], Counts] = {}
        self._events: list[Event] = []
        self._told: datetime | None = None
        self._periodic = Periodic("path watcher", PAUSE, self.turn)

    def start(self) -> None:
        """Begin; the first turn comes after the first pause."""
        self._periodic.start()

    def stop(self) -> None:
        """End after the turn that is under way."""
        self._periodic.stop()

    def turn(self) -> None:
        """Count once, and tell what is new."""
        self._count()
        self._notice()
        now = self._toolstack.clock.now()
        if self._events and (self._told is None or now - self._told >= timedelta(seconds=QUIET)):
            self._tell(now)

    def _watched(self) -> list[PBD]:
        rows = self._toolstack.db.all(PBD)
        return [
            row
            for row in rows
            if row.host == self._toolstack.this_host and row.currently_attached and MULTIPATHED in row.other_config
        ]

    def _count(self) -> None:
        """Let PBDs tell how many paths there are now."""
        pbds = [(pbd, self._toolstack.db.get(SR, pbd.SR)) for pbd in self._watched()]
        if not pbds:
            return
        repositories: StorageRepositories = self._toolstack.part(StorageRepositories)
        try:
            found = repositories.paths({sr.uuid: sr.type for _, sr in pbds})
        except StorageFailure as failure:
            LOG.warning("the paths cannot be counted, and what is told of them is old: %s", failure)
            return
        with self._toolstack.db.transaction() as transaction:
            for pbd, sr in pbds:
                row = transaction.find(PBD, pbd.ref)
                if row is not None and row.currently_attached and sr.uuid in found:
                    note_paths(transaction, row.ref, found[sr.uuid])

    def _notice(self) -> None:
        """Take up what differs from the turn before, unless all was well then and is now."""
        seen: dict[tuple[str, str], Counts] = {}
        for event in self._now(self._watched()):
            key = event.pbd, event.scsi_id
            seen[key] = event.counts
            before = self._seen.get(key)
            was_whole = before is None or before.active == before.most
            if event.counts != before and not (event.whole and was_whole):
                self._events.append(event)
        self._seen = seen

    def _now(self, pbds: list[PBD]) -> list[Event]:
        moment = self._toolstack.clock.now()
        found: list[Event] = []
        for pbd in pbds:
            host = self._toolstack.db.get(Host, pbd.host)
            found += [
                Event(moment, host.uuid, host.name_label, pbd.uuid, scsi_id, counts)
                for scsi_id, counts in counts_in(pbd.other_config).items()
            ]
        return found

    def _tell(self, now: datetime) -> None:
        """Post an alert about the pool: what is not well on any host, and what has happened here."""
        everywhere = [row for row in self._toolstack.db.all(PBD) if row.currently_attached]
        broken = [event.text for event in self._now(everywhere) if not event.whole]
        happened = [event.text for event in self._events]
        body = "\n".join([*([BROKEN, *broken] if broken else ()), EVENTS, *happened]) + "\n"
        with self._toolstack.db.transaction() as transaction:
            for pool in transaction.all(Pool):
                post(self._toolstack, transaction, ALERT, PRIORITY, Cls.POOL, pool.uuid, body)
        for line in happened:
            LOG.warning("paths have changed: %s", line)
        self._told = now
        self._events.clear()
