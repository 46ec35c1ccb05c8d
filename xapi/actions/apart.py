"""Calling one message from within another, in the same session."""

from __future__ import annotations

from concurrent.futures import Future, wait
from typing import Final

from xapi.datamodel.failure import Failure
from xapi.dispatch.context import Context
from xapi.dispatch.perform import guarded, run_message
from xapi.dispatch.tasks import TaskInHand
from xapi.rpc.call import Done, Outcome, Refused, Waiting

LOOK_SECONDS: Final = 0.5  # how soon something done apart hears that the call that wanted it was cancelled


class Apart:
    """A message that is done beside the call under way, in a task of its own."""

    def __init__(self, ctx: Context, wire_name: str, *params: object) -> None:
        self._parent = ctx.task
        self._task = TaskInHand(ctx.toolstack.tasks, wire_name, ctx.session.ref)
        self._context = Context(ctx.toolstack, ctx.session, self._task, ctx.form, ctx.peer, ctx.call)
        self._future: Future[Outcome | Waiting] = ctx.toolstack.workers.submit(self._run, wire_name, params)

    def _run(self, wire_name: str, params: tuple[object, ...]) -> Outcome | Waiting:
        def work() -> Outcome:
            run_message(self._context, wire_name, *params)
            return Done(())

        try:
            return guarded(wire_name, work)
        finally:
            self._task.succeed()

    def failure(self) -> Failure | None:
        """Wait for the end, and hand a cancellation on meanwhile; answers what refused the message, or None."""
        while not wait((self._future,), LOOK_SECONDS).done:
            if self._parent.cancelled:
                self._task.cancel()
        outcome = self._future.result()
        if isinstance(outcome, Refused):
            code, *rest = outcome.description
            return Failure(code, *rest)
        return None
