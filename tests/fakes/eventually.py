"""Waiting for something that another thread does, without sleeping longer than needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], wanted: Callable[[T], bool], seconds: float = 30.0) -> T:
    """The first value that is wanted, or the last one that was seen when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = look()
        if wanted(value) or time.monotonic() > deadline:
            return value
        time.sleep(0.002)
