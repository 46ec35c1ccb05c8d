"""Collects the chains of the storage repositories, one after the other, in a thread of low priority.

It wakes when rows of disks change, and now and then by itself. An SR with nothing to collect costs one look at its
directory. A step that fails, or that somebody's use of a disk hinders, is put off for a while; where a run is cancelled
the whole SR is.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from xapi.actions.sr.contents import drop_disk, note_disk, note_figures
from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import PBD, SR, VBD, VDI, VM
from xapi.datamodel.classes.vdi import OnBoot
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.sessions import Session
from xapi.dispatch.tasks import TaskInHand
from xapi.dispatch.toolstack import Toolstack
from xapi.dispatch.translate import translated
from xapi.services.periodic import Periodic, attempt
from xapi.storage.coalesce.collector import Collected, collect
from xapi.storage.coalesce.interface import Collectable
from xapi.storage.coalesce.plan import Step, Wishes, next_step
from xapi.storage.interface import AttachedSr, StorageFailure

LOG = logging.getLogger("xapi.storage.coalesce")
SETTLE: Final = 2.0  # seconds between news and the work, in which more of them come
TURN: Final = 300.0  # seconds after which to look without any news
REST: Final = timedelta(seconds=TURN)
YIELD: Final = 0.001  # seconds between two blocks, for whoever waits for the SR's lock
NICE: Final = 10
LOOKS: Final = 5


class Coalescer:
    """Watches over the chains of all storage repositories that this host may collect."""

    def __init__(self, toolstack: Toolstack, settle: float = SETTLE) -> None:
        self._toolstack = toolstack
        self._resting: dict[str, datetime] = {}
        self._put_off: dict[Step, datetime] = {}
        self._periodic = Periodic("coalescer", TURN, self.turn, settle=settle, niceness=NICE)

    def start(self) -> None:
        """Begin with a look at everything."""
        self._periodic.follow(self._toolstack.db, VDI, SR, PBD)
        self._periodic.wake()
        self._periodic.start()

    def stop(self) -> None:
        """End between two blocks; what is left is done after the next start."""
        self._periodic.stop()

    def turn(self) -> None:
        """Look after every SR; one whose collection fails rests for a while, and does not hinder the others."""
        for row in self._toolstack.db.all(SR):
            if not attempt(partial(self.look_after, row.ref), "the collection of SR %s", row.uuid):
                self._rest(row.ref)

    def _rest(self, sr: str) -> None:
        self._resting[sr] = self._toolstack.clock.now() + REST

    def _still_put_off(self) -> frozenset[Step]:
        now = self._toolstack.clock.now()
        self._put_off = {step: until for step, until in self._put_off.items() if until > now}
        return frozenset(self._put_off)

    def look_after(self, sr: Ref[SR]) -> Collected | None:
        """Collect one SR, unless it rests or there is nothing to collect; return what was done."""
        row = self._toolstack.db.find(SR, sr)
        if row is None or self._resting.get(sr, self._toolstack.clock.now()) > self._toolstack.clock.now():
            return None
        handle = self._toolstack.part(StorageRepositories).reach(row)
        if not isinstance(handle, Collectable) or not self._toolstack.tidies_up(row):
            return None
        wishes = self._wishes(row)
        try:
            if not wishes.collect or next_step(handle.chains().images(), wishes, self._still_put_off()) is None:
                return None
        except StorageFailure as failure:
            LOG.warning("SR %s cannot be collected now: %s", row.uuid, failure)
            self._rest(sr)
            return None
        return self._collect(row, handle, wishes)

    def _collect(self, row: SR, handle: Collectable, wishes: Wishes) -> Collected | None:
        toolstack = self._toolstack
        session = Session(ref="", user="", superuser=True)
        task = TaskInHand(toolstack.tasks, f"Garbage Collector for SR {row.name_label}", "")
        ctx = Context(toolstack, session, task)
        LOG.info("%s: collecting the chains of SR %s", task.ref, row.uuid)

        def go_on() -> bool:
            return not (self._periodic.stopping.wait(YIELD) or task.cancelled)

        try:
            with translated(ctx):
                put_off = self._still_put_off()
                found = collect(handle.chains(), wishes, go_on, put_off)
                self._put_off |= dict.fromkeys(found.skipped - put_off, toolstack.clock.now() + REST)
                if found.stopped:
                    self._rest(row.ref)
                self._follow(row.ref, handle)
        except Failure as failure:
            LOG.warning("SR %s could not be collected: %s", row.uuid, failure)
            self._rest(row.ref)
            task.fail(failure)
            return None
        task.succeed()
        return found

    def _wishes(self, row: SR) -> Wishes:
        """What `other_config` of the SR and of its disks allows, and what other hosts use."""
        database, here = self._toolstack.db, self._toolstack.this_host
        pinned, elsewhere = set(), set()
        for ref in row.VDIs:
            vdi = database.find(VDI, ref)
            if vdi is None:
                continue
            # What a disk that is reset holds itself must not get into what it is reset to.
            if vdi.other_config.get("leaf-coalesce") == "false" or vdi.on_boot is OnBoot.RESET:
                pinned.add(vdi.location)
            for drive in vdi.VBDs if row.shared else ():
                vbd = database.find(VBD, drive)
                vm = database.find(VM, vbd.VM) if vbd is not None and vbd.currently_attached else None
                if vm is not None and vm.resident_on != here:
                    elsewhere.add(vdi.location)
        return Wishes(
            collect=row.other_config.get("gc") != "false",
            coalesce=row.other_config.get("coalesce") != "false",
            leaf_coalesce=row.other_config.get("leaf-coalesce") != "false",
            pinned=frozenset(pinned),
            elsewhere=frozenset(elsewhere),
        )

    def _follow(self, sr: Ref[SR], handle: AttachedSr) -> None:
        """Let the rows of an SR's disks follow, without holding up calls: rows that change meanwhile come again.

        No row is made here; that of an inner image goes when the image is gone.
        """
        database = self._toolstack.db
        refs = set(database.get(SR, sr).VDIs)
        for _ in range(LOOKS):
            rows = [row for ref in refs if (row := database.find(VDI, ref)) is not None]
            facts = {vdi.location: vdi for vdi in handle.scan().vdis}
            stat = handle.stat()
            refs = set()
            with database.transaction() as transaction:
                for row in rows:
                    if transaction.find(VDI, row.ref) is not row:
                        refs.add(row.ref)
                    elif row.location in facts:
                        note_disk(transaction, row, facts[row.location])
                    elif not row.managed:
                        drop_disk(transaction, row)
                if transaction.find(SR, sr) is not None:
                    note_figures(transaction, sr, stat, 0)
            if not refs:
                return
