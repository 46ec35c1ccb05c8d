"""Disks moved from one SR to another, while their VM runs or not (VDI.pool_migrate of XenAPI's class VDI).

A disk that its guest writes to is copied in rounds: a snapshot is copied whole, then what the next one has otherwise,
and so on until little is left. For that last little the guest's requests wait, and then go to the new disk. Snapshots
that belong to snapshots of the VM go first, oldest first, so that the new chain shares what the old one shared.

Until the records follow, which is one transaction, everything new is marked; `unfinished_moves` removes, at the next
start, what a toolstack has left that was killed meanwhile, or completes the move if the guest has gone over already.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any, Final

from xapi.actions.attach_disks import AttachDisks
from xapi.actions.sr.work import Work, refusing, repositories_of
from xapi.actions.vdi.copies import fill, keep_resetting, remove, room_for
from xapi.actions.vdi.splitting import split
from xapi.datamodel.classes import SR, VBD, VDI, VM
from xapi.datamodel.classes import vdi as api
from xapi.datamodel.classes.vbd import VbdMode
from xapi.datamodel.classes.vdi import VdiOperations, VdiType
from xapi.datamodel.classes.vm import VmOperations
from xapi.datamodel.errors import (
    SR_DOES_NOT_SUPPORT_MIGRATION,
    TOO_MANY_STORAGE_MIGRATES,
    VDI_CBT_ENABLED,
    VDI_INCOMPATIBLE_TYPE,
    VDI_IS_SHARABLE,
    VDI_NEEDS_VM_FOR_MIGRATE,
    VDI_NOT_MANAGED,
)
from xapi.datamodel.model import NULL, Map, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import occupied
from xapi.dispatch.perform import run_message
from xapi.lifecycle.surroundings import driver_features
from xapi.lifecycle.wording import vdi_type_text
from xapi.storage.interface import AttachedSr, VdiFacts

MOST_MOVES: Final = 3
"""The moves that go on at once on a host, as in the original."""
MOST_ROUNDS: Final = 6
CALM: Final = 16 << 20
"""The bytes of a round after which the rest is copied while the guest waits."""
NEEDED: Final = ("VDI_SNAPSHOT", "VDI_MIRROR")
"""What both drivers must be able to do."""
MOVED_FROM: Final = "moved_from"
"""The key of other_config of a disk that nobody uses yet: its UUID, that of its original, where its data are."""
LEFT_BEHIND: Final = "left_behind_by_move"
"""The key of other_config of a disk that a move needs no more: its UUID."""
MAKING: Final = "made_by_move"
"""The key of other_config of a disk that moves: its UUID, and `SR/UUID` of each disk that will be made for that."""
MARKS: Final = frozenset({MOVED_FROM, LEFT_BEHIND, MAKING})
FIRST_ROUND: Final = (0.0, 0.9)
LATER_ROUNDS: Final = (0.9, 0.95)
Moved = dict[Ref[VDI], Ref[VDI]]
"""The new disks by the old ones; the disk itself is the last one, its snapshots come before."""


class StorageMoves:
    """How many moves go on now on this host."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one for the time of the block; TOO_MANY_STORAGE_MIGRATES."""
        with self._lock:
            if self._count >= MOST_MOVES:
                raise TOO_MANY_STORAGE_MIGRATES(MOST_MOVES)
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1


@implements(api.pool_migrate)
def pool_migrate(ctx: Context, vdi: Ref[VDI], sr: Ref[SR], options: Map[str, str]) -> Ref[VDI]:
    """Move a VM's disk to another SR, its drives and snapshots following it; its guest goes on meanwhile."""
    row = ctx.db.get(VDI, vdi)
    ctx.db.get(SR, sr)
    if not row.managed:
        raise VDI_NOT_MANAGED(vdi)
    drives = [vbd for ref in row.VBDs if (vbd := ctx.db.find(VBD, ref)) is not None]
    if not drives:
        raise VDI_NEEDS_VM_FOR_MIGRATE(vdi)
    if row.type is VdiType.CBT_METADATA:
        raise VDI_INCOMPATIBLE_TYPE(vdi, vdi_type_text(row.type))
    if row.cbt_enabled:
        raise VDI_CBT_ENABLED(vdi)
    if sr == row.SR:
        return vdi
    repositories_of(ctx).get(ctx.db, row.SR)
    repositories_of(ctx).get(ctx.db, sr)
    counter: StorageMoves = ctx.toolstack.part(StorageMoves)
    with counter.one_more(), ExitStack() as stack:
        attached = [vbd for vbd in drives if vbd.currently_attached]
        for vm in dict.fromkeys(vbd.VM for vbd in attached or drives[:1]):
            if ctx.task.ref not in ctx.db.get(VM, vm).current_operations:  # as it is when VM.migrate_send asks
                stack.enter_context(occupied(ctx, VM, vm, VmOperations.MIGRATE_SEND))
        written = any(vbd.mode is VbdMode.RW for vbd in attached)
        if written and row.sharable:
            raise VDI_IS_SHARABLE(vdi)
        if written:
            _check_driver(ctx, row.SR)
            _check_driver(ctx, sr)
        with repositories_of(ctx).turn_at_disk(vdi):
            operation = VdiOperations.MIRROR if written else VdiOperations.COPY
            stack.enter_context(occupied(ctx, VDI, vdi, operation))
        moved = _Move(ctx, vdi, sr).run(written)
    for old in moved:
        remove(ctx, old)
    return moved[vdi]


