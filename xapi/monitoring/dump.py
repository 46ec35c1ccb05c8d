"""One archive as a document: rrdtool's dump format (version 0003), and the same in JSON; and an archive from parts.

The XML is what `rrdtool restore` reads, but for one thing: rrdtool refuses sources whose names have more than 19
characters, as some have that clients know ("memory_internal_free"). Whoever wants to restore asks for short names.
`last_ds` and `value` of a source, and the preparation of the rows under way,
mean what they mean to rrdtool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isinf, isnan, nan
from typing import Any, Final
from zlib import crc32

import orjson

from xapi.monitoring.archive import RESOLUTIONS, STEP, XFF, Archive, Consolidation
from xapi.monitoring.ring import Ring
from xapi.monitoring.source import Kind, Source

VERSION: Final = "0003"
LONGEST_NAME: Final = 19  # of a source, for rrdtool


def short_name(name: str) -> str:
    """A name that rrdtool takes: the same one, or its first ten characters and a checksum of it all."""
    return name if len(name) <= LONGEST_NAME else f"{name[:10]}_{crc32(name.encode()):08x}"


def number(value: float) -> str:
    """A number as rrdtool writes it; unbounded and unknown are both NaN there."""
    return f"{value:.10e}" if isfinite(value) else "NaN"


@dataclass(frozen=True, slots=True)
class Table:
    """One table of an archive, for a document."""

    consolidation: Consolidation
    points: int
    values: list[float]  # of the row under way, by source
    unknown: list[int]  # primary points of it that are unknown or have not been
    ring: Ring


def tables(archive: Archive) -> list[Table]:
    """Every table of the archive with the state of its row under way, the finest first."""
    width = len(archive.sources)
    found = [Table(Consolidation.AVERAGE, 1, [nan] * width, [0] * width, archive.finest)]
    for level in archive.levels:
        sums, known, lows, highs = archive.partial_rows(level)
        elapsed = int(archive.last_update // STEP) % level.points
        unknown = [elapsed - count for count in known]
        values = {Consolidation.AVERAGE: sums, Consolidation.MIN: lows, Consolidation.MAX: highs}
        for kind, ring in level.rings().items():
            shown = [value if count else nan for value, count in zip(values[kind], known, strict=True)]
            found.append(Table(kind, level.points, shown, unknown, ring))
    return found


def _definitions(archive: Archive, *, short_names: bool = False) -> list[dict[str, str]]:
    return [
        {
            "name": short_name(source.name) if short_names else source.name,
            "type": str(source.kind),
            "minimal_heartbeat": "300",
            "min": number(source.low),
            "max": number(source.high),
            # rrdtool reads the last sample of a GAUGE too, but never uses it.
            "last_ds": "U" if isnan(base) or source.kind is not Kind.DERIVE else f"{base:.10f}",
            "value": number(partial),
            "unknown_sec": str(int(unknown)),
        }
        for source, base, partial, unknown in zip(
            archive.sources, archive.bases, archive.partial, archive.unknown, strict=True
        )
    ]


def as_xml(archive: Archive, *, short_names: bool = False) -> list[bytes]:
    """The whole archive as rrdtool's XML, in pieces; with `short_names`, as `rrdtool restore` takes it."""
    head = [
        f'<?xml version="1.0" encoding="UTF-8"?>\n<rrd><version>{VERSION}</version><step>{STEP}</step>'
        f"<lastupdate>{int(archive.last_update)}</lastupdate>"
    ]
    head += [
        "<ds>" + "".join(f"<{tag}>{text}</{tag}>" for tag, text in each.items()) + "</ds>"
        for each in _definitions(archive, short_names=short_names)
    ]
    pieces = ["".join(head).encode()]
    capacities = dict(RESOLUTIONS)
    for table in tables(archive):
        preparation = "".join(
            "<ds><primary_value>NaN</primary_value><secondary_value>NaN</secondary_value>"
            f"<value>{number(value)}</value><unknown_datapoints>{unknown}</unknown_datapoints></ds>"
            for value, unknown in zip(table.values, table.unknown, strict=True)
        )
        pieces.append(
            f"<rra><cf>{table.consolidation}</cf><pdp_per_row>{table.points}</pdp_per_row>"
            f"<params><xff>{XFF}</xff></params><cdp_prep>{preparation}</cdp_prep><database>".encode()
        )
        pieces.append(_rows(table.ring, capacities[table.points]))
        pieces.append(b"</database></rra>")
    pieces.append(b"</rrd>")
    return pieces


