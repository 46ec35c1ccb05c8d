"""XenAPI's class task."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.errors import OPERATION_NOT_ALLOWED
from xapi.datamodel.model import NULL, DynamicRO, Entity, Map, Ref, SetOf, field, identity, many, message
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY, VM_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.session import Session


class TaskAllowedOperations(WireEnum):
    """What can be done to a task: cancel or destroy it."""

    CANCEL = "cancel"
    DESTROY = "destroy"


class TaskStatusType(WireEnum):
    """How far a task has come: running, succeeded, failed, being cancelled or cancelled."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class Task(Entity, name="task", role=POOL_OPERATOR, persistent=False):
    """A long-running operation whose progress and result clients can follow, also started by Async calls."""

    uuid: DynamicRO[str] = identity()
    name_label: DynamicRO[str] = field(
        "name of the operation, for an Async call usually the name of the method", default="", group="name"
    )
    name_description: DynamicRO[str] = field("further detail on what the task is doing", default="", group="name")
    allowed_operations: DynamicRO[SetOf[TaskAllowedOperations]] = field(
        "what may be done to the task right now", default=(), persistent=False
    )
    current_operations: DynamicRO[Map[str, TaskAllowedOperations]] = field(
        "operations on the task in progress, keyed by the task that runs each of them", default={}, persistent=False
    )
    created: DynamicRO[datetime] = field("when the task was started")
    finished: DynamicRO[datetime] = field(
        "when the task succeeded, failed or was cancelled; means nothing while it is pending"
    )
    status: DynamicRO[TaskStatusType] = field("whether the task is still running and how it ended")
    session: DynamicRO[Ref[Session]] = field("session in which the task was started", internal=True)
    resident_on: DynamicRO[Ref[Host]] = field("host on which the task runs")
    progress: DynamicRO[float] = field("estimated share of the work done, from 0.0 to 1.0")
    externalpid: DynamicRO[int] = field(
        "process id of a helper program that works for the task, 0 for none", internal=True
    )
    stunnelpid: DynamicRO[int] = field(
        "process id of the TLS tunnel that carried the task's forwarded call, 0 for none",
        since="published rio, deprecated boston",
        internal=True,
    )
    forwarded: DynamicRO[bool] = field("true if the call has been passed on to another host", internal=True)
    forwarded_to: DynamicRO[Ref[Host]] = field("host the call has been passed on to", internal=True)
    type: DynamicRO[str] = field("type of the result, meaningful once the task has succeeded")
    result: DynamicRO[str] = field("encoded return value (or reference) of a task that succeeded; empty otherwise")
    error_info: DynamicRO[SetOf[str]] = field(
        "error code followed by its parameters if the task failed; empty otherwise"
    )
    other_config: DynamicRO[Map[str, str]] = field(
        "free key/value pairs kept for clients",
        default={},
        since="miami",
        map_keys={"applies_to": VM_OPERATOR, "XenCenterUUID": VM_OPERATOR, "XenCenterMeddlingActionTitle": VM_OPERATOR},
    )
    subtask_of: DynamicRO[Ref[Task]] = field(
        "task on whose behalf this one was started, null for none", default=NULL, since="orlando"
    )
    subtasks: DynamicRO[SetOf[Ref[Task]]] = many(
        "task.subtask_of", "tasks started on behalf of this one", since="orlando"
    )
    backtrace: DynamicRO[str] = field(
        "internal trace of where a failed task went wrong, for debugging", default="()", since="dundee"
    )


@message(Task, role=READ_ONLY, asynchronous=False)
def create(label: str, description: str) -> Ref[Task]:
    """Create a task that the client itself will update and must later destroy."""


@message(Task, role=READ_ONLY, asynchronous=False)
def destroy(self: Ref[Task]) -> None:
    """Delete the record of a task.

    Work that is still running is not stopped by this.
    """


@message(Task, role=READ_ONLY, errors=(OPERATION_NOT_ALLOWED,))
def cancel(task: Ref[Task]) -> None:
    """Ask a running task to stop.

    It ends as cancelled only when it reaches a point where it can stop safely; a task not open to it is refused.
    """


@message(Task, role=READ_ONLY, since="falcon", asynchronous=False)
def set_status(self: Ref[Task], value: TaskStatusType) -> None:
    """Set the status of a task, normally one the client created itself."""


@message(Task, role=READ_ONLY, since="stockholm", asynchronous=False)
def set_progress(self: Ref[Task], value: float) -> None:
    """Set the progress of a task, from 0.0 to 1.0."""


@message(Task, role=READ_ONLY, since="21.3.0", asynchronous=False)
def set_result(self: Ref[Task], value: str) -> None:
    """Set the result of a task, normally one the client created itself."""


@message(Task, role=READ_ONLY, since="21.3.0", asynchronous=False)
def set_error_info(self: Ref[Task], value: SetOf[str]) -> None:
    """Set the error code and parameters of a task, normally one the client created itself."""


@message(
    Task,
    role=READ_ONLY,
    since="prototyped 25.8.0",
    map_keys={"applies_to": VM_OPERATOR, "XenCenterUUID": VM_OPERATOR, "XenCenterMeddlingActionTitle": VM_OPERATOR},
)
def add_to_other_config(self: Ref[Task], key: str, value: str) -> None:
    """Add a key to the task's other_config map.

    A key that is already present is refused.
    """


@message(
    Task,
    role=READ_ONLY,
    since="prototyped 25.8.0",
    map_keys={"applies_to": VM_OPERATOR, "XenCenterUUID": VM_OPERATOR, "XenCenterMeddlingActionTitle": VM_OPERATOR},
)
def remove_from_other_config(self: Ref[Task], key: str) -> None:
    """Remove a key from the task's other_config map; an absent key is ignored."""


@message(Task, role=READ_ONLY, since="prototyped 25.8.0")
def set_other_config(self: Ref[Task], value: Map[str, str]) -> None:
    """Replace the task's whole other_config map."""
