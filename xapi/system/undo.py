"""What is taken back when the rest of a piece of work fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec

P = ParamSpec("P")


@contextmanager
def on_failure(undo: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Iterator[None]:
    """If the block is left by an exception, of whatever kind, call `undo` before it goes on its way."""
    with ExitStack() as stack:
        stack.callback(undo, *args, **kwargs)
        yield
        stack.pop_all()
