"""A picture that knows since when each part of it looks as it does, so that each viewer gets what is new to it."""

from collections.abc import Sequence
from typing import NamedTuple

TILE = 16
"""The side in pixels of the squares by which changes are noted."""


class Rect(NamedTuple):
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def within(self, other: "Rect") -> "Rect":
        """What both have; of width or height 0 if nothing."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right = min(self.left + self.width, other.left + other.width)
        bottom = min(self.top + self.height, other.top + other.height)
        return Rect(left, top, max(right - left, 0), max(bottom - top, 0))

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.width or not self.height


class Framebuffer:
    """Pixels of one byte each (see `pixels.PALETTE`). Every change gets a number; `version` is the latest."""

    def __init__(self, width: int, height: int) -> None:
        self.version = 0
        self.resize(width, height)

    @property
    def area(self) -> Rect:
        """The whole picture."""
        return Rect(0, 0, self.width, self.height)

    def resize(self, width: int, height: int) -> None:
        """Become a black picture of another size."""
        self.width, self.height = width, height
        self._pixels = bytearray(width * height)
        self._columns = -(-width // TILE)
        self.version += 1
        self._stamps = [[self.version] * self._columns for _ in range(-(-height // TILE))]

    def paint(self, left: int, top: int, rows: Sequence[bytes]) -> None:
        """Put a picture of equally long rows at a place; what lies outside is an error of the caller."""
        width = len(rows[0])
        assert left >= 0 and top >= 0 and left + width <= self.width and top + len(rows) <= self.height
        pixels, stride = self._pixels, self.width
        start = top * stride + left
        for row in rows:
            pixels[start : start + width] = row
            start += stride
        self.version += 1
        first, last = left // TILE, (left + width - 1) // TILE + 1
        new = [self.version] * (last - first)
        for line in range(top // TILE, (top + len(rows) - 1) // TILE + 1):
            self._stamps[line][first:last] = new

    def rows(self, area: Rect) -> list[bytes]:
        """The pixels of a part, which must lie inside, row by row."""
        start = area.top * self.width + area.left
        return [
            bytes(self._pixels[place : place + area.width])
            for place in range(start, start + area.height * self.width, self.width)
        ]

    def changed(self, since: int, area: Rect) -> list[Rect]:
        """The parts of an area that changed after a version, without overlap; whole tiles cut to the area."""
        area = area.within(self.area)
        if area.empty or since >= self.version:
            return []
        found: list[Rect] = []
        open_runs: dict[tuple[int, int], int] = {}  # runs of tiles that began in some line of tiles and go on
        lines = range(area.top // TILE, (area.top + area.height - 1) // TILE + 1)
        first, last = area.left // TILE, (area.left + area.width - 1) // TILE
        for line in lines:
            runs = _runs(self._stamps[line], first, last, since)
            found += [_tiles(run, open_runs.pop(run), line) for run in list(open_runs) if run not in runs]
            for run in runs:
                open_runs.setdefault(run, line)
        found += [_tiles(run, start, lines.stop) for run, start in open_runs.items()]
        return [rect.within(area) for rect in found]


def _runs(stamps: list[int], first: int, last: int, since: int) -> set[tuple[int, int]]:
    runs: set[tuple[int, int]] = set()
    start = -1
    for column in range(first, last + 1):
        if stamps[column] > since:
            if start < 0:
                start = column
        elif start >= 0:
            runs.add((start, column))
            start = -1
    if start >= 0:
        runs.add((start, last + 1))
    return runs


def _tiles(run: tuple[int, int], top: int, bottom: int) -> Rect:
    left, right = run
    return Rect(left * TILE, top * TILE, (right - left) * TILE, (bottom - top) * TILE)
