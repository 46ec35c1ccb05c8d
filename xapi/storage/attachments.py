"""Who holds which disk of an SR: any number of readers, or one writer, or as many writers as a sharable disk has."""

from __future__ import annotations

import threading

from xapi.storage.errors import VdiInUse


class Attachments:
    """A count of the readers and writers of each disk; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, list[bool]] = {}

    def take(self, location: str, read_only: bool, sharable: bool, operation: str) -> None:
        """Note one holder more; VdiInUse, naming the operation, where others rule it out."""
        with self._lock:
            holders = self._held.get(location, [])
            if not sharable and holders and not (read_only and all(holders)):
                raise VdiInUse(location, operation)
            self._held[location] = [*holders, read_only]

    def release(self, location: str, read_only: bool | None = None) -> None:
        """Forget one holder, the last one that came in this mode (in any, if none is given); or nothing."""
        with self._lock:
            holders = self._held.get(location, [])
            for index in reversed(range(len(holders))):
                if read_only is None or holders[index] == read_only:
                    del holders[index]
                    break
            if not holders:
                self._held.pop(location, None)

    def check_free(self, location: str, operation: str) -> None:
        """Raise VdiInUse, naming the operation, if anybody holds the disk."""
        if location in self._held:
            raise VdiInUse(location, operation)

    def check_no_writer(self, location: str, operation: str) -> None:
        """Raise VdiInUse, naming the operation, if somebody writes to the disk."""
        if self.written(location):
            raise VdiInUse(location, operation)

    def written(self, location: str) -> bool:
        """Whether somebody holds the disk for writing."""
        with self._lock:
            return not all(self._held.get(location, []))

    def count(self, location: str) -> int:
        """How many hold the disk."""
        with self._lock:
            return len(self._held.get(location, []))

    def held(self) -> tuple[str, ...]:
        """The locations of all disks that are held."""
        with self._lock:
            return tuple(self._held)
