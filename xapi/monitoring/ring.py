"""The newest rows of a table of numbers, in one flat array that grows up to its capacity and then goes round."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from math import nan


class Ring:
    """Rows of `width` doubles; row 0 is the newest, and rows that were never written are unknown (NaN).

    A ring that is not full yet takes no more memory than its rows do.
    """

    __slots__ = ("_data", "_head", "capacity", "count", "width")

    def __init__(self, width: int, capacity: int) -> None:
        self.width = width
        self.capacity = capacity
        self.count = 0
        self._head = 0  # where the next row goes
        self._data = array("d")

    def push(self, row: Iterable[float]) -> None:
        """Write a row in front; the oldest one goes when there is no more room."""
        if self.count < self.capacity:
            self._data.extend(row)
            self.count += 1
        else:
            start = self._head * self.width
            self._data[start : start + self.width] = array("d", row)
        self._head = (self._head + 1) % self.capacity

    def push_unknown(self, rows: int) -> None:
        """Write rows of which nothing is known."""
        if rows >= self.capacity:
            self.clear()
            return
        for _ in range(rows):
            self.push((nan,) * self.width)

    def clear(self) -> None:
        """Forget every row."""
        self.count = self._head = 0
        self._data = array("d")

    def row(self, age: int) -> array[float]:
        """The row that was written `age` rows before the newest one."""
        if age >= self.count:
            return array("d", (nan,)) * self.width
        start = (self._head - 1 - age) % self.capacity * self.width
        return self._data[start : start + self.width]

    def newest(self, rows: int) -> array[float]:
        """At most so many of the newest rows, one after the other, in any order."""
        rows = min(rows, self.count)
        width, start = self.width, self._head - rows
        if start >= 0:
            return self._data[start * width : self._head * width]
        # Before the ring has gone round, the head stands behind the last row or, when just full, at 0.
        return self._data[start * width :] + self._data[: self._head * width]

    def oldest_first(self) -> array[float]:
        """All rows, the oldest first."""
        return self.newest(self.count)

    def load(self, rows: Sequence[float]) -> None:
        """Replace everything by these rows, the oldest first; what is beyond the capacity is left out."""
        beyond = max(0, len(rows) - self.capacity * self.width)
        self._data = array("d", rows[beyond:])
        self.count = len(self._data) // self.width if self.width else 0
        self._head = self.count % self.capacity

    def rearranged(self, columns: Sequence[int]) -> Ring:
        """The same rows with these columns, by number; -1 stands for a new one, unknown throughout."""
        ring = Ring(len(columns), self.capacity)
        old, width = self.oldest_first(), self.width
        data = array("d", (nan,)) * (self.count * len(columns))
        for number, column in enumerate(columns):
            if column >= 0:
                data[number :: len(columns)] = old[column::width]
        if columns:
            ring.load(data)
        return ring
