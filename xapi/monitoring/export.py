"""What happened lately to many owners at once: rrdtool's xport document, in XML and in JSON.

The shape is that of the public monitoring service: the newest row first, every number with five digits, `NaN` for
what is unknown, and in JSON every number as a string.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from xapi.monitoring.archive import RESOLUTIONS, STEP, Archive, Consolidation


@dataclass(frozen=True, slots=True)
class Updates:
    """Rows of some tables side by side; times are seconds since 1970, the newest row first.

    In a row, each number has a blank before it and a comma behind it.
    """

    start: int
    step: int
    end: int
    legend: list[str]
    rows: list[tuple[int, bytes]]

    def as_xml(self) -> list[bytes | memoryview]:
        """The document in XML, in pieces."""
        entries = "".join(f"<entry>{entry}</entry>" for entry in self.legend)
        pieces: list[bytes | memoryview] = [
            '<?xml version="1.0" encoding="UTF-8"?>\n<xport><meta>'
            f"<start>{self.start}</start><step>{self.step}</step><end>{self.end}</end>"
            f"<rows>{len(self.rows)}</rows><columns>{len(self.legend)}</columns>"
            f"<legend>{entries}</legend></meta><data>".encode()
        ]
        for time, row in self.rows:
            if row:
                pieces += (b"<row><t>%d</t><v>" % time, _inner(row, b"</v><v>"), b"</v></row>")
            else:
                pieces.append(b"<row><t>%d</t></row>" % time)
        pieces.append(b"</data></xport>")
        return pieces

    def as_json(self) -> list[bytes | memoryview]:
        """The document in JSON, in pieces."""
        meta = {
            "start": str(self.start),
            "step": str(self.step),
            "end": str(self.end),
            "rows": str(len(self.rows)),
            "columns": str(len(self.legend)),
            "legend": self.legend,
        }
        pieces: list[bytes | memoryview] = [b'{"meta":' + orjson.dumps(meta) + b',"data":[']
        for number, (time, row) in enumerate(self.rows):
            pieces.append(b'%b{"t":"%d","values":[' % (b"," if number else b"", time))
            if row:
                pieces += (b'"', _inner(row, b'","'), b'"')
            pieces.append(b"]}")
        pieces.append(b"]}")
        return pieces


def _inner(row: bytes, between: bytes) -> memoryview:
    """The numbers of a row with something between them; megabytes go by here, so they are not copied for the rest."""
    return memoryview(row.replace(b", ", between))[1:-1]


def updates(
    owners: Sequence[tuple[str, Archive]], start: int, interval: int, consolidation: Consolidation | None
) -> Updates:
    """The rows of these owners since `start` (seconds; a negative one counts from the last sample), each by its prefix.

    The finest resolution is taken that reaches back to `start` and is not finer than `interval` seconds; the coarsest
    one when none does. Without a consolidation, every table of that resolution is there.
    """
    latest = max((archive.last_update for _, archive in owners), default=0.0)
    if start < 0:
        start += int(latest)
    points, capacity = _resolution(owners, latest, start, interval, consolidation)
    step = points * STEP
    end = int(latest // step) * step
    count = min(capacity, (end - start) // step + 1) if end >= start else 0
    legend: list[str] = []
    columns: list[list[bytes]] = []
    for prefix, archive in owners:
        for kind in archive.rings(points):
            if consolidation in (None, kind):
                legend += [f"{kind}:{prefix}{name}" for name in archive.names]
                columns.append(archive.texts(points, kind, end, count))
    texts = [b"".join(row) for row in zip(*columns, strict=True)] if columns else []
    rows = [(end - number * step, text) for number, text in enumerate(texts)]
    return Updates(start // step * step + step, step, end, legend, rows)


def _resolution(
    owners: Sequence[tuple[str, Archive]], latest: float, start: int, interval: int, wanted: Consolidation | None
) -> tuple[int, int]:
    """The primary points of a row, and how many rows there can be."""
    last_point = int(latest // STEP) * STEP
    extremes = wanted in (Consolidation.MIN, Consolidation.MAX)
    for points, capacity in RESOLUTIONS:
        if extremes and points == 1:
            continue  # a primary point is its own minimum and maximum: no table is kept of that
        if points >= interval // STEP and start > last_point - STEP * points * capacity:
            return points, capacity
    return RESOLUTIONS[-1]
