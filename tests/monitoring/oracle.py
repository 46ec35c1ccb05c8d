"""rrdtool itself, as the judge of our archives; its Python module lacks `restore`, which the library has."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path

import rrdtool

from xapi.monitoring.archive import RESOLUTIONS, STEP, Archive
from xapi.monitoring.source import Source

_LIBRARY = ctypes.CDLL(ctypes.util.find_library("rrd") or "librrd.so.8")
_LIBRARY.rrd_get_error.restype = ctypes.c_char_p


def restore(document: bytes, path: Path) -> None:
    """`rrdtool restore`; RuntimeError with its words."""
    xml = path.with_suffix(".xml")
    xml.write_bytes(document)
    words = [b"restore", b"--force-overwrite", bytes(xml), bytes(path)]
    arguments = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    _LIBRARY.rrd_clear_error()
    if _LIBRARY.rrd_restore(len(words), arguments):
        raise RuntimeError(_LIBRARY.rrd_get_error().decode())


def create(path: Path, sources: Sequence[Source], start: int, consolidations: Iterable[str]) -> None:
    """An empty file with the same tables as an archive of ours."""
    definitions = [
        f"DS:{one.name}:{one.kind.replace('DERIVE', 'DDERIVE')}:300:{_bound(one.low)}:{_bound(one.high)}"
        for one in sources
    ]
    tables = [
        f"RRA:{kind}:0.5:{points}:{rows}"
        for points, rows in RESOLUTIONS
        for kind in consolidations
        if points > 1 or kind == "AVERAGE"
    ]
    rrdtool.create(str(path), "--step", str(STEP), "--start", str(start), *definitions, *tables)


def _bound(value: float) -> str:
    return "U" if abs(value) == float("inf") else repr(value)


def update(path: Path, time: int, values: Iterable[float]) -> None:
    rrdtool.update(str(path), ":".join((str(time), *("U" if v != v else repr(v) for v in values))))


def rows(path: Path, kind: str, points: int, last: int) -> dict[int, list[float]]:
    """A whole table by the time of its rows."""
    step = points * STEP
    capacity = dict(RESOLUTIONS)[points]
    end = last // step * step
    (start, _, found_step), _, data = rrdtool.fetch(
        str(path), kind, "-r", str(step), "-s", str(end - (capacity - 1) * step), "-e", str(end)
    )
    assert found_step == step
    return {
        start + (number + 1) * step: [nan if value is None else value for value in row]
        for number, row in enumerate(data)
        if start + (number + 1) * step <= end
    }


def our_rows(archive: Archive, kind: str, points: int) -> dict[int, list[float]]:
    step = points * STEP
    end = int(archive.last_update // step) * step
    ring = next(ring for name, ring in archive.rings(points).items() if name == kind)
    return {end - age * step: list(ring.row(age)) for age in range(ring.capacity)}
