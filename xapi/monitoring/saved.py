"""Archives as files: a compact binary form of their own, so that a thousand are written and read in seconds.

A file is gzip of a line that names the format, a line of JSON (sources and sizes) and one run of little-endian
doubles. What is lost with it is a history of measurements, so files are replaced at once but not synced.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import zlib
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

from xapi.monitoring.archive import Archive, Consolidation, Level
from xapi.monitoring.ring import Ring
from xapi.monitoring.source import Kind, Source

MAGIC = b"xapi-rrd 1"
LONGEST = 64 * 1024 * 1024
_NAME = re.compile(r"[0-9a-fA-F-]{1,64}")


class DamagedArchive(ValueError):
    """A file that is no archive, or not all of one."""


def pack(archive: Archive) -> bytes:
    """The archive as bytes."""
    header: dict[str, Any] = {
        "last_update": archive.last_update,
        "incarnation": archive.incarnation,
        "extremes": archive.extremes,
        "sources": [
            [each.name, each.description, each.units, each.kind, repr(each.low), repr(each.high), each.standard]
            for each in archive.sources
        ],
        "counts": [ring.count for ring in _rings(archive)],
    }
    numbers = array("d", (*archive.bases, *archive.partial, *archive.unknown))
    for level in archive.levels:
        numbers.extend((*level.sums, *level.known, *level.lows, *level.highs))
    for ring in _rings(archive):
        numbers.extend(ring.oldest_first())
    if sys.byteorder == "big":
        numbers.byteswap()
    return b"\n".join((MAGIC, json.dumps(header).encode(), numbers.tobytes()))


def unpack(data: bytes) -> Archive:
    """The archive that `pack` made bytes of; raises DamagedArchive."""
    try:
        magic, header_line, body = data.split(b"\n", 2)
        if magic != MAGIC:
            raise DamagedArchive("this is no archive")
        header = json.loads(header_line)
        sources = [
            Source(str(name), str(description), str(units), Kind(kind), float(low), float(high), bool(standard))
            for name, description, units, kind, low, high, standard in header["sources"]
        ]
        archive = Archive(sources, float(header["last_update"]), extremes=bool(header["extremes"]))
        archive.incarnation = int(header["incarnation"])
        numbers = array("d")
        numbers.frombytes(body)
        counts = [int(count) for count in header["counts"]]
        _fill(archive, numbers, counts)
    except (ValueError, TypeError, KeyError, OverflowError) as problem:
        raise DamagedArchive(str(problem)) from problem
    return archive


def _fill(archive: Archive, numbers: array[float], counts: list[int]) -> None:
    if sys.byteorder == "big":
        numbers.byteswap()
    width = len(archive.sources)
    rings = _rings(archive)
    expected = width * (3 + 4 * len(archive.levels) + sum(counts))
    if len(counts) != len(rings) or min(counts) < 0 or len(numbers) != expected:
        raise DamagedArchive("the archive is not as long as it says")
    position = 0

    def take(count: int) -> array[float]:
        nonlocal position
        position += count
        return numbers[position - count : position]

    archive.bases, archive.partial, archive.unknown = (take(width).tolist() for _ in range(3))
    for level in archive.levels:
        _restore_level(level, take(width), take(width), take(width), take(width))
    for ring, count in zip(rings, counts, strict=True):
        if width:
            ring.load(take(width * count))
    archive.render_again()


def _restore_level(
    level: Level, sums: array[float], known: array[float], lows: array[float], highs: array[float]
) -> None:
    level.sums = sums.tolist()
    level.known = [int(count) for count in known]
    level.lows = lows.tolist()
    level.highs = highs.tolist()


def _rings(archive: Archive) -> list[Ring]:
    rings = [archive.finest]
    for level in archive.levels:
        found = level.rings()
        rings += [found[kind] for kind in Consolidation if kind in found]
    return rings


class Folder:
    """A directory with one file for each owner, named by UUID."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, owner: str, data: bytes) -> None:
        """Keep the packed archive of an owner in place of an older one."""
        path = self._file(owner)
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(gzip.compress(data, compresslevel=1))
        os.replace(temporary, path)

    def load(self, owner: str) -> Archive | None:
        """The archive that was kept for an owner, or None; raises DamagedArchive."""
        try:
            with gzip.open(self._file(owner)) as file:
                data = file.read(LONGEST + 1)
        except FileNotFoundError:
            return None
        except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
            raise DamagedArchive(str(problem)) from problem
        if len(data) > LONGEST:
            raise DamagedArchive("the archive is too long")
        return unpack(data)

    def drop(self, owner: str) -> None:
        """Forget what was kept for an owner."""
        with suppress(FileNotFoundError):
            self._file(owner).unlink()

    def owners(self) -> frozenset[str]:
        """For whom something is kept."""
        if not self._path.is_dir():
            return frozenset()
        return frozenset(path.stem for path in self._path.glob("*.gz"))

    def _file(self, owner: str) -> Path:
        if not _NAME.fullmatch(owner):
            raise ValueError(f"{owner!r} is no UUID")
        return self._path / f"{owner}.gz"
