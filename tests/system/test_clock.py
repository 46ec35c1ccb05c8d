from __future__ import annotations

from datetime import UTC, timedelta

from xapi.system.clock import Clock, SystemClock


def test_now_is_aware_and_in_utc():
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.now().tzinfo is UTC


def test_monotonic_does_not_go_back():
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)
