"""Scans storage repositories whose contents others may change, such as a share with CD images."""

from __future__ import annotations

import logging
from typing import Final

from xapi.actions.sr.records import DIRTY
from xapi.datamodel.classes import PBD, SR, Host
from xapi.datamodel.failure import Failure
from xapi.dispatch.context import Context
from xapi.dispatch.perform import run_message
from xapi.dispatch.sessions import Session
from xapi.dispatch.tasks import TaskInHand
from xapi.dispatch.toolstack import Toolstack
from xapi.services.periodic import Periodic

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
        self._periodic = Periodic("repository scanner", lambda: self.pause, self.turn)

    def start(self) -> None:
        """Begin; the first turn comes after the first pause."""
        self._periodic.start()

    def stop(self) -> None:
        """End after the scan that is under way."""
        self._periodic.stop()

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
            if asks and not self._periodic.stopping.is_set() and self._is_ours(row):
                self._scan(row)
                scanned.append(row.uuid)
        return scanned

    def _is_ours(self, row: SR) -> bool:
        """Whether it is plugged, and this host is the one to scan it."""
        links = (self._toolstack.db.find(PBD, link) for link in row.PBDs)
        plugged = any(link is not None and link.currently_attached for link in links)
        return plugged and self._toolstack.tidies_up(row)

    def _scan(self, row: SR) -> None:
        task = TaskInHand(self._toolstack.tasks, "SR.scan", "")
        ctx = Context(self._toolstack, Session(ref="", user="", superuser=True), task)
        try:
            run_message(ctx, "SR.scan", row.ref)
        except Failure as failure:
            LOG.info("SR %s was not scanned: %s", row.uuid, failure)
        finally:
            task.succeed()
