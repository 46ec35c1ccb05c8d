"""Reading logical volumes that are not active, from where they lie on the physical devices.

For tools that only look: nothing is activated, so that nobody is hindered who wants to deactivate or remove a volume.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xapi.storage.lvm.commands import REPORT
from xapi.storage.lvm.group import Runner, ask, run_lvm
from xapi.storage.lvm.volumes import LVM_GROUP_MISSING, _bytes, _rows
from xapi.storage.vhd.errors import ReadOnly
from xapi.storage.vhd.file import Bytes, RandomAccessFile, RealFile
from xapi.storage.vhd.scan import Volume

SEGMENT_FIELDS = "lv_name,lv_size,segtype,seg_start,seg_size,seg_pe_ranges,vg_extent_size"
RANGE = re.compile(r"(/[^:]+):([0-9]+)-([0-9]+)")


def list_segments(group: str) -> list[str]:
    """Report where the volumes of a group lie."""
    return ["lvs", "--segments", *REPORT, SEGMENT_FIELDS, "--", group]


def list_starts() -> list[str]:
    """Report where the first extent of each physical device is."""
    return ["pvs", *REPORT, "pv_name,pe_start"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of a volume that lies in one piece: its start in the volume, its length, its device and place there."""

    start: int
    length: int
    device: str
    place: int


class ScatteredFile:
    """A volume that is read piece by piece (a RandomAccessFile); nothing can be written."""

    def __init__(self, path: str, pieces: Sequence[Piece]) -> None:
        self._path = path
        self._pieces = sorted(pieces, key=lambda piece: piece.start)
        self._files: dict[str, RealFile] = {}

    @property
    def path(self) -> str:
        """The name of the volume's device, which may not be there."""
        return self._path

    @property
    def fixed_size(self) -> bool:
        """True."""
        return True

    def size(self) -> int:
        """Return the size of the volume."""
        return max((piece.start + piece.length for piece in self._pieces), default=0)

    def _file(self, device: str) -> RealFile:
        if device not in self._files:
            file = self._files[device] = RealFile.open(device)
            # Whoever writes to an active volume does not go through the pages that are kept of the device below it.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return self._files[device]

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end of the volume."""
        parts = []
        for piece in self._pieces:
            begin, end = max(offset, piece.start), min(offset + length, piece.start + piece.length)
            if begin < end:
                parts.append(self._file(piece.device).pread(end - begin, piece.place + begin - piece.start))
        return b"".join(parts)

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`."""
        data = self.pread(len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

    def pwrite(self, data: Bytes, offset: int) -> None:
        """Refuse."""
        raise ReadOnly(self._path, "a volume that is not active is only looked at")

    def pwritev(self, buffers: Sequence[Bytes], offset: int) -> None:
        """Refuse."""
        self.pwrite(b"", offset)

    def truncate(self, length: int) -> None:
        """Refuse."""
        self.pwrite(b"", length)

    def flush(self) -> None:
        """Do nothing: nothing was written."""

    def data_runs(self, offset: int, length: int) -> Iterator[tuple[int, int, bool]]:
        """Yield the whole range as data."""
        if length:
            yield offset, length, True

    def close(self) -> None:
        """Close the devices."""
        for file in self._files.values():
            file.close()
        self._files.clear()


class VolumesAtRest:
    """The volumes of a group as LVM tells of them; StorageFailure where it does not."""

    def __init__(self, group: str, runner: Runner = run_lvm, devices: str = "/dev") -> None:
        starts = _rows(ask(runner, list_starts(), LVM_GROUP_MISSING).text, "pv")
        rows = _rows(ask(runner, list_segments(group), LVM_GROUP_MISSING).text, "seg")
        first = {row["pv_name"]: _bytes(row["pe_start"]) for row in starts}
        self._pieces: dict[str, list[Piece]] = {}
        sizes = {}
        for row in rows:
            path = os.path.join(devices, group, row["lv_name"])
            sizes[row["lv_name"]] = _bytes(row["lv_size"])
            self._pieces.setdefault(path, []).extend(_pieces(row, first))
        self.volumes = [Volume(name, os.path.join(devices, group, name), sizes[name]) for name in sorted(sizes)]

    def open(self, path: str, writable: bool = False) -> RandomAccessFile:
        """Open a volume for reading: its device, or where that is not there, what it is made of."""
        if os.path.exists(path):
            return RealFile.open(path)
        if not self._pieces.get(path):
            raise FileNotFoundError(path)
        return ScatteredFile(path, self._pieces[path])


def _pieces(row: dict[str, str], first: dict[str, int]) -> list[Piece]:
    """Return where a segment lies; nothing for one that is not laid out one extent after the other."""
    extent, start = _bytes(row["vg_extent_size"]), _bytes(row["seg_start"])
    match = RANGE.fullmatch(row["seg_pe_ranges"])
    if row["segtype"] != "linear" or match is None or match[1] not in first:
        return []
    return [Piece(start, _bytes(row["seg_size"]), match[1], first[match[1]] + int(match[2]) * extent)]
