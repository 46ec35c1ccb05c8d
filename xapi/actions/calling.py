"""Calling one message from within another, in the same session and task."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.failure import Failure
from xapi.dispatch.context import Context
from xapi.dispatch.perform import run
from xapi.dispatch.tasks import TaskInHand


def call(ctx: Context, wire_name: str, *params: object) -> Any:
    """Do a message as part of the call under way; every parameter must be given, as Python values."""
    return run(ctx, CATALOG.methods[wire_name], list(params))


class Apart:
    """A message that is done beside the call under way, with a task of its own."""

    def __init__(self, ctx: Context, wire_name: str, *params: object) -> None:
        self._tasks = ctx.toolstack.tasks
        self.task = TaskInHand(self._tasks, wire_name, ctx.session.ref)
        self._context = Context(ctx.toolstack, ctx.session, self.task, ctx.form, ctx.peer, ctx.call)
        self._future: Future[Any] = ctx.toolstack.workers.submit(self._run, wire_name, params)

    def _run(self, wire_name: str, params: tuple[object, ...]) -> Any:
        try:
            return call(self._context, wire_name, *params)
        finally:
            self.task.succeed()

    def failure(self) -> Failure | None:
        """Wait for the end; what refused the message, or None. Other exceptions go on from here."""
        try:
            self._future.result()
        except Failure as failure:
            return failure
        return None
