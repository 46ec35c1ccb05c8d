"""Looks into the running toolstack (XenAPI's class Diagnostics)."""

from __future__ import annotations

import gc
from collections.abc import Mapping

from xapi.datamodel.classes import Host
from xapi.datamodel.classes import diagnostics as api
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


@implements(api.gc_compact, runs_on="host")
def gc_compact(ctx: Context, host: Ref[Host]) -> None:
    """Let the toolstack give up all memory that nothing refers to."""
    gc.collect()


@implements(api.gc_stats, runs_on="host")
def gc_stats(ctx: Context, host: Ref[Host]) -> Mapping[str, str]:
    """How often each generation of the toolstack's garbage was collected, and how much came of it."""
    figures = {
        f"generation_{number}_{name}": str(value)
        for number, generation in enumerate(gc.get_stats())
        for name, value in generation.items()
    }
    return figures | {f"generation_{number}_objects": str(count) for number, count in enumerate(gc.get_count())}
