"""Counters of simulated guests: invented, yet such as a guest could have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hypervisor.bench import SimulatorBench
from xapi.hypervisor.contract import running
from xapi.hypervisor.interface import DiskRequests, DomainCounters


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SimulatorBench]:
    bench = SimulatorBench(tmp_path)
    for number in range(1, 9):
        running(bench, number)
    yield bench
    bench.driver.close()


def counted(bench: SimulatorBench) -> list[tuple[DomainCounters, DiskRequests]]:
    return [(one, one.disk_requests["xvda"]) for one in bench.driver.metering.domain_counters()]


def test_requests_fit_the_bytes_that_were_moved(bench: SimulatorBench) -> None:
    bench.pass_time(3600)
    for counters, requests in counted(bench):
        assert counters.disk_requests.keys() == counters.disk_read_bytes.keys()
        for count, moved, seconds in (
            (requests.reads, counters.disk_read_bytes["xvda"], requests.read_seconds),
            (requests.writes, counters.disk_write_bytes["xvda"], requests.write_seconds),
        ):
            assert 4096 <= moved / count <= 128 * 1024
            assert 0.0001 <= seconds / count <= 0.0125


def test_requests_only_grow_and_guests_differ(bench: SimulatorBench) -> None:
    before = counted(bench)
    bench.pass_time(60)
    after = counted(bench)
    for (_, old), (_, new) in zip(before, after, strict=True):
        assert new.reads > old.reads and new.writes > old.writes
        assert new.read_seconds > old.read_seconds and new.write_seconds > old.write_seconds
    assert len({requests.reads for _, requests in after}) == len(after)
    assert len({round(requests.read_seconds / requests.reads, 6) for _, requests in after}) > 1


def test_now_and_then_a_request_is_in_flight_but_not_of_a_guest_that_stands_still(bench: SimulatorBench) -> None:
    seen = set()
    for _ in range(60):
        bench.pass_time(5)
        seen |= {requests.in_flight for _, requests in counted(bench)}
    assert 0 in seen and max(seen) >= 1 and max(seen) < 64
    for counters, _ in counted(bench):
        bench.driver.domains.pause(counters.uuid)
    bench.pass_time(5)
    assert {requests.in_flight for _, requests in counted(bench)} == {0}


def test_the_same_machine_tells_the_same(bench: SimulatorBench) -> None:
    bench.pass_time(100)
    before = counted(bench)
    bench.reopen()
    assert counted(bench) == before
