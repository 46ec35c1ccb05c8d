"""Tasks that clients make, watch, cancel and remove (XenAPI's class task)."""

from __future__ import annotations

from collections.abc import Mapping

from xapi.datamodel.classes import Task
from xapi.datamodel.classes import task as api
from xapi.datamodel.classes.task import TaskAllowedOperations, TaskStatusType
from xapi.datamodel.errors import MAP_DUPLICATE_KEY, OPERATION_NOT_ALLOWED, PERMISSION_DENIED
from xapi.datamodel.model import NULL, Ref
from xapi.datamodel.roles import POOL_OPERATOR, allowed_roles
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.tasks import FINISHED


@implements(api.create)
def create(ctx: Context, label: str, description: str) -> Ref[Task]:
    """Make a pending task that the client itself will finish, or that tells of a transfer over HTTP."""
    parent = ctx.call.task if ctx.call is not None else ""
    return ctx.toolstack.tasks.make_row(label, description, ctx.session.ref, kept=True, subtask_of=parent or NULL)


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[Task]) -> None:
    """Remove a task; a call that is still behind it goes on."""
    _assert_own(ctx, self)
    with ctx.transaction() as transaction:
        transaction.delete(Task, self)


@implements(api.cancel)
def cancel(ctx: Context, task: Ref[Task]) -> None:
    """Ask the call behind a task to stop; one that cannot be cancelled any more says so."""
    row = ctx.db.get(Task, task)
    _assert_own(ctx, task)
    if row.status in FINISHED:
        return
    if TaskAllowedOperations.CANCEL not in row.allowed_operations:
        raise OPERATION_NOT_ALLOWED("the task cannot be cancelled")
    this = ctx.task.ref
    with ctx.transaction() as transaction:
        operations = {**transaction.get(Task, task).current_operations, this: TaskAllowedOperations.CANCEL}
        transaction.update(Task, task, current_operations=operations)
    in_hand = ctx.toolstack.tasks.in_hand.get(task)
    if in_hand is not None:
        in_hand.cancel()


def _assert_own(ctx: Context, task: Ref[Task]) -> None:
    """Let only the task's own user, or somebody who may end anybody's tasks, go on."""
    row = ctx.db.get(Task, task)
    if row.session != ctx.session.ref and not ctx.session.may(allowed_roles(POOL_OPERATOR)):
        raise PERMISSION_DENIED("the task belongs to another user")


@implements(api.set_status)
def set_status(ctx: Context, self: Ref[Task], value: TaskStatusType) -> None:
    """Say how a task stands."""
    with ctx.transaction() as transaction:
        ended = value in FINISHED
        transaction.update(
            Task,
            self,
            status=value,
            **({"finished": ctx.now(), "allowed_operations": ()} if ended else {}),
        )


@implements(api.set_progress)
def set_progress(ctx: Context, self: Ref[Task], value: float) -> None:
    """Say how far a task has come."""
    with ctx.transaction() as transaction:
        transaction.update(Task, self, progress=value)


@implements(api.set_result)
def set_result(ctx: Context, self: Ref[Task], value: str) -> None:
    """Say what came of a task."""
    with ctx.transaction() as transaction:
        transaction.update(Task, self, result=value)


@implements(api.set_error_info)
def set_error_info(ctx: Context, self: Ref[Task], value: tuple[str, ...]) -> None:
    """Say why a task failed."""
    with ctx.transaction() as transaction:
        transaction.update(Task, self, error_info=value)


@implements(api.add_to_other_config)
def add_to_other_config(ctx: Context, self: Ref[Task], key: str, value: str) -> None:
    """Add a key to the client's own notes."""
    with ctx.transaction() as transaction:
        present = transaction.get(Task, self).other_config
        if key in present:
            raise MAP_DUPLICATE_KEY(Task.wire_name, "other_config", self, key)
        transaction.update(Task, self, other_config={**present, key: value})


@implements(api.remove_from_other_config)
def remove_from_other_config(ctx: Context, self: Ref[Task], key: str) -> None:
    """Remove a key from the client's own notes."""
    with ctx.transaction() as transaction:
        present = transaction.get(Task, self).other_config
        rest = {name: value for name, value in present.items() if name != key}
        transaction.update(Task, self, other_config=rest)


@implements(api.set_other_config)
def set_other_config(ctx: Context, self: Ref[Task], value: Mapping[str, str]) -> None:
    """Replace the client's own notes."""
    with ctx.transaction() as transaction:
        transaction.update(Task, self, other_config=value)
