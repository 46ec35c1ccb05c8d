"""Reads rrdtool's dump format, as hosts send the archive of a VM to one another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf, isnan, nan

from lxml import etree

from xapi.monitoring.archive import RESOLUTIONS, STEP, Archive, Consolidation
from xapi.monitoring.dump import VERSION, DumpedSource, DumpedTable, rebuilt
from xapi.monitoring.source import Kind, Source

LONGEST = 32 * 1024 * 1024
MOST_SOURCES = 4096
MOST_ROWS = 2048
LATEST = 1 << 40  # seconds since 1970
NAME = re.compile(r"[A-Za-z0-9_.+-]{1,128}")


def read_rrd(document: bytes) -> Archive:
    """The archive in a document; ValueError says what is wrong with it.

    Tables that are not kept here are passed over. A source that comes twice counts once.
    """
    if len(document) > LONGEST:
        raise ValueError("the document is too long")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, remove_comments=True
    )
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise ValueError(f"the document is not XML: {problem}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("a document type is not accepted")
    if root.tag != "rrd" or _text(root, "version") != VERSION:
        raise ValueError(f"the document is no <rrd> of version {VERSION}")
    if int(_text(root, "step")) != STEP:
        raise ValueError(f"the step is not {STEP} seconds")
    last_update = int(float(_text(root, "lastupdate")))
    if not 0 <= last_update < LATEST:
        raise ValueError("the last update is at no time")
    every = [_source(element) for element in root.findall("ds")]
    if not 0 < len(every) <= MOST_SOURCES:
        raise ValueError("there are no sources, or too many")
    first = {one.source.name: number for number, one in reversed([*enumerate(every)])}
    columns = sorted(first.values())
    found = {}
    for element in root.findall("rra"):
        key = (int(_text(element, "pdp_per_row")), _text(element, "cf"))
        if key[0] in dict(RESOLUTIONS) and key[1] in {*Consolidation}:
            found[key[0], Consolidation(key[1])] = _table(element, len(every), columns)
    return rebuilt([every[number] for number in columns], last_update, found)


def _source(element: etree._Element) -> DumpedSource:
    name = _text(element, "name")
    if not NAME.fullmatch(name):
        raise ValueError(f"{name[:128]!r} is no name of a source")
    low, high = _number(_text(element, "min")), _number(_text(element, "max"))
    source = Source(
        name,
        "received from another host",
        "unknown",
        Kind(_text(element, "type")),
        -inf if isnan(low) else low,
        inf if isnan(high) else high,
        standard=False,
    )
    base = _text(element, "last_ds")
    unknown = _number(_text(element, "unknown_sec"))
    return DumpedSource(
        source,
        nan if base in ("U", "UNKN") else _number(base),
        _number(_text(element, "value")),
        0.0 if isnan(unknown) else unknown,
    )


def _table(element: etree._Element, width: int, columns: list[int]) -> DumpedTable:
    rows = element.findall("database/row")
    if len(rows) > MOST_ROWS:
        raise ValueError("a table has too many rows")
    preparation = element.findall("cdp_prep/ds")
    if len(preparation) != width:
        raise ValueError("a table does not prepare a row for each source")
    return DumpedTable(
        [value for row in rows for value in _row(row, width, columns)],
        [_number(_text(preparation[number], "value")) for number in columns],
        [int(_text(preparation[number], "unknown_datapoints")) for number in columns],
    )


def _row(row: etree._Element, width: int, columns: list[int]) -> Iterator[float]:
    values = [_number(value.text or "") for value in row.iterchildren("v")]
    if len(values) != width:
        raise ValueError("a row has not one value for each source")
    return (values[number] for number in columns)


def _number(text: str) -> float:
    if len(text) > 64:
        raise ValueError("a number is too long")
    return float(text.strip())


def _text(element: etree._Element, tag: str) -> str:
    found = (element.findtext(tag) or "").strip()
    if not found or len(found) > 256:
        raise ValueError(f"a <{tag}> is missing in <{element.tag}>, or is too long")
    return found
