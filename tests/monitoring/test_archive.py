from __future__ import annotations

import random
from math import inf, isnan, nan
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.monitoring import oracle
from xapi.monitoring.archive import RESOLUTIONS, STEP, Archive, Consolidation
from xapi.monitoring.source import Kind, Source

START = 1_700_000_000
GAUGE = Source("gauge", "", "", Kind.GAUGE, -inf)
COUNTER = Source("counter", "", "", Kind.DERIVE)
SHARE = Source("share", "", "", Kind.DERIVE, 0.0, 1.0)
EVENTS = Source("events", "", "", Kind.ABSOLUTE)
SOURCES = (GAUGE, COUNTER, SHARE, EVENTS)
KINDS = ("AVERAGE", "MIN", "MAX")


def same(ours: dict[int, list[float]], theirs: dict[int, list[float]]) -> None:
    for time in sorted(set(ours) & set(theirs)):
        assert ours[time] == pytest.approx(theirs[time], rel=1e-6, abs=1e-6, nan_ok=True), time
    assert len(set(ours) & set(theirs)) >= len(ours) - 1


def compare(archive: Archive, path: Path, kinds: tuple[str, ...] = KINDS) -> None:
    for points, _ in RESOLUTIONS:
        for kind in kinds:
            if points > 1 or kind == "AVERAGE":
                same(oracle.our_rows(archive, kind, points), oracle.rows(path, kind, points, int(archive.last_update)))


@pytest.mark.parametrize("seed", range(6))
def test_rrdtool_comes_to_the_same_rows(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "one.rrd"
    time = START + chance.randrange(60)
    oracle.create(path, SOURCES, time, KINDS)
    archive = Archive(SOURCES, float(time), extremes=True)
    counter = 0.0
    for _ in range(900):
        time += chance.choice([1, 2, 4, 5, 5, 5, 5, 6, 9, 31] + [299, 300, 301, 4000] * (chance.random() < 0.02))
        counter = 0.0 if chance.random() < 0.01 else counter + chance.randrange(20)
        values = [chance.uniform(-5, 5), counter, time * 0.37, float(chance.randrange(100))]
        for number in range(4):
            if chance.random() < 0.02:
                values[number] = nan
        archive.update(float(time), values)
        oracle.update(path, time, values)
    compare(archive, path)


@pytest.mark.parametrize("gap", [301, 3_600, 86_400, 700_003, 40_000_000])
def test_rrdtool_agrees_after_a_long_silence(tmp_path: Path, gap: int) -> None:
    path = tmp_path / "one.rrd"
    time = START + 17
    oracle.create(path, (GAUGE,), time, KINDS)
    archive = Archive((GAUGE,), float(time), extremes=True)
    for number in range(1200):
        time += gap if number == 900 else 5
        archive.update(float(time), [float(number)])
        oracle.update(path, time, [float(number)])
    compare(archive, path)
    assert archive.texts(1, Consolidation.AVERAGE, time // STEP * STEP, 120)[0].strip(b" ,") != b"NaN"


def model(samples: list[tuple[int, float]], start: int, points: int) -> dict[int, float]:
    """Averages the slow way: each second has the value of the sample that ends its interval."""
    by_second: dict[int, tuple[int, float]] = {}
    last = start
    for number, (time, value) in enumerate(samples):
        for second in range(last, time):
            by_second[second] = (number, nan if time - last > 300 else value)
        last = time
    primary = {}
    for begin in range(start // STEP * STEP, last // STEP * STEP, STEP):
        seconds = [by_second.get(begin + second, (-1, nan)) for second in range(STEP)]
        known = [value for _, value in seconds if not isnan(value)]
        unknown_before = sum(isnan(value) and number != seconds[-1][0] for number, value in seconds)
        primary[begin + STEP] = sum(known) / len(known) if known and unknown_before <= STEP / 2 else nan
    step = points * STEP
    rows = {}
    for end in range(start // step * step + step, last // step * step + 1, step):
        inside = [primary.get(end - number * STEP, nan) for number in range(points)]
        known = [v for v in inside if not isnan(v)]
        rows[end] = sum(known) / len(known) if 2 * len(known) >= points else nan
    return rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 60),
    st.lists(st.tuples(st.integers(1, 4) | st.just(5), st.floats(0, 1e6) | st.just(nan)), min_size=1, max_size=150),
)
def test_averages_are_those_of_a_plain_model(offset: int, steps: list[tuple[int, float]]) -> None:
    start = START + offset
    archive = Archive((GAUGE,), float(start))
    samples = []
    time = start
    for seconds, value in steps:
        time += seconds
        archive.update(float(time), [value])
        samples.append((time, value))
    for points in (1, 12):
        wanted = model(samples, start, points)
        found = {time: row[0] for time, row in oracle.our_rows(archive, "AVERAGE", points).items()}
        for end, value in [*wanted.items()][-120:]:
            assert found[end] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 12.0), min_size=2, max_size=60), st.floats(0, 5))
