"""Attaching an SR to this host, by its PBD: when a client asks for it, and when the toolstack starts."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import ExitStack

from xapi.actions.sr.contents import note_scan
from xapi.actions.sr.paths import forget_paths, found_paths, note_paths
from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import PBD, SR
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Ref
from xapi.db.database import Database
from xapi.lifecycle.surroundings import driver_features
from xapi.storage.errors import StorageFailure
from xapi.storage.interface import AttachedSr, ScanResult

LOG = logging.getLogger("xapi.storage")


def attach_and_scan(database: Database, repositories: StorageRepositories, pbd: Ref[PBD]) -> None:
    """Attach a PBD's SR, let its records follow what is there, and record that it is attached.

    A scan that fails leaves the SR attached and its records as they are. Whoever calls holds the SR's turn alone.
    """
    row = database.get(PBD, pbd)
    sr = database.get(SR, row.SR)
    with ExitStack() as undo:
        present = repositories.reach(sr) is not None
        handle = repositories.attach(database, row)
        if not present:
            undo.callback(repositories.detach, sr)
        _keep_names(database, sr, handle)
        found = _scanned(sr, handle)
        paths = found_paths(repositories, sr.type, sr.uuid)
        with database.transaction() as transaction:
            transaction.update(PBD, pbd, currently_attached=True)
            note_paths(transaction, pbd, paths)
            if found is not None:
                note_scan(transaction, sr.ref, found)
        undo.pop_all()


def _keep_names(database: Database, sr: SR, handle: AttachedSr) -> None:
    """Write the SR's names to it if it was renamed while it could not be reached."""
    stat = handle.stat()
    if "SR_UPDATE" not in driver_features(database, sr.type):
        return
    if (stat.name_label, stat.name_description) != (sr.name_label, sr.name_description):
        try:
            handle.update_sr(sr.name_label, sr.name_description)
        except StorageFailure as error:
            LOG.warning("SR %s cannot be told its name: %s", sr.uuid, error)


def _scanned(sr: SR, handle: AttachedSr) -> ScanResult | None:
    try:
        return handle.scan()
    except StorageFailure as error:
        LOG.error("SR %s was attached and cannot be scanned: %s", sr.uuid, error)
        return None


def plug_at_start(database: Database, repositories: StorageRepositories, pbds: Iterable[Ref[PBD]]) -> None:
    """Attach what this host had attached; an SR that cannot be attached stays unplugged, as the log tells."""
    for ref in pbds:
        pbd = database.find(PBD, ref)
        if pbd is None or database.find(SR, pbd.SR) is None:
            continue
        try:
            with repositories.alone(pbd.SR):
                attach_and_scan(database, repositories, ref)
        except (Failure, StorageFailure) as error:
            LOG.error("PBD %s cannot be plugged: %s", pbd.uuid, error)
            with database.transaction() as transaction:
                forget_paths(transaction, ref)
