"""How often each logical volume of an SR is needed on this host, in the files that XenServer's tools look into.

A file `DIRECTORY/lvm-<SR>/<disk>` holds two numbers: how many attached disks need the volume as an ancestor, and 1
if the disk itself is attached. A volume that nobody needs has no file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from xapi.storage.file.directory import is_uuid

PREFIX = "lvm-"


class Count(NamedTuple):
    """Uses of a volume: as an ancestor of others, and (0 or 1) by itself."""

    inner: int
    own: int


def namespace(sr_uuid: str) -> str:
    """Return the name of an SR's directory of counts, which is that of its locks too."""
    return PREFIX + sr_uuid


class RefCounts:
    """The counts of one SR."""

    def __init__(self, directory: Path, sr_uuid: str) -> None:
        self._directory = directory / namespace(sr_uuid)
        self._known: dict[str, Count] = {}
        self.clear()

    def clear(self) -> None:
        """Forget what an earlier toolstack has counted: attachments are made anew."""
        self._known = {}
        with suppress(FileNotFoundError):
            for name in filter(is_uuid, os.listdir(self._directory)):
                os.unlink(self._directory / name)
            os.rmdir(self._directory)

    def write(self, counts: Mapping[str, Count]) -> None:
        """Note the counts of all volumes that are needed now."""
        for uuid in self._known.keys() - counts.keys():
            with suppress(FileNotFoundError):
                os.unlink(self._directory / uuid)
        for uuid, count in counts.items():
            if self._known.get(uuid) != count:
                self._directory.mkdir(parents=True, exist_ok=True)
                (self._directory / uuid).write_text(f"{count.inner} {count.own}\n")
        self._known = dict(counts)
