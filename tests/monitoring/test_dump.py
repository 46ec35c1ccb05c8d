from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import pytest
import rrdtool

from tests.monitoring import oracle
from tests.monitoring.filled import filled
from xapi.http_handlers.rrd_document import read_rrd
from xapi.monitoring import dump
from xapi.monitoring.archive import RESOLUTIONS, Archive


def document(archive: Archive, *, short_names: bool = True) -> bytes:
    return b"".join(dump.as_xml(archive, short_names=short_names))


@pytest.mark.parametrize("samples", [0, 1, 13, 1500])
@pytest.mark.parametrize("extremes", [False, True])
def test_rrdtool_restores_what_is_dumped(tmp_path: Path, samples: int, extremes: bool) -> None:
    archive = filled(samples, extremes=extremes)
    path = tmp_path / "restored.rrd"
    oracle.restore(document(archive), path)
    assert rrdtool.last(str(path)) == int(archive.last_update)
    for points, _ in RESOLUTIONS:
        for kind in archive.rings(points):
            ours, theirs = (
                oracle.our_rows(archive, kind, points),
                oracle.rows(path, kind, points, rrdtool.last(str(path))),
            )
            common = set(ours) & set(theirs)
            assert len(common) >= len(ours) - 1
            for time in common:
                assert ours[time] == pytest.approx(theirs[time], rel=1e-9, abs=1e-9, nan_ok=True)


def test_rrdtool_goes_on_where_the_dump_ends(tmp_path: Path) -> None:
    archive = filled(1503)
    path = tmp_path / "restored.rrd"
    oracle.restore(document(archive), path)
    time = int(archive.last_update)
    for number in range(2000):
        time += 5
        # rrdtool takes whole numbers for a DERIVE source, so the counter stays unknown here.
        values = [float("nan"), float(number), -1.5]
        archive.update(float(time), values)
        oracle.update(path, time, values)
    for points in (1, 12, 720):
        for kind in archive.rings(points):
            ours, theirs = oracle.our_rows(archive, kind, points), oracle.rows(path, kind, points, time)
            for moment in sorted(set(ours) & set(theirs)):
                assert ours[moment] == pytest.approx(theirs[moment], rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("extremes", [False, True])
def test_an_archive_read_from_its_dump_goes_on_as_itself(extremes: bool) -> None:
    archive = filled(1503, extremes=extremes)
    copy = read_rrd(document(archive, short_names=False))
    assert copy.names == archive.names
    assert copy.extremes == archive.extremes
    time = archive.last_update
    for number in range(1700):
        time += 5.0
        for one in (archive, copy):
            one.update(time, [time * 0.25, float(number), 2.0])
    for points, _ in RESOLUTIONS:
        for kind, ring in archive.rings(points).items():
            other = copy.rings(points)[kind]
            for age in range(ring.count):
                assert list(ring.row(age)) == pytest.approx(list(other.row(age)), rel=1e-8, abs=1e-6, nan_ok=True)


def test_the_names_that_clients_know_stay_unless_rrdtool_asks() -> None:
    archive = filled(1)
    assert b"<name>memory_internal_free</name>" in document(archive, short_names=False)
    assert b"<name>memory_int_" in document(archive)
    assert dump.short_name("vbd_xvda_read") == "vbd_xvda_read"
    assert len({dump.short_name(f"io_throughput_read_{number:08x}") for number in range(100)}) == 100


def test_the_json_says_the_same_with_strings() -> None:
    archive = filled(30)
    found = json.loads(dump.as_json(archive))
    assert (found["version"], found["step"], found["lastupdate"]) == ("0003", "5", str(int(archive.last_update)))
    assert [one["name"] for one in found["ds"]] == list(archive.names)
    assert [(one["cf"], one["pdp_per_row"]) for one in found["rra"]][:4] == [
        ("AVERAGE", "1"),
        ("AVERAGE", "12"),
        ("MIN", "12"),
        ("MAX", "12"),
    ]
    newest = [float(value) for value in found["rra"][0]["database"][-1]]
    assert newest == pytest.approx(list(archive.finest.row(0)), nan_ok=True)
    assert len(found["rra"][0]["database"]) == 120
    assert isnan(float(found["rra"][0]["database"][0][0]))