def _check_driver(ctx: Context, sr: Ref[SR]) -> None:
    features = driver_features(ctx.db, ctx.db.get(SR, sr).type)
    if not all(name in features for name in NEEDED):
        raise SR_DOES_NOT_SUPPORT_MIGRATION(sr, ", ".join(NEEDED))


class _Move:
    """One disk on its way to another SR."""

    def __init__(self, ctx: Context, vdi: Ref[VDI], sr: Ref[SR]) -> None:
        self._ctx = ctx
        self._vdi = vdi
        self._sr = sr
        self._row = ctx.db.get(VDI, vdi)
        self._holds: Ref[VDI] = NULL  # the disk whose data the new one holds by now
        self._target: Ref[VDI] = NULL
        self._moved: Moved = {}

    def run(self, written: bool) -> Moved:
        """Copy, let the guests go over, and let the records follow; on a failure all is as it was."""
        disks: AttachDisks = self._ctx.toolstack.part(AttachDisks)
        drives = self._drives()
        with ExitStack() as undo, ExitStack() as temporary:
            taken = self._snapshots()
            size = taken[0].virtual_size if taken else self._row.virtual_size
            undo.callback(self._announce_nothing)
            uuid = self._announce(self._sr)
            mark = self._mark(uuid, self._row)
            self._target = room_for(self._ctx, self._row, self._sr, uuid, size, other_config=mark)
            undo.callback(remove, self._ctx, self._target)
            self._move_snapshots(taken, undo)
            if written:
                self._copy_rounds(temporary)
            else:
                # Whoever reads a disk keeps writers away from it, until the new one has taken its place.
                handle, row = repositories_of(self._ctx).of_vdi(self._ctx.db, self._vdi)
                temporary.enter_context(handle.open_for_reading(row.location))
                self._bring(self._vdi, FIRST_ROUND)
            with disks.held(self._vdi, self._ctx.toolstack.hypervisor.devices, drives) as go_on:
                if written:
                    self._bring(self._freeze(temporary), LATER_ROUNDS)
                keep_resetting(self._ctx, self._target)
                go_on(self._target, self._note_path)
                self._moved[self._vdi] = self._target
                with self._ctx.transaction() as transaction:
                    follow(transaction, self._moved)
                undo.pop_all()
        return self._moved

    def _drives(self) -> Mapping[str, str]:
        """The name of the drive in each domain that has the disk."""
        view = self._ctx.db
        drives = [vbd for ref in self._row.VBDs if (vbd := view.find(VBD, ref)) is not None]
        return {view.get(VM, vbd.VM).uuid: vbd.device for vbd in drives if vbd.currently_attached}

    def _mark(self, uuid: str, original: VDI, path: str = "") -> dict[str, str]:
        return {**original.other_config, MOVED_FROM: " ".join((uuid, original.uuid, path))}

    def _announce(self, sr: Ref[SR]) -> str:
        """Choose the UUID of a disk, and note it where it is found again if its row is never made."""
        uuid = str(uuids.uuid4())
        with self._ctx.transaction() as transaction:
            row = transaction.get(VDI, self._vdi)
            noted = row.other_config
            before = noted.get(MAKING, "").split()
            mine = before if before[:1] == [row.uuid] else [row.uuid]
            words = [*mine, f"{transaction.get(SR, sr).uuid}/{uuid}"]
            transaction.update(VDI, self._vdi, other_config={**noted, MAKING: " ".join(words)})
        return uuid

    def _announce_nothing(self) -> None:
        with self._ctx.transaction() as transaction:
            row = transaction.find(VDI, self._vdi)
            if row is not None:
                transaction.update(VDI, self._vdi, other_config=without_marks(row.other_config))

    def _note_path(self, path: str) -> None:
        """Note where the data of the new disk are, by which it is known after a restart whether a guest uses it."""
        with self._ctx.transaction() as transaction:
            made = transaction.get(VDI, self._target)
            transaction.update(VDI, self._target, other_config=self._mark(made.uuid, self._row, path))

    def _bring(self, source: Ref[VDI], within: tuple[float, float]) -> int:
        """Let the new disk hold what a disk holds; returns the bytes that were written."""
        blank = self._holds == NULL
        size = self._ctx.db.get(VDI, source).virtual_size
        if self._ctx.db.get(VDI, self._target).virtual_size < size:
            run_message(self._ctx, "VDI.resize", self._target, size)
        written = fill(self._ctx, source, self._target, self._holds, blank=blank, within=within)
        self._holds = source
        return written

    # Rounds

    def _copy_rounds(self, temporary: ExitStack) -> None:
        """Copy what the guest does not write just now, until a round was short."""
        self._bring(self._freeze(temporary), FIRST_ROUND)
        for _ in range(MOST_ROUNDS):
            if self._bring(self._freeze(temporary), LATER_ROUNDS) <= CALM:
                return

    def _freeze(self, temporary: ExitStack) -> Ref[VDI]:
        """Take a snapshot for as long as the move goes on."""
        uuid = self._announce(self._row.SR)
        mark = {**self._row.other_config, LEFT_BEHIND: uuid}
        made = self._snapshot(self._vdi, uuid, other_config=mark)
        temporary.callback(remove, self._ctx, made)
        return made

    def _snapshot(self, vdi: Ref[VDI], uuid: str, **own: Any) -> Ref[VDI]:
        def fork(handle: AttachedSr, location: str, identifier: str) -> VdiFacts:
            return handle.snapshot(location, identifier)

        row = self._ctx.db.get(VDI, vdi)
        repositories = repositories_of(self._ctx)
        with repositories.changing(row.SR), refusing(row.SR):
            handle = repositories.get(self._ctx.db, row.SR)
            return split(self._ctx, Work(self._ctx, row.SR, handle, row), uuid, fork, **own)

    # Snapshots

    def _move_snapshots(self, snapshots: list[VDI], undo: ExitStack) -> None:
        """Move what snapshots of the VM have of the disk."""
        for taken in snapshots:
            self._ctx.task.check()
            self._bring(taken.ref, (0.0, 0.0))
            uuid = self._announce(self._sr)
            own = _identity(taken) | {"other_config": self._mark(uuid, taken), "snapshot_of": self._target}
            made = self._snapshot(self._target, uuid, **own)
            undo.callback(remove, self._ctx, made)
            self._moved[taken.ref] = made

    def _snapshots(self) -> list[VDI]:
        """The snapshots that go too, oldest first: none, if the driver over there can take none."""
        view = self._ctx.db
        if "VDI_SNAPSHOT" not in driver_features(view, view.get(SR, self._sr).type):
            return []
        found = []
        for ref in self._row.snapshots:
            taken = view.find(VDI, ref)
            if taken is None or taken.SR != self._row.SR or not taken.managed or taken.type is VdiType.CBT_METADATA:
                continue
            drives = (view.find(VBD, drive) for drive in taken.VBDs)
            vms = (view.find(VM, vbd.VM) for vbd in drives if vbd is not None)
            if any(vm is not None and vm.is_a_snapshot for vm in vms):
                found.append(taken)
        return sorted(found, key=lambda taken: taken.snapshot_time)


