"""Scans storage repositories whose contents others may change, such as a share with CD images."""

from __future__ import annotations

import logging
import time
from threading import Event, Thread
from typing import Final

from xapi.actions.sr.records import DIRTY
from xapi.datamodel.classes import PBD, SR, Host
from xapi.datamodel.failure import Failure
from xapi.dispatch.context import Context
from xapi.dispatch.perform import run_message
from xapi.dispatch.sessions import Session
from xapi.dispatch.tasks import TaskInHand
from xapi.dispatch.toolstack import Toolstack

LOG = logging.getLogger("xapi.services")
AUTO_SCAN: Final = "auto-scan"
"""In `SR.other_config`: `true` has the SR scanned again and again."""
INTERVAL: Final = "auto-scan-interval"
"""In `host.other_config`: the seconds between two turns."""
PAUSE: Final = 30.0
SHORTEST: Final = 1.0


class RepositoryScanner:
    """Now and then scans the plugged SRs that ask for it in `other_config`, with `auto-scan` or `dirty`."""

    def __init__(self, toolstack: Toolstack) -> None:
        self._toolstack = toolstack
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="repository scanner", daemon=True)

    def start(self) -> None:
        """Begin; the first turn comes after the first pause."""
        self._thread.start()

    def stop(self) -> None:
        """End after the scan that is under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def pause(self) -> float:
        """Seconds between two turns, as the host's `other_config` says."""
        text = self._toolstack.db.get(Host, self._toolstack.this_host).other_config.get(INTERVAL, "")
        return max(float(text), SHORTEST) if text.isdecimal() else PAUSE

    def turn(self) -> list[str]:
        """Scan those that ask for it; answers their UUIDs. One that cannot be scanned does not hinder the others."""
        scanned: list[str] = []
        for row in self._toolstack.db.all(SR):
            asks = row.other_config.get(AUTO_SCAN) == "true" or DIRTY in row.other_config
            if asks and not self._stopping.is_set() and self._is_ours(row):
                self._scan(row)
                scanned.append(row.uuid)
        return scanned

    def _is_ours(self, row: SR) -> bool:
        """Whether it is plugged here, and this host is the one to scan it: of those that share one, the master."""
        if row.shared and self._toolstack.pool.master != self._toolstack.this_host:
            return False
        links = (self._toolstack.db.find(PBD, link) for link in row.PBDs)
        return any(link is not None and link.currently_attached for link in links if link is not None)

    def _scan(self, row: SR) -> None:
        task = TaskInHand(self._toolstack.tasks, "SR.scan", "")
        ctx = Context(self._toolstack, Session(ref="", user="", superuser=True), task)
        begun = time.monotonic()
        try:
            run_message(ctx, "SR.scan", row.ref)
        except Failure as failure:
            LOG.info("SR %s was not scanned: %s", row.uuid, failure)
        finally:
            task.succeed()
        LOG.debug("SR %s was scanned in %.3f s", row.uuid, time.monotonic() - begun)

    def _run(self) -> None:
        while not self._stopping.wait(self.pause):
            self.turn()
