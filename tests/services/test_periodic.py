from __future__ import annotations

from threading import Event
from typing import Any

import pytest

from xapi.datamodel.classes import Pool
from xapi.services.periodic import Periodic, attempt

PATIENCE = 30.0


def test_a_failure_is_logged_once_and_the_next_turn_comes(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []
    third = Event()

    def work() -> None:
        turns.append(len(turns))
        if len(turns) == 3:
            third.set()
        if len(turns) == 1:
            raise ValueError("only the first")

    periodic = Periodic("worker", 0.001, work)
    periodic.start()
    assert third.wait(PATIENCE)
    periodic.stop()
    assert caplog.text.count("ValueError: only the first") == 1
    assert [record.getMessage() for record in caplog.records] == ["a turn of the service worker failed"]


def test_an_attempt_tells_how_it_went(caplog: pytest.LogCaptureFixture) -> None:
    assert attempt(lambda: 1 + 1, "the sum")
    assert not attempt(lambda: 1 // 0, "the quotient of %s and %s", 1, 0)
    assert "the quotient of 1 and 0 failed" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        attempt(interrupt, "anything")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_without_a_pause_only_news_bring_a_turn(toolstack: Any) -> None:
    turned = Event()
    periodic = Periodic("follower", lambda: None, turned.set)
    periodic.follow(toolstack.db, Pool)
    periodic.start()
    assert not turned.is_set()
    with toolstack.db.transaction() as transaction:
        transaction.update(Pool, toolstack.pool.ref, name_label="new")
    assert turned.wait(PATIENCE)
    periodic.stop()
    turned.clear()
    with toolstack.db.transaction() as transaction:
        transaction.update(Pool, toolstack.pool.ref, name_label="newer")
    assert not turned.is_set()


def test_it_ends_within_a_turn_that_heeds_it() -> None:
    begun = Event()

    def work() -> None:
        begun.set()
        assert periodic.stopping.wait(PATIENCE)

    periodic = Periodic("long", 0.0, work)
    periodic.start()
    assert begun.wait(PATIENCE)
    periodic.stop()


def test_one_that_never_began_can_be_stopped() -> None:
    Periodic("never", 1.0, lambda: None).stop()