def _rows(ring: Ring, capacity: int) -> bytes:
    missing = "<row>" + "<v>NaN</v>" * ring.width + "</row>"
    form = "<row>" + "<v>%.10e</v>" * ring.width + "</row>"
    rows = "".join(form % tuple(ring.row(age)) for age in range(ring.count - 1, -1, -1))
    return (missing * (capacity - ring.count) + rows.replace("nan", "NaN")).encode()


def as_json(archive: Archive) -> bytes:
    """The whole archive in JSON, every number as a string."""
    capacities = dict(RESOLUTIONS)

    def table(one: Table) -> dict[str, Any]:
        missing = [["NaN"] * one.ring.width] * (capacities[one.points] - one.ring.count)
        rows = ([number(v) for v in one.ring.row(age)] for age in range(one.ring.count - 1, -1, -1))
        return {
            "cf": str(one.consolidation),
            "pdp_per_row": str(one.points),
            "params": {"xff": str(XFF)},
            "cdp_prep": {
                "ds": [
                    {
                        "primary_value": "NaN",
                        "secondary_value": "NaN",
                        "value": number(value),
                        "unknown_datapoints": str(unknown),
                    }
                    for value, unknown in zip(one.values, one.unknown, strict=True)
                ]
            },
            "database": [*missing, *rows],
        }

    return orjson.dumps(
        {
            "version": VERSION,
            "step": str(STEP),
            "lastupdate": str(int(archive.last_update)),
            "ds": _definitions(archive),
            "rra": [table(one) for one in tables(archive)],
        }
    )


@dataclass(frozen=True, slots=True)
class DumpedSource:
    """One source as a document tells of it; NaN for what is unknown."""

    source: Source
    base: float
    partial: float
    unknown: float


@dataclass(frozen=True, slots=True)
class DumpedTable:
    """One table as a document tells of it: all rows one after the other, the oldest first."""

    rows: Sequence[float]
    values: Sequence[float]
    unknown: Sequence[int]


def rebuilt(
    sources: Sequence[DumpedSource],
    last_update: int,
    found: Mapping[tuple[int, Consolidation], DumpedTable],
) -> Archive:
    """Make an archive of what a document told; tables that are not kept here are left out, missing ones are empty.

    The tables are by the primary points of their rows and by consolidation.
    """
    extremes = any(kind is Consolidation.MIN for _, kind in found)
    archive = Archive([one.source for one in sources], float(last_update), extremes=extremes)
    archive.bases = [one.base if one.source.kind is Kind.DERIVE else 0.0 for one in sources]
    archive.partial = [0.0 if isnan(one.partial) else one.partial for one in sources]
    archive.unknown = [min(max(one.unknown, 0.0), float(last_update % STEP)) for one in sources]
    finest = found.get((1, Consolidation.AVERAGE))
    if finest is not None:
        archive.finest.load(finest.rows)
    for level in archive.levels:
        for kind, ring in level.rings().items():
            table = found.get((level.points, kind))
            if table is None:
                continue
            ring.load(table.rows)
            elapsed = int(last_update // STEP) % level.points
            known = [max(0, elapsed - unknown) for unknown in table.unknown]
            _prepare(archive, level.points, kind, table.values, known)
    archive.render_again()
    return archive


def _prepare(archive: Archive, points: int, kind: Consolidation, values: Sequence[float], known: Sequence[int]) -> None:
    """Put the state of a row under way into its level, less what the levels below it will add by themselves."""
    position = next(number for number, level in enumerate(archive.levels) if level.points == points)
    if position == 0:
        return  # a minute is made of the finest rows, which are there
    level = archive.levels[position]
    usable = [not isnan(value) and not isinf(value) for value in values]
    match kind:
        case Consolidation.AVERAGE:
            level.begin(len(archive.sources))
            sums, counts, _, _ = archive.partial_rows(level)
            level.sums = [
                value - below if good else 0.0 for value, below, good in zip(values, sums, usable, strict=True)
            ]
            level.known = [max(0, count - below) for count, below in zip(known, counts, strict=True)]
        case Consolidation.MIN:
            level.lows = [value if good else low for value, low, good in zip(values, level.lows, usable, strict=True)]
        case Consolidation.MAX:
            level.highs = [
                value if good else high for value, high, good in zip(values, level.highs, usable, strict=True)
            ]
