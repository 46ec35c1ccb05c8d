"""Sending the toolstack's log to another machine, as host.logging asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from logging.handlers import SYSLOG_UDP_PORT, SysLogHandler
from threading import Lock
from typing import Final

from xapi.datamodel.classes import Host
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.errors import INVALID_VALUE
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements

DESTINATION: Final = "syslog_destination"


def _syslog(address: str) -> logging.Handler:
    """A handler that sends each line in a UDP packet to a machine's syslog."""
    return SysLogHandler((address, SYSLOG_UDP_PORT))


class RemoteLog:
    """Where else the log goes besides its own place: nowhere, or one machine."""

    def __init__(self, logger: logging.Logger, connect: Callable[[str], logging.Handler] = _syslog) -> None:
        self._logger = logger
        self._connect = connect
        self._lock = Lock()
        self._handler: logging.Handler | None = None
        self.destination = ""

    def point_at(self, destination: str) -> None:
        """Send the log to a machine from now on, or nowhere for an empty name; OSError for an unknown machine."""
        with self._lock:
            if destination == self.destination:
                return
            new = self._connect(destination) if destination else None
            if new is not None:
                self._logger.addHandler(new)
            if self._handler is not None:
                self._logger.removeHandler(self._handler)
                self._handler.close()
            self._handler = new
            self.destination = destination


@implements(api.syslog_reconfigure, runs_on="host")
def syslog_reconfigure(ctx: Context, host: Ref[Host]) -> None:
    """Send the toolstack's log where the key syslog_destination of host.logging says."""
    remote: RemoteLog = ctx.toolstack.parts.setdefault(RemoteLog, RemoteLog(logging.getLogger()))
    destination = ctx.db.get(Host, host).logging.get(DESTINATION, "")
    try:
        remote.point_at(destination)
    except OSError as problem:
        raise INVALID_VALUE(DESTINATION, f"{destination}: {problem.strerror}") from None
