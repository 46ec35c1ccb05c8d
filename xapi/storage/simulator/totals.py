"""What the disks of a simulated SR have and take together, without a look at all of them each time."""

from __future__ import annotations

from collections.abc import Collection


class Totals:
    """Running sums in bytes: `virtual` of the disks' sizes, `used` of what their files take.

    A file may be written to behind our back while somebody has it. What was handed out is `unsure`, and has to be
    measured before `used` is believed. Not safe for several threads: the SR's lock is held.
    """

    def __init__(self) -> None:
        self.virtual = 0
        self.used = 0
        self._virtual: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self._unsure: set[str] = set()

    @property
    def unsure(self) -> frozenset[str]:
        """The disks whose files may take another amount than was last measured."""
        return frozenset(self._unsure)

    def put(self, location: str, virtual: int) -> None:
        """Note a disk, new or changed."""
        self.virtual += virtual - self._virtual.get(location, 0)
        self._virtual[location] = virtual

    def drop(self, location: str) -> None:
        """Forget a disk."""
        self.virtual -= self._virtual.pop(location, 0)
        self.used -= self._used.pop(location, 0)
        self._unsure.discard(location)

    def touch(self, location: str) -> None:
        """Note that somebody may write to a disk's file from now on."""
        self._unsure.add(location)

    def measured(self, location: str, used: int) -> None:
        """Note what a disk's file takes."""
        self.used += used - self._used.get(location, 0)
        self._used[location] = used

    def settle(self, held: Collection[str]) -> None:
        """Note that all unsure ones were measured, and that only those that are `held` may change again."""
        self._unsure.intersection_update(held)
