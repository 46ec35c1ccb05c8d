"""The directory of an SR: which names in it count, and how they are opened.

Nothing in the directory is believed: names count only if they are made of a UUID and a known ending, links are not
followed, and what is no regular file is not opened. A parent that a VHD names is looked for here and nowhere else.
"""

from __future__ import annotations

import os
import re
import stat

from xapi.storage.errors import SrUnavailable
from xapi.storage.vhd.file import RealFile

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
IMAGE_NAME = re.compile(rf"({UUID.pattern})\.(vhd|raw)")
RECORD_NAME = re.compile(rf"({UUID.pattern})\.json")
LOG_NAME = re.compile(rf"({UUID.pattern})\.cbtlog")
FORK_NAME = re.compile(rf"\.fork-({UUID.pattern})\.json")
RESIZE_NAME = re.compile(rf"\.resize-({UUID.pattern})\.journal")
TEMPORARY_NAME = re.compile(
    rf"\.new-{UUID.pattern}\.(vhd|raw)|\.{UUID.pattern}\.(json|cbtlog)\.\w+"
    rf"|\.\.((fork|coalesce)-{UUID.pattern}|xapi-sr)\.json\.\w+"
)
SETTINGS_NAME = ".xapi-sr.json"
LOCK_NAME = ".xapi-sr.lock"
LONGEST_RECORD = 1 << 20


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in the one spelling that names have."""
    return UUID.fullmatch(text) is not None


class Directory:
    """A directory that holds the disks of one SR. Errors of the system pass through, untranslated."""

    def __init__(self, path: str, sr_uuid: str) -> None:
        self.path = os.path.realpath(path)
        self.sr_uuid = sr_uuid
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            raise SrUnavailable(f"SR {sr_uuid}: there is no directory {path}") from None
        if not stat.S_ISDIR(found.st_mode):
            raise SrUnavailable(f"SR {sr_uuid}: {path} is not a directory")
        self._identity = (found.st_dev, found.st_ino)

    def check(self) -> None:
        """Raise SrUnavailable if another directory, or none, is where this one was: a mount has come or gone."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            raise SrUnavailable(f"SR {self.sr_uuid}: directory {self.path} has vanished") from None
        if (found.st_dev, found.st_ino) != self._identity:
            raise SrUnavailable(f"SR {self.sr_uuid}: something else is mounted at {self.path} now")

    def names(self) -> list[str]:
        """Return the names of everything in the directory."""
        return os.listdir(self.path)

    def image(self, uuid: str, format: str = "vhd") -> str:
        """Return the path of a disk's data."""
        return os.path.join(self.path, f"{uuid}.{format}")

    def temporary(self, uuid: str, format: str = "vhd") -> str:
        """Return the path under which a disk's data is made before it gets its own."""
        return os.path.join(self.path, f".new-{uuid}.{format}")

    def record(self, uuid: str) -> str:
        """Return the path of what is recorded of a disk beside its data."""
        return os.path.join(self.path, f"{uuid}.json")

    def log(self, uuid: str) -> str:
        """Return the path of a disk's record of changed blocks."""
        return os.path.join(self.path, f"{uuid}.cbtlog")

    def fork_journal(self, uuid: str) -> str:
        """Return the path of the journal of a snapshot or clone of a disk."""
        return os.path.join(self.path, f".fork-{uuid}.json")

    def resize_journal(self, uuid: str) -> str:
        """Return the path of the journal of a resize of a disk."""
        return os.path.join(self.path, f".resize-{uuid}.journal")

    @property
    def settings(self) -> str:
        """The path of what is recorded of the SR itself."""
        return os.path.join(self.path, SETTINGS_NAME)

    def open(self, path: str, writable: bool) -> RealFile:
        """Open a disk's data by its path (an Opener of the VHD package); FileNotFoundError for anything else."""
        parent, name = os.path.split(path)
        plain = name.removeprefix(".new-")
        if parent != self.path or not IMAGE_NAME.fullmatch(plain):
            raise FileNotFoundError(path)
        return self._open_regular(path, os.O_RDWR if writable else os.O_RDONLY)

    def _open_regular(self, path: str, mode: int) -> RealFile:
        # Without O_NONBLOCK the open of a FIFO would wait for somebody to write to it.
        descriptor = os.open(path, mode | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(path)
        return RealFile(descriptor, path)

    def read_small(self, path: str) -> bytes:
        """Return the content of a small file of ours; FileNotFoundError if it is none, empty if it is too long."""
        file = self._open_regular(path, os.O_RDONLY)
        try:
            data = file.pread(LONGEST_RECORD + 1, 0)
        finally:
            file.close()
        return data if len(data) <= LONGEST_RECORD else b""

    def remove(self, path: str) -> bool:
        """Remove a name, if it is there; return whether it was."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        return True

    def sync(self) -> None:
        """Make names that were given and taken durable."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def space(self) -> tuple[int, int]:
        """Return the size of the file system and what an ordinary user may still have of it, in bytes."""
        found = os.statvfs(self.path)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
