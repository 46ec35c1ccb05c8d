"""What a driver offers to the collector of chains."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from xapi.storage.coalesce.plan import Image, MergeInner, MergeLeaf, Remove
from xapi.storage.interface import AttachedSr

GoOn = Callable[[], bool]
"""Asked between two pieces of work, while no lock is held; it may wait a little, and False means stop here."""


class Stopped(Exception):
    """Somebody wanted the work to stop; what is done is good, and the rest can be done later."""


class Busy(Exception):
    """A disk is used in a way that rules a step out for now."""


class Outcome(enum.Enum):
    """How a step ended."""

    DONE = "done"
    LOOK_AGAIN = "look again"
    """Either the disks have changed meanwhile, or the step has first made two steps out of one."""


class Chains(Protocol):
    """The chains of an attached SR. Disks that are in use are paused for moments only.

    Each method takes the SR's lock for short times and may be called while disks are made, split and removed.
    """

    def images(self) -> tuple[Image, ...]:
        """Return everything that is there now, after finishing what was cut short; empty if nothing may be touched."""

    def remove(self, step: Remove) -> Outcome:
        """Remove a hidden image that nothing depends on."""

    def merge_inner(self, step: MergeInner, go_on: GoOn) -> Outcome:
        """Merge a hidden image into its parent; Stopped, Busy, and any failure of storage."""

    def merge_leaf(self, step: MergeLeaf) -> Outcome:
        """Merge a disk with its parent; a disk with much data is split first, so that most is done while it runs."""


@runtime_checkable
class Collectable(AttachedSr, Protocol):
    """An attached SR whose chains can be collected."""

    def chains(self) -> Chains:
        """Return the SR's chains."""
