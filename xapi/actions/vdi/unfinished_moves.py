"""What a toolstack that was killed while it moved disks has left behind: moves are completed or undone."""

from __future__ import annotations

import logging

from xapi.actions.sr.work import repositories_of
from xapi.actions.vdi.moving import LEFT_BEHIND, MAKING, MOVED_FROM, follow
from xapi.datamodel.classes import SR, VDI
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.perform import run_message
from xapi.dispatch.sessions import Session
from xapi.dispatch.tasks import TaskInHand
from xapi.dispatch.toolstack import Toolstack
from xapi.dispatch.translate import translated
from xapi.hypervisor.interface import FileBackend
from xapi.storage.datapath.processes import DataPathProcesses
from xapi.storage.errors import StorageFailure, VdiMissing

LOG = logging.getLogger("xapi.storage")


def finish_moves(toolstack: Toolstack) -> int:
    """Complete the moves whose guests use the new disk already, undo the others; answers how many disks went.

    To be called before guests' disks are attached anew and before the doors open. Disks on an SR that is not attached
    now stay until it is, at another start.
    """
    view = toolstack.db
    made = [row for row in view.all(VDI) if _mark(row, MOVED_FROM)]
    if made:
        used = _paths_in_use(toolstack)
        moved: dict[Ref[VDI], Ref[VDI]] = {}
        for row in made:
            original = _mark(row, MOVED_FROM)
            main = view.find(VDI, row.snapshot_of) or row
            source = view.by_uuid(VDI, original[1])
            if source is not None and _mark(main, MOVED_FROM)[2:] and _mark(main, MOVED_FROM)[2] in used:
                LOG.warning("the move of disk %s to %s is completed", source.uuid, row.uuid)
                moved[source.ref] = row.ref
        with view.transaction() as transaction:
            follow(transaction, moved)
    task = TaskInHand(toolstack.tasks, "removing what a move of a disk left behind", NULL)
    ctx = Context(toolstack, Session(ref=NULL, user="", superuser=True), task)
    for row in view.all(VDI):
        if _mark(row, MAKING):
            _drop_unrecorded(ctx, row)
    count = 0
    for row in view.all(VDI):
        if _mark(row, MOVED_FROM) or _mark(row, LEFT_BEHIND):
            count += _removed(ctx, row)
    task.succeed()
    return count


def _drop_unrecorded(ctx: Context, row: VDI) -> None:
    """Remove what was made for a move and not recorded by it; a scan may have found it meanwhile."""
    view = ctx.toolstack.db
    for word in row.other_config[MAKING].split()[1:]:
        sr_uuid, _, uuid = word.partition("/")
        found = view.by_uuid(VDI, uuid)
        if found is None:
            _drop_data(ctx, view.by_uuid(SR, sr_uuid), uuid)
        elif not _mark(found, MOVED_FROM) and not _mark(found, LEFT_BEHIND):
            _removed(ctx, found)
    with ctx.transaction() as transaction:
        rest = {key: value for key, value in transaction.get(VDI, row.ref).other_config.items() if key != MAKING}
        transaction.update(VDI, row.ref, other_config=rest)


def _drop_data(ctx: Context, sr: SR | None, uuid: str) -> None:
    handle = repositories_of(ctx).reach(sr) if sr is not None else None
    if handle is None:
        return
    try:
        handle.destroy(uuid)
        LOG.warning("disk %s, which a broken move has made, is removed", uuid)
    except VdiMissing:
        LOG.debug("disk %s was not made, or is gone", uuid)
    except StorageFailure as failure:
        LOG.warning("disk %s of a broken move stays: %s", uuid, failure)


def _mark(row: VDI, key: str) -> tuple[str, ...]:
    """The words of a disk's own mark; those of a disk that it was cloned from do not count."""
    words = tuple(row.other_config.get(key, "").split(" ", 2))
    return words if words[0] == row.uuid else ()


def _paths_in_use(toolstack: Toolstack) -> frozenset[str]:
    """Where the data are that guests use now, by the path that their domain or their process has."""
    processes: DataPathProcesses = toolstack.part(DataPathProcesses)
    found = set(processes.found_paths)
    for domain in toolstack.hypervisor.domains.list():
        found |= {disk.source.path for disk in domain.disks if isinstance(disk.source, FileBackend)}
    return frozenset(found)


def _removed(ctx: Context, row: VDI) -> int:
    try:
        with translated(ctx):
            run_message(ctx, "VDI.destroy", row.ref)
    except Failure as failure:
        LOG.warning("disk %s of a broken move stays: %s", row.uuid, ", ".join(failure.description))
        return 0
    return 1
