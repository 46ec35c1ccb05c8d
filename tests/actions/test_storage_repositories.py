from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest

from tests.fakes.eventually import eventually
from xapi.actions.storage_repositories import SharedTurn, StorageRepositories
from xapi.datamodel.failure import Failure
from xapi.storage.file.driver import FileDriver

PATIENCE = 30.0


def test_many_hold_a_turn_together() -> None:
    turn, met = SharedTurn(), Barrier(4)

    def hold(_: int) -> int:
        with turn.together():
            return met.wait(PATIENCE)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(hold, range(4))) == [0, 1, 2, 3]


def test_whoever_is_alone_is_alone() -> None:
    turn, lock = SharedTurn(), Lock()
    inside = {"together": 0, "alone": 0}
    worst: list[tuple[int, int]] = []

    def enter(kind: str) -> None:
        with lock:
            inside[kind] += 1
            worst.append((inside["together"], inside["alone"]))

    def leave(kind: str) -> None:
        with lock:
            inside[kind] -= 1

    def work(number: int) -> None:
        kind = "alone" if number % 5 == 0 else "together"
        with turn.alone() if kind == "alone" else turn.together():
            enter(kind)
            leave(kind)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(400)))
    assert all(alone == 0 or (alone, together) == (1, 0) for together, alone in worst)
    assert len(worst) == 400


def test_who_waits_to_be_alone_is_not_kept_out_by_those_who_come_later() -> None:
    turn, came = SharedTurn(), Event()
    order: list[str] = []

    def alone() -> None:
        with turn.alone():
            order.append("alone")

    def late() -> None:
        came.set()
        with turn.together():
            order.append("late")

    with ThreadPoolExecutor(2) as pool:
        with turn.together():
            first = pool.submit(alone)
            eventually(lambda: turn._waiting, bool)
            second = pool.submit(late)
            assert came.wait(PATIENCE)
        first.result(PATIENCE)
        second.result(PATIENCE)
    assert order == ["alone", "late"]


def test_a_turn_is_given_back_when_the_work_fails() -> None:
    turn = SharedTurn()
    for hold in (turn.alone, turn.together, turn.alone):
        with pytest.raises(ValueError, match="work"), hold():
            raise ValueError("work")


def test_an_unknown_driver_is_refused() -> None:
    repositories = StorageRepositories([FileDriver()])
    assert repositories.types == ("file",)
    with pytest.raises(Failure, match="SR_UNKNOWN_DRIVER"):
        repositories.driver("strange")
