from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Iterator

import pytest

from xapi.system.waking_selector import WakingSelector


@pytest.fixture
def selector() -> Iterator[WakingSelector]:
    found = WakingSelector()
    yield found
    found.close()


def test_another_thread_ends_the_waiting(selector: WakingSelector) -> None:
    thread = threading.Thread(target=selector.wake)
    thread.start()
    assert selector.select(30) == []
    thread.join()


def test_whoever_was_woken_waits_again(selector: WakingSelector) -> None:
    for _ in range(3):
        selector.wake()
    assert selector.select(30) == []
    out, into = os.pipe()
    selector.register(out, selectors.EVENT_READ, "data")
    os.write(into, b"x")
    selector.wake()
    assert [key.data for key, _ in selector.select(30)] == ["data"]
    assert os.read(out, 1) == b"x"
    assert selector.select(0) == []
    os.close(out)
    os.close(into)
