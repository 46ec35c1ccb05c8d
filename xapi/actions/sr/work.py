"""Work on an SR and its disks: what is marked meanwhile, what is refused, and how it ends in one transaction.

Operations on the disks of one SR go on side by side; each is marked in `SR.current_operations`, which refuses only what
would take the SR away. Calls about one disk follow one another, and a scan waits until no call changes the SR.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from xapi import lifecycle
from xapi.actions.sr.contents import note_figures
from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import SR, VDI
from xapi.datamodel.classes.sr import StorageOperations
from xapi.datamodel.classes.vdi import VdiOperations
from xapi.datamodel.errors import OTHER_OPERATION_IN_PROGRESS, SR_OPERATION_NOT_SUPPORTED, VDI_NOT_MANAGED
from xapi.datamodel.model import Entity, Ref
from xapi.datamodel.types import WireEnum
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.occupy import assert_allowed
from xapi.storage.errors import StorageFailure
from xapi.storage.interface import AttachedSr, Unsupported

LOG = logging.getLogger("xapi.storage")
SIDE_BY_SIDE: Final = frozenset(
    {
        *(operation for operation in StorageOperations if operation.startswith("vdi_")),
        StorageOperations.SCAN,
        StorageOperations.UPDATE,
        StorageOperations.PBD_CREATE,
    }
)


def repositories_of(ctx: Context) -> StorageRepositories:
    """The storage repositories that this host can reach."""
    found: StorageRepositories = ctx.toolstack.part(StorageRepositories)
    return found


def assert_sr_allows(transaction: Transaction, row: SR, operation: StorageOperations) -> None:
    """Raise what refuses an operation on an SR now; what may go on side by side does not refuse one another."""
    refusal = lifecycle.why_not(transaction, row, operation)
    if refusal is None:
        return
    waits = refusal.code == OTHER_OPERATION_IN_PROGRESS.code
    if not (waits and operation in SIDE_BY_SIDE and SIDE_BY_SIDE.issuperset(row.current_operations.values())):
        raise refusal


class Work:
    """One operation under way on an SR, or on one of its disks; `finished` ends it together with its results."""

    def __init__(self, ctx: Context, sr: Ref[SR], handle: AttachedSr, vdi: VDI | None) -> None:
        self._ctx = ctx
        self._vdi = vdi
        self.sr = sr
        self.handle = handle
        self.marks: list[tuple[type[Entity], str, WireEnum]] = []

    @property
    def vdi(self) -> VDI:
        """The disk that is worked on, as it was when the work began."""
        if self._vdi is None:
            raise LookupError("this work is about no disk")
        return self._vdi

    @contextmanager
    def finished(self, virtual: int = 0) -> Iterator[Transaction]:
        """Record the results, with the SR's figures as they are now; `virtual` bytes more are allocated."""
        stat = self.handle.stat()
        with self._ctx.transaction() as transaction:
            yield transaction
            if transaction.find(SR, self.sr) is not None:
                note_figures(transaction, self.sr, stat, virtual)
            self._unmark(transaction)
        self.marks.clear()

    def mark(self, transaction: Transaction, entity: type[Entity], ref: str, operation: WireEnum) -> None:
        """Let the current operations of an object tell of this task."""
        current = transaction.get(entity, ref)[entity.field_named["current_operations"].index]
        transaction.refill(entity, ref, current_operations={**current, self._ctx.task.ref: operation})
        self.marks.append((entity, ref, operation))

    def _unmark(self, transaction: Transaction) -> None:
        task = self._ctx.task.ref
        for entity, ref, operation in self.marks:
            row = transaction.find(entity, ref)
            if row is None:
                continue
            current = row[entity.field_named["current_operations"].index]
            if current.get(task) == operation:
                rest = {key: value for key, value in current.items() if key != task}
                transaction.refill(entity, ref, current_operations=rest)

    def release(self) -> None:
        """After work that failed, take back the marks, and let the SR's figures tell if it is full now."""
        if not self.marks:
            return
        stat = self.handle.stat()
        with self._ctx.transaction() as transaction:
            if transaction.find(SR, self.sr) is not None:
                note_figures(transaction, self.sr, stat, 0)
            self._unmark(transaction)
        self.marks.clear()


@contextmanager
def working_on_sr(ctx: Context, sr: Ref[SR], operation: StorageOperations, *, alone: bool = False) -> Iterator[Work]:
    """Work on an SR that is attached here; with `alone`, no disk of it changes meanwhile."""
    repositories = repositories_of(ctx)
    task = ctx.task.ref  # made here, as it cannot be made within a transaction
    with ExitStack() as stack:
        stack.enter_context(repositories.alone(sr) if alone else repositories.changing(sr))
        with ctx.transaction() as transaction:
            row = transaction.get(SR, sr)
            assert_sr_allows(transaction, row, operation)
            work = Work(ctx, sr, repositories.get(transaction, sr), None)
            work.mark(transaction, SR, sr, operation)
        LOG.debug("%s: %s on SR %s", task, operation, row.uuid)
        stack.callback(work.release)
        stack.enter_context(refusing(sr))
        yield work


@contextmanager
def working_on_disk(ctx: Context, vdi: Ref[VDI], operation: VdiOperations, on_sr: StorageOperations) -> Iterator[Work]:
    """Work on a disk of an SR that is attached here, after whoever works on it now; VDI_NOT_MANAGED for inner nodes."""
    repositories = repositories_of(ctx)
    task = ctx.task.ref
    sr = ctx.db.get(VDI, vdi).SR
    with ExitStack() as stack:
        stack.enter_context(repositories.turn_at_disk(vdi))
        stack.enter_context(repositories.changing(sr))
        with ctx.transaction() as transaction:
            row = transaction.get(VDI, vdi)
            assert_sr_allows(transaction, transaction.get(SR, sr), on_sr)
            assert_allowed(transaction, row, operation)
            work = Work(ctx, sr, repositories.get(transaction, sr), row)
            if not row.managed:
                raise VDI_NOT_MANAGED(vdi)
            work.mark(transaction, SR, sr, on_sr)
            work.mark(transaction, VDI, vdi, operation)
        LOG.debug("%s: %s on disk %s", task, operation, row.uuid)
        stack.callback(work.release)
        stack.enter_context(refusing(sr))
        yield work


@contextmanager
def refusing(sr: str) -> Iterator[None]:
    """Let a driver's word that it cannot do something leave the block as SR_OPERATION_NOT_SUPPORTED."""
    try:
        yield
    except Unsupported as error:
        LOG.info("SR %s: %s", sr, error)
        raise SR_OPERATION_NOT_SUPPORTED(sr) from error


def undoing(undo: ExitStack, reverse: Callable[..., Any], *params: object) -> None:
    """Remember how to undo a driver's work; that this fails too is told to the log, the next scan will see it."""

    def attempt() -> None:
        try:
            reverse(*params)
        except StorageFailure as error:
            LOG.error("while undoing, %s%r failed: %s", reverse.__name__, params, error)

    undo.callback(attempt)
