"""Mounting file systems below a directory of the toolstack's own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from xapi.system.command import CommandFailed, run

HARDENED = ("nosuid", "nodev", "noexec")
"""Options that every mount of ours gets: an SR holds disks, nothing that this host should run or open as a device."""
MOUNT_TIMEOUT = 120.0
MOUNT_TABLE = "/proc/self/mountinfo"


class Mounter(Protocol):
    """Whatever mounts file systems. Errors are CommandFailed, whose text says why."""

    def mount(
        self, kind: str, source: str, target: str, options: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Mount `source` at the directory `target`, which is made if it is not there; secrets go in `environment`."""

    def unmount(self, target: str) -> None:
        """Unmount what is at `target` and remove the directory; does nothing where nothing is mounted."""

    def is_mounted(self, target: str) -> bool:
        """Whether something is mounted at `target`."""


class SystemMounter:
    """The system's own mount and umount."""

    def mount(
        self, kind: str, source: str, target: str, options: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Run mount, with the options and the hardening ones."""
        os.makedirs(target, mode=0o700, exist_ok=True)
        try:
            run(mount_command(kind, source, target, options), timeout=MOUNT_TIMEOUT, environment=environment)
        except CommandFailed:
            with suppress(OSError):
                os.rmdir(target)
            raise

    def unmount(self, target: str) -> None:
        """Run umount."""
        if self.is_mounted(target):
            run(["umount", "--", target], timeout=MOUNT_TIMEOUT)
        with suppress(FileNotFoundError):
            os.rmdir(target)

    def is_mounted(self, target: str) -> bool:
        """Look into the kernel's table, which does not hang when a server has gone."""
        wanted = os.path.abspath(target)
        return any(entry.target == wanted for entry in mount_table())


def mount_command(kind: str, source: str, target: str, options: Sequence[str]) -> list[str]:
    """Return the command that mounts a file system."""
    return ["mount", "-t", kind, "-o", ",".join((*HARDENED, *options)), "--", source, target]


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of the kernel's table: where, what kind, from what, and the device's numbers as major:minor."""

    target: str
    kind: str
    source: str
    device: str


def parse_mount_table(text: str) -> list[Mounted]:
    """Return the entries of a mountinfo table."""
    entries = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, rest = left.split(), right.split()
        if separator and len(fields) >= 5 and len(rest) >= 2:
            entries.append(Mounted(_unescaped(fields[4]), rest[0], _unescaped(rest[1]), fields[2]))
    return entries


def mount_table() -> list[Mounted]:
    """Return what is mounted now."""
    with open(MOUNT_TABLE, encoding="utf-8", errors="surrogateescape") as table:
        return parse_mount_table(table.read())


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
