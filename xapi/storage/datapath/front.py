"""Disks for backup programs: read-only exports by NBD over TLS, as VDI.get_nbd_info describes them.

An export is named `/<uuid of the disk>?session_id=<reference of a session>`. Who may read what, and how a disk is
opened, is the caller's to say.
"""

from __future__ import annotations

import errno
import logging
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from threading import BoundedSemaphore, Lock
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from xapi.storage.datapath.nbd.connection import Connection
from xapi.storage.datapath.nbd.export import Export
from xapi.storage.datapath.nbd.negotiation import Negotiation, Tls
from xapi.storage.datapath.server import accept_all, stop_listening
from xapi.storage.errors import StorageFailure
from xapi.storage.interface import DiskReader

LOG = logging.getLogger("xapi.storage.datapath")
PORT = 10809
MOST_CLIENTS = 64
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Authorise = Callable[[str, str], bool]
"""Says whether (session reference, UUID of a disk) may read that disk; neither is checked before."""
OpenReader = Callable[[str], DiskReader]
"""Opens the disk of a UUID for reading; StorageFailure where that cannot be."""


class ExportName(NamedTuple):
    """What the name of an export says."""

    vdi_uuid: str
    session: str


def parse_export_name(untrusted: str) -> ExportName | None:
    """Return the disk and the session that a name gives, None for a name of another form."""
    try:
        parts = urlsplit(untrusted)
        query = parse_qs(parts.query, strict_parsing=True, max_num_fields=8)
    except ValueError:
        return None
    sessions = query.get("session_id", [])
    uuid = parts.path.removeprefix("/")
    if parts.scheme or parts.netloc or len(sessions) != 1 or not UUID.fullmatch(uuid):
        return None
    return ExportName(uuid, sessions[0])


def export_name(vdi_uuid: str, session: str) -> str:
    """Return the name under which a session reads a disk."""
    return f"/{vdi_uuid}?session_id={session}"


class ReaderExport:
    """An open disk as a read-only export."""

    read_only = True

    def __init__(self, reader: DiskReader) -> None:
        self._reader = reader
        self.size = reader.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset`."""
        try:
            self._reader.read_into(offset, buffer)
        except StorageFailure as failure:
            raise OSError(errno.EIO, failure.text) from failure

    def read_cached(self, offset: int, buffer: memoryview) -> bool:
        """Fill `buffer`: what is asked for in a backup is read in its order, which the system foresees."""
        self.read_into(offset, buffer)
        return True

    def prefetch(self, offset: int, length: int) -> None:
        """Do nothing."""

    def status(self, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        """Return what the first pieces of a range are."""
        pieces: list[tuple[int, bool]] = []
        try:
            for extent in self._reader.extents(offset, length):
                if pieces and pieces[-1][1] == extent.zero:
                    pieces[-1] = (pieces[-1][0] + extent.length, extent.zero)
                elif len(pieces) == most:
                    break
                else:
                    pieces.append((extent.length, extent.zero))
        except StorageFailure as failure:
            raise OSError(errno.EIO, failure.text) from failure
        return pieces

    def write(self, offset: int, data: memoryview) -> None:
        """Refuse."""
        raise PermissionError(errno.EPERM, "a read-only export")

    def write_zeros(self, offset: int, length: int, keep_room: bool) -> None:
        """Refuse."""
        raise PermissionError(errno.EPERM, "a read-only export")

    def trim(self, offset: int, length: int) -> None:
        """Refuse."""
        raise PermissionError(errno.EPERM, "a read-only export")

    def flush(self) -> None:
        """Do nothing: nothing is written."""


class NbdFront:
    """The door for backup programs. With `tls` nothing is said without it; None is for networks that allow that."""

    def __init__(self, authorise: Authorise, open_reader: OpenReader, tls: ssl.SSLContext | None) -> None:
        self._authorise = authorise
        self._open_reader = open_reader
        self._tls = tls
        self._room = BoundedSemaphore(MOST_CLIENTS)
        self._lock = Lock()
        self._clients: set[Connection] = set()
        self._listening: list[socket.socket] = []

    def listen(self, host: str, port: int = PORT) -> tuple[str, int]:
        """Begin to take clients at an address; returns where, as port 0 stands for any."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family, backlog=16)
        address: tuple[str, int] = sock.getsockname()[:2]
        with self._lock:
            self._listening.append(sock)
        accept_all(sock, "nbd", self.serve)
        return address

    def serve(self, sock: socket.socket) -> None:
        """Serve one client to its end."""
        if not self._room.acquire(blocking=False):
            LOG.warning("more than %d NBD clients; one is turned away", MOST_CLIENTS)
            sock.close()
            return
        with ExitStack() as stack:
            stack.callback(self._room.release)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened = Opened(self._authorise, self._open_reader)
            stack.callback(opened.close)
            negotiation = Negotiation(opened.find, (), Tls.NONE if self._tls is None else Tls.REQUIRED)
            connection = Connection(sock, negotiation, self._tls)
            with self._lock:
                self._clients.add(connection)
            stack.callback(self._forget, connection)
            connection.run()

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            self._clients.discard(connection)

    def close(self) -> None:
        """Take no client more, and hang up on those that are there."""
        with self._lock:
            listening, self._listening = self._listening, []
            clients = list(self._clients)
        for sock in listening:
            stop_listening(sock)
        for client in clients:
            client.close()


class Opened:
    """The disk that one client has open; it names it several times while it asks for this and that."""

    def __init__(self, authorise: Authorise, open_reader: OpenReader) -> None:
        self._authorise = authorise
        self._open_reader = open_reader
        self._name: str | None = None
        self._reader: DiskReader | None = None
        self._export: Export | None = None

    def find(self, untrusted_name: str) -> Export | None:
        """Return the export of a name, None if there is none for this client."""
        if untrusted_name == self._name:
            return self._export
        self.close()
        wanted = parse_export_name(untrusted_name)
        if wanted is None or not self._authorise(wanted.session, wanted.vdi_uuid):
            LOG.warning("an NBD client asked for what it may not have: disk %s", wanted.vdi_uuid if wanted else "?")
            return None
        try:
            self._reader = self._open_reader(wanted.vdi_uuid)
        except StorageFailure as failure:
            LOG.warning("disk %s cannot be offered by NBD: %s", wanted.vdi_uuid, failure)
            return None
        self._name, self._export = untrusted_name, ReaderExport(self._reader)
        return self._export

    def close(self) -> None:
        """Give the disk up."""
        if self._reader is not None:
            self._reader.close()
        self._name = self._reader = self._export = None
