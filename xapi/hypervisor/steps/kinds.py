"""What steps have in common: that some cannot be undone, and how they name where bytes are."""

from __future__ import annotations

from xapi.hypervisor.interface import DiskSource, EmptyDrive, FileBackend, NbdBackend, Volume

ImagePlace = Volume | FileBackend


class Final:
    """A step that cannot be undone."""

    __slots__ = ()

    def reverse(self) -> None:
        """Nothing undoes it."""


def place(source: DiskSource) -> str:
    """Where a disk's or an image's bytes are, in short."""
    match source:
        case Volume(key):
            return f"volume {key}"
        case FileBackend(path):
            return path
        case NbdBackend(socket, export):
            return f"nbd {socket}:{export}"
        case EmptyDrive():
            return "empty"
