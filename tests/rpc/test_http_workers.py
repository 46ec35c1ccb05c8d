import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import pytest

from xapi.rpc.http_connection import Connection
from xapi.rpc.http_workers import EAGER, Workers

PATIENCE = 30.0


class Call:
    """A connection as far as a worker sees it."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.closed = False

    def serve(self) -> None:
        self.work()

    def close(self) -> None:
        self.closed = True


def submit(workers: Workers, work: Callable[[], object]) -> Call:
    call = Call(work)
    workers.submit(cast("Connection", cast("Any", call)))
    return call


def until(condition: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
    end = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        meanwhile()
        pause.wait(0.001)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_burst_of_short_calls_is_served_by_few_workers() -> None:
    workers = Workers("w", 1, 64)
    done: list[int] = []
    for number in range(1000):
        submit(workers, partial(done.append, number))
    until(lambda: len(done) == 1000)
    assert sorted(done) == list(range(1000))
    assert workers.count <= EAGER
    assert not workers.short
    assert workers.stop(PATIENCE)
    assert workers.count == 0


def test_calls_that_wait_for_one_another_all_get_a_worker(gate: threading.Event) -> None:
    workers = Workers("w", 1, 100)
    meeting = threading.Barrier(60)
    for _ in range(60):
        submit(workers, lambda: meeting.wait(PATIENCE))
    until(lambda: meeting.n_waiting == 0 and not workers.short, workers.look)
    assert workers.count >= 60
    assert workers.stop(PATIENCE)


def test_there_are_never_more_than_the_maximum_and_those_that_wait_come_next(gate: threading.Event) -> None:
    workers = Workers("w", 1, EAGER + 3)
    done: list[int] = []
    for _ in range(EAGER + 3):
        submit(workers, lambda: gate.wait(PATIENCE))
    for number in range(5):
        submit(workers, partial(done.append, number))
    for _ in range(10):
        workers.look()
    assert workers.count == EAGER + 3
    assert (workers.short, done) == (True, [])
    gate.set()
    until(lambda: len(done) == 5)
    assert not workers.short
    assert workers.stop(PATIENCE)


def test_a_connection_that_comes_after_the_end_is_closed() -> None:
    workers = Workers("w", 1, 4)
    submit(workers, lambda: None)
    assert workers.stop(PATIENCE)
    assert submit(workers, lambda: pytest.fail("nobody serves any more")).closed


def test_a_worker_that_is_held_does_not_end_in_time(gate: threading.Event) -> None:
    workers = Workers("w", 1, 4)
    begun = threading.Event()

    def hold() -> None:
        begun.set()
        gate.wait(PATIENCE)

    submit(workers, hold)
    assert begun.wait(PATIENCE)
    assert not workers.stop(0.01)


def test_idle_workers_end_but_the_fewest(monkeypatch: pytest.MonkeyPatch, gate: threading.Event) -> None:
    monkeypatch.setattr("xapi.rpc.http_workers._PATIENCE", 0.01)
    workers = Workers("w", 2, 64)
    meeting = threading.Barrier(20)
    for _ in range(20):
        submit(workers, lambda: meeting.wait(PATIENCE))
    until(lambda: not workers.short and workers.count >= 20, workers.look)
    until(lambda: workers.count == 2)
    served = threading.Event()
    submit(workers, served.set)
    assert served.wait(PATIENCE)
    assert workers.stop(PATIENCE)


def test_workers_that_wait_their_turn_leave_their_places_to_others(gate: threading.Event) -> None:
    workers = Workers("w", 1, 100)
    aside = threading.Barrier(EAGER * 3 + 1)

    def wait() -> None:
        with workers.aside():
            aside.wait(PATIENCE)
            gate.wait(PATIENCE)

    for _ in range(EAGER * 3):
        submit(workers, wait)
    aside.wait(PATIENCE)  # nobody looked at the pool
    served = threading.Event()
    submit(workers, served.set)
    assert served.wait(PATIENCE)
    assert not workers.short
    gate.set()
    assert workers.stop(PATIENCE)
    assert workers.count == 0
