from __future__ import annotations

import json
from math import isnan
from xml.etree import ElementTree

import pytest

from tests.monitoring.filled import START, filled
from xapi.monitoring.archive import Archive, Consolidation
from xapi.monitoring.export import Updates, updates
from xapi.monitoring.source import Source

AVERAGE = Consolidation.AVERAGE


def xml(found: Updates) -> ElementTree.Element:
    return ElementTree.fromstring(b"".join(found.as_xml()))


def steady(samples: int, *, extremes: bool = False) -> Archive:
    archive = Archive((Source("a", "", ""), Source("b", "", "")), float(START), extremes=extremes)
    for number in range(1, samples + 1):
        archive.update(START + number * 5.0, [float(number), 0.5])
    return archive


def test_the_document_has_the_shape_that_clients_read() -> None:
    found = updates([("vm:x:", steady(3)), ("vm:y:", steady(3))], START, 0, None)
    assert b"".join(found.as_xml()).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n<xport><meta>'
        f"<start>{START + 5}</start><step>5</step><end>{START + 15}</end><rows>4</rows><columns>4</columns><legend>"
        "<entry>AVERAGE:vm:x:a</entry><entry>AVERAGE:vm:x:b</entry>"
        "<entry>AVERAGE:vm:y:a</entry><entry>AVERAGE:vm:y:b</entry></legend></meta><data>"
        f"<row><t>{START + 15}</t><v>3</v><v>0.5</v><v>3</v><v>0.5</v></row>"
        f"<row><t>{START + 10}</t><v>2</v><v>0.5</v><v>2</v><v>0.5</v></row>"
        f"<row><t>{START + 5}</t><v>1</v><v>0.5</v><v>1</v><v>0.5</v></row>"
        f"<row><t>{START}</t><v>NaN</v><v>NaN</v><v>NaN</v><v>NaN</v></row>"
        "</data></xport>"
    )
    assert json.loads(b"".join(found.as_json())) == {
        "meta": {
            "start": str(START + 5),
            "step": "5",
            "end": str(START + 15),
            "rows": "4",
            "columns": "4",
            "legend": ["AVERAGE:vm:x:a", "AVERAGE:vm:x:b", "AVERAGE:vm:y:a", "AVERAGE:vm:y:b"],
        },
        "data": [
            {"t": str(START + 15), "values": ["3", "0.5", "3", "0.5"]},
            {"t": str(START + 10), "values": ["2", "0.5", "2", "0.5"]},
            {"t": str(START + 5), "values": ["1", "0.5", "1", "0.5"]},
            {"t": str(START), "values": ["NaN", "NaN", "NaN", "NaN"]},
        ],
    }


@pytest.mark.parametrize(
    ("back", "interval", "step"),
    [
        (1, 0, 5),
        (599, 5, 5),
        (600, 5, 60),
        (1, 60, 60),
        (1, 59, 60),
        (7199, 0, 60),
        (7200, 0, 3600),
        (1, 3600, 3600),
        (604_799, 0, 3600),
        (604_800, 0, 86400),
        (10**9, 0, 86400),
        (1, 10**9, 86400),
    ],
)
def test_the_resolution_follows_the_start_and_the_interval(back: int, interval: int, step: int) -> None:
    archive = steady(200)
    found = updates([("vm:x:", archive)], START + 1000 - back, interval, AVERAGE)
    assert found.step == step


def test_a_negative_start_counts_from_the_latest_sample() -> None:
    assert [time for time, _ in updates([("", steady(20))], -10, 0, AVERAGE).rows] == [
        START + 100,
        START + 95,
        START + 90,
    ]


def test_a_start_to_come_gives_no_rows() -> None:
    found = updates([("", steady(20))], START + 1000, 0, AVERAGE)
    assert found.rows == []
    assert xml(found).findtext("meta/rows") == "0"


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [(None, ["AVERAGE", "MIN", "MAX"]), (AVERAGE, ["AVERAGE"]), (Consolidation.MAX, ["MAX"])],
)
def test_each_consolidation_has_its_columns(wanted: Consolidation | None, kinds: list[str]) -> None:
    found = updates([("host:h:", steady(30, extremes=True)), ("vm:v:", steady(30))], START + 60, 60, wanted)
    hosts = [f"{kind}:host:h:{name}" for kind in kinds for name in ("a", "b")]
    vms = ["AVERAGE:vm:v:a", "AVERAGE:vm:v:b"] if "AVERAGE" in kinds else []
    assert found.legend == hosts + vms
    row = xml(found).find("data/row")
    assert row is not None
    assert len(row.findall("v")) == len(found.legend)


def test_least_values_are_looked_for_where_they_are_kept() -> None:
    assert updates([("", steady(30, extremes=True))], START + 100, 5, Consolidation.MIN).step == 60


def test_an_owner_that_came_later_or_stopped_earlier_has_nan_there() -> None:
    late = Archive((Source("c", "", ""),), START + 50.0)
    late.update(START + 55.0, [1.0])
    found = updates([("vm:a:", steady(20)), ("vm:b:", late)], START + 40, 0, AVERAGE)
    column = [float(row.findall("v")[2].text or "") for row in xml(found).iter("row")]
    times = [int(row.findtext("t") or "") for row in xml(found).iter("row")]
    assert [time for time, value in zip(times, column, strict=True) if not isnan(value)] == [START + 55]


def test_nobody_is_asked_about() -> None:
    found = updates([], START, 0, None)
    assert found.legend == []
    assert found.rows == []
    assert xml(found).findtext("meta/columns") == "0"
    assert json.loads(b"".join(found.as_json()))["data"] == []


def test_the_values_are_those_of_the_archive() -> None:
    archive = filled(1500)
    for points in (1, 12, 720):
        found = updates([("", archive)], int(archive.last_update) - 500 * points, points * 5, AVERAGE)
        ring = archive.rings(points)[AVERAGE]
        for age, row in enumerate(xml(found).iter("row")):
            values = [float(value.text or "") for value in row.findall("v")]
            assert values == pytest.approx(list(ring.row(age)), rel=1e-4, nan_ok=True)
