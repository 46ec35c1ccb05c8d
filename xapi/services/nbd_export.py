"""The server of exports: disks are read by NBD on networks that are open to that, as VDI.get_nbd_info tells clients.

It listens at the addresses that this host has on networks with the purpose nbd (with TLS) or insecure_nbd (without),
only while there are such networks; when purposes, addresses or the certificate change, it follows.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Final

from xapi.actions.storage_repositories import StorageRepositories
from xapi.actions.vdi.nbd import NbdPlace, NbdPorts, nbd_places
from xapi.datamodel.classes import PIF, SR, VDI, Certificate, Network
from xapi.datamodel.classes import vdi as api
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.failure import Failure
from xapi.datamodel.roles import allowed_roles
from xapi.dispatch.toolstack import Toolstack
from xapi.services.periodic import Periodic
from xapi.storage.datapath.front import PORT, NbdFront
from xapi.storage.interface import DiskReader, SrUnavailable, Unsupported, VdiMissing
from xapi.system.certificates import server_context

LOG = logging.getLogger("xapi.storage.datapath")
TURN: Final = 30.0  # seconds after which an address that could not be had is tried again
SETTING: Final = "nbd_port"
ALLOWED: Final = allowed_roles(api.get_nbd_info.role)  # who may ask for a disk's exports may read them


def port_of(settings: Mapping[str, str]) -> int:
    """The port that the table [network] of the settings names; ValueError for what is none."""
    text = settings.get(SETTING, str(PORT))
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise ValueError(f"{SETTING} must be a port from 0 to 65535, not {text!r}")
    return int(text)


class NbdExports:
    """Offers the disks of attached SRs, for reading, to whoever names a session that is logged in.

    `certificate` is the file of the server's certificate; with port 0, each address gets any port that is free.
    """

    def __init__(self, toolstack: Toolstack, certificate: Path, port: int = PORT) -> None:
        self._toolstack = toolstack
        self._certificate = certificate
        self._ports = NbdPorts(port)
        self._fronts: dict[NbdPlace, NbdFront] = {}
        self._tls: ssl.SSLContext | None = None
        self._lock = Lock()
        self._periodic = Periodic("NBD exports", lambda: None if self._all_open() else TURN, self.follow)

    def start(self) -> None:
        """Listen where that is wanted now, and follow what changes."""
        self._toolstack.parts[NbdPorts] = self._ports
        self._periodic.follow(self._toolstack.db, Network, PIF, Certificate)
        self.follow()
        self._periodic.start()

    def stop(self) -> None:
        """Take no client more, and hang up on those that are there."""
        self._periodic.stop()
        with self._lock:
            for place in list(self._fronts):
                self._close(place)
        self._toolstack.parts.pop(NbdPorts, None)

    def _wanted(self) -> tuple[NbdPlace, ...]:
        return nbd_places(self._toolstack.db, self._toolstack.this_host)

    def _all_open(self) -> bool:
        with self._lock:
            return self._fronts.keys() >= set(self._wanted())

    def follow(self) -> None:
        """Listen at the addresses that are wanted now, and nowhere else; show the certificate as it is now."""
        with self._lock:
            wanted = self._wanted()
            for place in self._fronts.keys() - set(wanted):
                self._close(place)
            if self._tls is not None:
                self._show_certificate(self._tls)
            for place in wanted:
                if place not in self._fronts:
                    self._open(place)

    def _show_certificate(self, tls: ssl.SSLContext) -> None:
        try:
            tls.load_cert_chain(self._certificate)
        except OSError as error:
            LOG.error("NBD goes on with the old certificate: %s", error)

    def _open(self, place: NbdPlace) -> None:
        try:
            if place.secure and self._tls is None:
                self._tls = server_context(self._certificate)
            front = NbdFront(self.may_read, self.open_reader, self._tls if place.secure else None)
            _, port = front.listen(place.address, self._ports.wanted)
        except OSError as error:
            LOG.warning("disks cannot be offered by NBD at %s: %s", place.address, error)
            return
        self._fronts[place] = front
        self._ports.bound[place.address] = port
        LOG.info("disks are offered by NBD%s at %s, port %d", " with TLS" if place.secure else "", place.address, port)

    def _close(self, place: NbdPlace) -> None:
        self._fronts.pop(place).close()
        self._ports.bound.pop(place.address, None)

    # What clients may have

    def may_read(self, session: str, vdi_uuid: str) -> bool:
        """Whether there is such a session, and its roles allow to ask for the disk's exports (an Authorise)."""
        try:
            found = self._toolstack.sessions.get(session)
        except Failure:
            return False
        return found.may(ALLOWED) and self._toolstack.db.by_uuid(VDI, vdi_uuid) is not None

    def open_reader(self, vdi_uuid: str) -> DiskReader:
        """Open a disk of an SR that is attached here (an OpenReader); StorageFailure."""
        database = self._toolstack.db
        row = database.by_uuid(VDI, vdi_uuid)
        sr = database.find(SR, row.SR) if row is not None else None
        if row is None or sr is None:
            raise VdiMissing("", vdi_uuid)
        if row.type is VdiType.CBT_METADATA or not row.managed:
            raise Unsupported("reading the data of such a disk")
        handle = self._toolstack.part(StorageRepositories).reach(sr)
        if handle is None:
            raise SrUnavailable(f"SR {sr.uuid} is not attached to this host")
        opened: DiskReader = handle.open_for_reading(row.location)
        return opened