def _identity(row: VDI) -> dict[str, Any]:
    """The fields of a disk that go with it, whatever its new SR makes of the rest."""
    return {
        "name_label": row.name_label,
        "name_description": row.name_description,
        "type": row.type,
        "sharable": row.sharable,
        "read_only": row.read_only,
        "xenstore_data": row.xenstore_data,
        "tags": row.tags,
        "allow_caching": row.allow_caching,
        "is_a_snapshot": row.is_a_snapshot,
        "snapshot_time": row.snapshot_time,
        "metadata_of_pool": row.metadata_of_pool,
    }


def without_marks(other_config: Mapping[str, str]) -> dict[str, str]:
    """What a disk's other_config says beside the marks of a move."""
    return {key: value for key, value in other_config.items() if key not in MARKS}


def follow(transaction: Transaction, moved: Mapping[Ref[VDI], Ref[VDI]]) -> None:
    """Let the records follow: drives and snapshots belong to the new disks, and the old ones wait for their end."""
    for old, new in moved.items():
        row = transaction.get(VDI, old)
        for drive in row.VBDs:
            transaction.update(VBD, drive, VDI=new)
        for taken in row.snapshots:
            if taken not in moved and LEFT_BEHIND not in transaction.get(VDI, taken).other_config:
                transaction.update(VDI, taken, snapshot_of=new)
        kept = without_marks(row.other_config)
        original = moved.get(row.snapshot_of, row.snapshot_of)
        transaction.update(VDI, new, **(_identity(row) | {"other_config": kept, "snapshot_of": original}))
        transaction.update(VDI, old, other_config={**kept, LEFT_BEHIND: row.uuid})
