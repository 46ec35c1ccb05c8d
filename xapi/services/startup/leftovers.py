"""What the toolstack's last run left unfinished, told to clients as it is."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.classes import Host, Task
from xapi.datamodel.classes.task import TaskAllowedOperations, TaskStatusType
from xapi.datamodel.errors import INTERNAL_ERROR
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction

UNFINISHED = frozenset({TaskStatusType.PENDING, TaskStatusType.CANCELLING})
RESTARTED = "The toolstack was restarted before this task had finished."


def fail_unfinished_tasks(transaction: Transaction, this_host: Ref[Host], now: datetime) -> int:
    """Fail this host's tasks that nobody works on any more; answers how many there were.

    The sessions in which they were started are gone as well.
    """
    unfinished = [
        task for task in transaction.all(Task) if task.status in UNFINISHED and task.resident_on in (this_host, NULL)
    ]
    for task in unfinished:
        transaction.update(
            Task,
            task.ref,
            status=TaskStatusType.FAILURE,
            error_info=tuple(INTERNAL_ERROR(RESTARTED).description),
            finished=now,
            session=NULL,
            allowed_operations=(TaskAllowedOperations.DESTROY,),
            current_operations={},
        )
    return len(unfinished)
