"""From what drivers raise to the errors that clients know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xapi.dispatch.context import Context


@contextmanager
def translated(ctx: Context) -> Iterator[None]:
    """Let a driver's error leave the block as the failure that the contract has for it."""
    yield
