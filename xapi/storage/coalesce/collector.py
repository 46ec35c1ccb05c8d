"""Collecting one SR: plan, do the first step, look again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from xapi.storage.coalesce.interface import Busy, Chains, GoOn, Outcome, Stopped
from xapi.storage.coalesce.plan import MergeInner, MergeLeaf, Remove, Step, Wishes, next_step
from xapi.storage.errors import SrUnavailable, StorageFailure

LOG = logging.getLogger("xapi.storage.coalesce")
MOST_TURNS = 5
"""How often one step is tried when disks change under it: a guest that writes faster than we copy wins."""


@dataclass
class Collected:
    """What a run has done. `stopped` is True if there may be more to do that nobody hindered."""

    done: list[Step] = field(default_factory=list)
    failed: dict[Step, StorageFailure] = field(default_factory=dict)
    skipped: set[Step] = field(default_factory=set)
    stopped: bool = False


def always() -> bool:
    """Go on."""
    return True


def collect(chains: Chains, wishes: Wishes, go_on: GoOn = always, put_off: Iterable[Step] = ()) -> Collected:
    """Do everything that there is to do but for `put_off`; what fails is left out and told, SrUnavailable ends the run.

    The answer's `skipped` holds what was put off before and what is now.
    """
    found = Collected(skipped=set(put_off))
    turns: Counter[Step] = Counter()
    while True:
        if not go_on():
            found.stopped = True
            return found
        step = next_step(chains.images(), wishes, frozenset(found.skipped))
        if step is None:
            return found
        turns[step] += 1
        if turns[step] > MOST_TURNS:
            found.skipped.add(step)
            continue
        try:
            if _do(chains, step, go_on) is Outcome.DONE:
                LOG.info("%s is done", step)
                found.done.append(step)
        except Stopped:
            found.stopped = True
            return found
        except Busy as reason:
            LOG.info("%s is put off: %s", step, reason)
            found.skipped.add(step)
        except SrUnavailable:
            raise
        except StorageFailure as failure:
            LOG.warning("%s failed: %s", step, failure)
            found.skipped.add(step)
            found.failed[step] = failure


def _do(chains: Chains, step: Step, go_on: GoOn) -> Outcome:
    match step:
        case Remove():
            return chains.remove(step)
        case MergeInner():
            return chains.merge_inner(step, go_on)
        case MergeLeaf():
            return chains.merge_leaf(step)