def test_a_steady_counter_is_steady_at_any_rhythm(intervals: list[float], offset: float) -> None:
    archive = Archive((COUNTER,), START + offset)
    time = START + offset
    archive.update(time + 20.0, [(time + 20.0) * 7])
    time += 20.0
    first = int(time // STEP)
    for interval in intervals:
        time += interval
        archive.update(time, [time * 7])
    complete = int(time // STEP) - first - 1
    for age in range(max(0, complete)):
        assert archive.finest.row(age)[0] == pytest.approx(7, rel=1e-5)


def test_a_counter_that_begins_again_counts_from_zero() -> None:
    archive = Archive((COUNTER,), START)
    archive.update(START + 5.0, [1000.0])
    archive.update(START + 10.0, [2000.0])
    archive.update(START + 15.0, [50.0], restarted=True)
    archive.update(START + 20.0, [10.0])
    assert [archive.finest.row(age)[0] for age in (2, 1)] == [200.0, 10.0]
    assert isnan(archive.finest.row(0)[0])


def test_a_busy_processor_is_never_busier_than_busy() -> None:
    archive = Archive((SHARE,), START)
    archive.update(START + 5.0, [0.0])
    archive.update(START + 10.0, [5.01])
    archive.update(START + 15.0, [15.0])
    assert archive.finest.row(1)[0] == 1.0
    assert isnan(archive.finest.row(0)[0])


def test_a_clock_that_goes_back_costs_one_moment_only() -> None:
    archive = Archive((COUNTER,), START)
    for number in range(1, 20):
        archive.update(START + number * 5.0, [number * 10.0])
    archive.update(START - 1000.0, [200.0])
    archive.update(START - 995.0, [210.0])
    archive.update(START - 990.0, [220.0])
    assert archive.last_update == START - 990.0
    assert archive.finest.row(0)[0] == 2.0


def test_two_samples_at_one_moment_are_one() -> None:
    archive = Archive((GAUGE,), START)
    archive.update(START + 5.0, [1.0])
    archive.update(START + 5.0, [2.0])
    assert archive.finest.count == 1
    assert archive.latest("gauge") == 1.0


def test_sources_come_and_go_beside_the_others() -> None:
    archive = Archive((GAUGE,), START, extremes=True)
    for number in range(1, 40):
        archive.update(START + number * 5.0, [3.0])
    archive.add((COUNTER,))
    for number in range(40, 80):
        archive.update(START + number * 5.0, [3.0, number * 10.0])
    assert archive.names == ("gauge", "counter")
    assert [*archive.finest.row(0)] == [3.0, 2.0]
    assert isnan(archive.finest.row(60)[1])
    assert [*archive.rings(12)[Consolidation.MAX].row(0)] == [3.0, 2.0]
    assert archive.texts(1, Consolidation.AVERAGE, START + 39 * 5, 1) == [b" 3.0, NaN,".replace(b"3.0", b"3")]
    archive.remove("gauge")
    assert archive.names == ("counter",)
    assert [*archive.finest.row(0)] == [2.0]
    archive.update(START + 400.0, [800.0])
    assert archive.texts(1, Consolidation.AVERAGE, START + 400, 2) == [b" 2,", b" 2,"]
    with pytest.raises(KeyError):
        archive.remove("gauge")


def test_numbers_are_written_as_clients_read_them() -> None:
    sources = [Source(f"s{number}", "", "", Kind.GAUGE, -inf) for number in range(6)]
    archive = Archive(sources, START)
    archive.update(START + 5.0, [0.0, 0.0, 1234567.0, nan, -0.00012345678, 12.5])
    assert archive.texts(1, Consolidation.AVERAGE, START + 5, 1) == [b" 0.0, 0.0, 1.2346e+06, NaN, -0.00012346, 12.5,"]


def test_rows_beyond_what_is_known_are_nan() -> None:
    archive = Archive((GAUGE,), START)
    archive.update(START + 5.0, [1.0])
    assert archive.texts(1, Consolidation.AVERAGE, START + 15, 5) == [b" NaN,", b" NaN,", b" 1,", b" NaN,", b" NaN,"]
    assert archive.texts(1, Consolidation.AVERAGE, START, 1) == [b" NaN,"]
