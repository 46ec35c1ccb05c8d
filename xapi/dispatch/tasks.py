"""Tasks: how a call that takes time tells of itself, and how it is told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from threading import Event, Lock

from xapi.datamodel.classes import Host
from xapi.datamodel.classes import Task as TaskRow
from xapi.datamodel.classes.task import TaskAllowedOperations, TaskStatusType
from xapi.datamodel.errors import TASK_CANCELLED
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Database
from xapi.system.clock import Clock

FINISHED = frozenset({TaskStatusType.SUCCESS, TaskStatusType.FAILURE, TaskStatusType.CANCELLED})
NO_TYPE = "<none/>"


KEPT_FOR = timedelta(hours=24)


class TaskInHand:
    """One call under way. A synchronous call has a row only once somebody needs the reference."""

    def __init__(
        self, tasks: Tasks, name: str, session: str, *, kept: bool = False, description: str = "", parent: str = NULL
    ) -> None:
        self._tasks = tasks
        self._name = name
        self._description = description
        self._session = session
        self._kept = kept
        self._parent = parent
        self._ref: Ref[TaskRow] | None = None
        self._stop: Event | None = None  # made when somebody waits for it; most calls are over before
        self._stopped = False
        self.result = ""

    @property
    def ref(self) -> Ref[TaskRow]:
        """The task's reference; the row is made when it is first asked for, below the parent if there is one."""
        if self._ref is None:
            self._ref = self._tasks.make_row(
                self._name, self._description, self._session, kept=self._kept, subtask_of=self._parent
            )
            self._tasks.in_hand[self._ref] = self
        return self._ref

    def adopt(self, ref: Ref[TaskRow]) -> None:
        """Tell of this call in a task that a client has made."""
        self._ref = ref
        self._kept = True
        self._tasks.in_hand[ref] = self

    @property
    def cancelled(self) -> bool:
        """Say whether somebody wants the call to stop."""
        return self._stopped

    def cancel(self) -> None:
        """Ask the call to stop at its next step."""
        with self._tasks.lock:
            self._stopped = True
            if self._stop is not None:
                self._stop.set()

    def check(self) -> None:
        """Stop here if somebody wants that; TASK_CANCELLED."""
        if self._stopped:
            raise TASK_CANCELLED(self.ref)

    def pause(self, seconds: float) -> None:
        """Wait a little, or less if somebody wants the call to stop."""
        with self._tasks.lock:
            if self._stop is None:
                self._stop = Event()
                if self._stopped:
                    self._stop.set()
        self._stop.wait(seconds)

    def progress(self, share: float) -> None:
        """Tell how far the call has come, from 0.0 to 1.0."""
        if self._ref is not None:
            self._tasks.note_progress(self._ref, share)

    def succeed(self, result: str = "") -> None:
        """The call was done; `result` is XML text."""
        self._end(TaskStatusType.SUCCESS, result, ())

    def fail(self, failure: Failure) -> None:
        """The call could not be done, or was cancelled."""
        cancelled = failure.code == TASK_CANCELLED.code
        self._end(TaskStatusType.CANCELLED if cancelled else TaskStatusType.FAILURE, "", failure.description)

    def step(self, name: str) -> TaskInHand:
        """A part of this call under a reference of its own, for what is not to be told of under the call's."""
        return Step(self._tasks, name, self._session, self)

    def _end(self, status: TaskStatusType, result: str, error: Sequence[str]) -> None:
        if self._ref is None:
            return
        self._tasks.in_hand.pop(self._ref, None)
        if self._kept:
            self._tasks.end(self._ref, status, result, error)
        else:
            self._tasks.drop(self._ref)


class Step(TaskInHand):
    """A part of a call; who stops the call stops the part. Its row goes when it ends."""

    def __init__(self, tasks: Tasks, name: str, session: str, whole: TaskInHand) -> None:
        super().__init__(tasks, name, session, parent=whole.ref)
        self._whole = whole

    @property
    def cancelled(self) -> bool:
        """Say whether somebody wants the part, or the whole, to stop."""
        return self._stopped or self._whole.cancelled

    def check(self) -> None:
        """Stop here if somebody wants that; TASK_CANCELLED."""
        self._whole.check()
        super().check()

    def pause(self, seconds: float) -> None:
        """Wait a little, or less if somebody wants the call to stop."""
        self._whole.pause(seconds)


class Tasks:
    """The tasks of this toolstack: rows for clients, and the calls behind them."""

    def __init__(self, database: Database, clock: Clock, this_host: Ref[Host]) -> None:
        self._database = database
        self._clock = clock
        self._this_host = this_host
        self.lock = Lock()  # of what the calls under way share with those who cancel them
        self.in_hand: dict[str, TaskInHand] = {}

    def make_row(
        self, name: str, description: str, session: str, *, kept: bool, subtask_of: str = NULL
    ) -> Ref[TaskRow]:
        """Make a pending task."""
        with self._database.transaction() as transaction:
            return transaction.create(
                TaskRow,
                kept=kept,
                name_label=name,
                name_description=description,
                created=self._clock.now(),
                status=TaskStatusType.PENDING,
                session=session,
                resident_on=self._this_host,
                type=NO_TYPE,
                subtask_of=subtask_of,
                allowed_operations=(TaskAllowedOperations.CANCEL, TaskAllowedOperations.DESTROY),
            )

    def note_progress(self, ref: str, share: float) -> None:
        """Set the progress of a pending task."""
        with self._database.transaction() as transaction:
            row = transaction.find(TaskRow, ref)
            if row is not None and row.status not in FINISHED:
                transaction.update(TaskRow, ref, progress=min(max(share, 0.0), 1.0))

    def end(self, ref: str, status: TaskStatusType, result: str, error: Sequence[str]) -> None:
        """Finish a task; one that was destroyed meanwhile stays gone."""
        with self._database.transaction() as transaction:
            if transaction.find(TaskRow, ref) is not None:
                transaction.update(
                    TaskRow,
                    ref,
                    status=status,
                    result=result,
                    error_info=tuple(error),
                    progress=1.0,
                    finished=self._clock.now(),
                    allowed_operations=(),
                    current_operations={},
                )

    def drop(self, ref: str) -> None:
        """Remove the row of a synchronous call that has ended."""
        with self._database.transaction() as transaction:
            if transaction.find(TaskRow, ref) is not None:
                transaction.delete(TaskRow, ref)

    def reap(self) -> None:
        """Remove the tasks that ended more than a day ago."""
        oldest = self._clock.now() - KEPT_FOR
        for row in self._database.all(TaskRow):
            if row.status in FINISHED and row.finished < oldest:
                self.drop(row.ref)
