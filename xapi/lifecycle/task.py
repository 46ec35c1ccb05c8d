"""What may be done with a task: it is cancelled while it is pending."""

from __future__ import annotations

from typing import Final

from xapi.datamodel.classes.task import Task, TaskStatusType
from xapi.datamodel.classes.task import TaskAllowedOperations as Op
from xapi.datamodel.errors import OPERATION_NOT_ALLOWED
from xapi.datamodel.failure import Failure
from xapi.lifecycle.view import View

LISTED: Final = (Op.CANCEL,)
UNFINISHED: Final = frozenset({TaskStatusType.PENDING, TaskStatusType.CANCELLING})


def why_not(_view: View, task: Task, operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the task may not be asked for the operation now, or None.

    The entries of a task's own current_operations stop nothing, so that `ignoring` changes nothing.
    """
    del ignoring
    if operation == Op.CANCEL and task.status not in UNFINISHED:
        return OPERATION_NOT_ALLOWED("The task has already ended.")
    return None


def allowed_operations(_view: View, task: Task) -> tuple[Op, ...]:
    """What the task may be asked for now."""
    return LISTED if task.status in UNFINISHED else ()
