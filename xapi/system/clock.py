"""What time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from; tests have their own."""

    def now(self) -> datetime:
        """The moment, aware and in UTC."""

    def monotonic(self) -> float:
        """Seconds since some start; they never go back."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The moment, aware and in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some start; they never go back."""
        return time.monotonic()
