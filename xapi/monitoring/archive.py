"""The recorded past of one owner (a VM, a host or an SR): all its sources together, at four resolutions.

The rules are rrdtool's. Samples fill *primary points* of five seconds, weighted by time; primary points fill
*rows* of a minute, an hour and a day, which know a value when at least half of their primary points do.

A thousand owners are sampled every five seconds, so nothing here is an object per source: a tick is a few list
comprehensions and one append to a flat array. Coarser rows cost nothing between their boundaries, because a minute is
made of the last twelve rows of the finest table, an hour of sixty sums of minutes, and a day of sums of hours.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from itertools import islice
from math import inf, isnan, nan

from xapi.monitoring.ring import Ring
from xapi.monitoring.source import Kind, Source

STEP = 5  # seconds of a primary point
HEARTBEAT = 300.0  # seconds without a sample after which the time between is unknown
XFF = 0.5  # the share of a row's primary points that may be unknown
FINEST_ROWS = 120
COARSER = ((12, 120), (720, 168), (17280, 366))  # primary points of a row, and rows: 2 hours, a week, a year
RESOLUTIONS = ((1, FINEST_ROWS), *COARSER)
# A processor that was busy all the time looks a little busier than that when a sample comes a moment late.
TOLERANCE = 1.1


class Consolidation(StrEnum):
    """How several primary points become one row."""

    AVERAGE = "AVERAGE"
    MIN = "MIN"
    MAX = "MAX"


class Level:
    """The rows of one coarser resolution, and what has been gathered for the row that is under way."""

    __slots__ = ("averages", "highest", "highs", "known", "lowest", "lows", "points", "sums")

    def __init__(self, width: int, points: int, rows: int, extremes: bool) -> None:
        self.points = points
        self.averages = Ring(width, rows)
        self.lowest = Ring(width, rows) if extremes else None
        self.highest = Ring(width, rows) if extremes else None
        self.begin(width)

    def begin(self, width: int) -> None:
        """Forget what was gathered."""
        self.sums = [0.0] * width
        self.known = [0] * width
        self.lows = [inf] * width
        self.highs = [-inf] * width

    def gather(
        self, sums: Sequence[float], known: Sequence[int], lows: Sequence[float], highs: Sequence[float]
    ) -> None:
        """Add the sums, counts and extremes of some primary points."""
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)]
        self.known = [a + b for a, b in zip(self.known, known, strict=True)]
        if self.lowest is not None:
            self.lows = [a if a < b else b for a, b in zip(self.lows, lows, strict=True)]
            self.highs = [a if a > b else b for a, b in zip(self.highs, highs, strict=True)]

    def finish(self) -> None:
        """Make a row of what was gathered; the points that never came are unknown."""
        least = self.points - int(self.points * XFF)
        known = self.known
        self.averages.push([s / n if n >= least else nan for s, n in zip(self.sums, known, strict=True)])
        if self.lowest is not None and self.highest is not None:
            self.lowest.push([v if n >= least else nan for v, n in zip(self.lows, known, strict=True)])
            self.highest.push([v if n >= least else nan for v, n in zip(self.highs, known, strict=True)])

    def rings(self) -> dict[Consolidation, Ring]:
        """The tables of this resolution."""
        found = {Consolidation.AVERAGE: self.averages}
        if self.lowest is not None and self.highest is not None:
            found |= {Consolidation.MIN: self.lowest, Consolidation.MAX: self.highest}
        return found

    def rearrange(self, columns: Sequence[int]) -> None:
        """Keep these columns, by number; -1 stands for a new one."""
        self.averages = self.averages.rearranged(columns)
        if self.lowest is not None and self.highest is not None:
            self.lowest = self.lowest.rearranged(columns)
            self.highest = self.highest.rearranged(columns)
        self.sums = [self.sums[i] if i >= 0 else 0.0 for i in columns]
        self.known = [self.known[i] if i >= 0 else 0 for i in columns]
        self.lows = [self.lows[i] if i >= 0 else inf for i in columns]
        self.highs = [self.highs[i] if i >= 0 else -inf for i in columns]


class Archive:
    """The past of one owner. Not safe for threads: whoever has it guards it.

    `last_update` is in seconds since 1970. `bases` holds the last counter of each DERIVE source (0 for others), and
    `partial` and `unknown` the value times seconds and the unknown seconds of the primary point under way.
    """

    def __init__(self, sources: Sequence[Source], last_update: float, *, extremes: bool = False) -> None:
        self.sources = tuple(sources)
        self.extremes = extremes
        self.last_update = last_update
        self.incarnation = 0
        width = len(self.sources)
        self.bases = [nan if source.kind is Kind.DERIVE else 0.0 for source in self.sources]
        self.partial = [0.0] * width
        self.unknown = [last_update % STEP] * width
        self.finest = Ring(width, FINEST_ROWS)
        self.levels = tuple(Level(width, points, rows, extremes) for points, rows in COARSER)
        self._texts: deque[bytes] = deque(maxlen=FINEST_ROWS)
        self._shape()

    def _shape(self) -> None:
        """Prepare what follows from the sources alone."""
        self.names = tuple(source.name for source in self.sources)
        self._kinds = tuple(source.kind for source in self.sources)
        self._derives = tuple(kind is Kind.DERIVE for kind in self._kinds)
        self._bounds = tuple((source.low, source.high) for source in self.sources)
        self._scales: tuple[float, tuple[float, ...]] = (0.0, ())
        self._form = " %.5g," * len(self.sources)
        self._nothing = [nan] * len(self.sources)

    # Sources

    def add(self, sources: Sequence[Source]) -> None:
        """Record more sources; their past is unknown."""
        columns = [*range(len(self.sources)), *(-1 for _ in sources)]
        self._rearrange((*self.sources, *sources), columns)

    def remove(self, name: str) -> None:
        """Forget a source and its past; KeyError when it is not recorded."""
        if name not in self.names:
            raise KeyError(name)
        columns = [number for number, known in enumerate(self.names) if known != name]
        self._rearrange(tuple(self.sources[number] for number in columns), columns)

    def redefine(self, sources: Sequence[Source]) -> None:
        """Take new definitions of sources that are recorded already, as after a restore."""
        given = {source.name: source for source in sources}
        self.sources = tuple(given.get(source.name, source) for source in self.sources)
        for number, source in enumerate(self.sources):
            if source.kind is not self._kinds[number]:
                self.bases[number] = nan if source.kind is Kind.DERIVE else 0.0
        self._shape()

    def _rearrange(self, sources: tuple[Source, ...], columns: Sequence[int]) -> None:
        self.bases = [
            self.bases[i] if i >= 0 else (nan if source.kind is Kind.DERIVE else 0.0)
            for i, source in zip(columns, sources, strict=True)
        ]
        self.partial = [self.partial[i] if i >= 0 else 0.0 for i in columns]
        self.unknown = [self.unknown[i] if i >= 0 else self.last_update % STEP for i in columns]
        self.finest = self.finest.rearranged(columns)
        for level in self.levels:
            level.rearrange(columns)
        self.sources = sources
        self._shape()
        self.render_again()

    # Samples

    def update(self, now: float, values: Sequence[float], *, restarted: bool = False) -> None:
        """Take one sample of every source, in order, NaN for what has none at this moment.

        With `restarted`, counters have begun again at zero. When the clock has gone back, the time since the last
        sample is lost and nothing else.
        """
        since = self.last_update
        interval = now - since
        if interval <= 0.0:
            if interval < 0.0:
                self._go_back(now, values)
            return
        first, last = int(since // STEP), int(now // STEP)
        rates = self._rates(interval, values, restarted)
        self.last_update = now
        if last == first:
            self.partial = [p + r * interval if r == r else p for p, r in zip(self.partial, rates, strict=True)]
            self.unknown = [u if r == r else u + interval for u, r in zip(self.unknown, rates, strict=True)]
            return
        after = now - last * STEP
        # As rrdtool does it: the point under way is completed by itself, and the others are what this sample says.
        self._push(first + 1, self._completed(rates, (first + 1) * STEP - since))
        if interval > HEARTBEAT:
            self._skip(first + 1, last)
        else:
            for number in range(first + 2, last + 1):
                self._push(number, rates)
        self.partial = [r * after if r == r else 0.0 for r in rates]
        self.unknown = [0.0 if r == r else after for r in rates]

    def resume(self, now: float, values: Sequence[float]) -> None:
        """Take a first sample after a break: nothing is known of the time before it."""
        self.update(now, self._nothing)
        self.bases = [v if d else 0.0 for v, d in zip(values, self._derives, strict=True)]

    def _rates(self, interval: float, values: Sequence[float], restarted: bool) -> list[float]:
        """Turn samples into values for the time since the last one."""
        known_interval, scales = self._scales
        if known_interval != interval:
            scales = tuple(1.0 if kind is Kind.GAUGE else 1.0 / interval for kind in self._kinds)
            self._scales = (interval, scales)
        bases = [0.0] * len(self.bases) if restarted else self.bases
        self.bases = [v if d else 0.0 for v, d in zip(values, self._derives, strict=True)]
        if interval > HEARTBEAT:
            return self._nothing
        return [
            rate if low <= (rate := (value - base) * scale) <= high else _outside(rate, high)
            for value, base, scale, (low, high) in zip(values, bases, scales, self._bounds, strict=True)
        ]

    def _completed(self, rates: list[float], rest: float) -> list[float]:
        """The primary point under way, the `rest` of its seconds being at these rates.

        It is unknown when more than half of a step was unknown before this sample.
        """
        if rest >= STEP:
            return rates
        return [
            (p + r * rest) / (STEP - u)
            if r == r and u <= STEP / 2
            else p / (STEP - rest - u)
            if r != r and u <= STEP / 2 and u < STEP - rest
            else nan
            for p, u, r in zip(self.partial, self.unknown, rates, strict=True)
        ]

    def _go_back(self, now: float, values: Sequence[float]) -> None:
        self.last_update = now
        self.bases = [v if d else 0.0 for v, d in zip(values, self._derives, strict=True)]
        self.partial = [0.0] * len(self.sources)
        self.unknown = [now % STEP] * len(self.sources)

    def _push(self, number: int, points: list[float]) -> None:
        """Write one primary point, the `number`th since 1970, and the rows that end with it."""
        self.finest.push(points)
        self._texts.appendleft(self._render(points))
        minute, hour, day = self.levels
        if number % minute.points:
            return
        minute.gather(*summary(self.finest.newest(minute.points), len(self.sources), self.extremes))
        for level, above in ((minute, hour), (hour, day), (day, None)):
            if number % level.points:
                return
            self._finish(level, above)

    def _finish(self, level: Level, above: Level | None) -> None:
        level.finish()
        if above is not None:
            above.gather(level.sums, level.known, level.lows, level.highs)
        level.begin(len(self.sources))

    def _skip(self, first: int, last: int) -> None:
        """Write what a long time without samples leaves: nothing is known of the points after `first`."""
        minute, hour, day = self.levels
        while first < last and first % minute.points:
            first += 1
            self._push(first, self._nothing)
        self.finest.push_unknown(last - first)
        if last - first >= FINEST_ROWS:
            self._texts.clear()
        else:
            self._texts.extendleft([self._render(self._nothing)] * (last - first))
        for level, above in ((minute, hour), (hour, day), (day, None)):
            ended = last // level.points - first // level.points
            if ended:
                self._finish(level, above)
                for ring in level.rings().values():
                    ring.push_unknown(ended - 1)

    # Reading

    def latest(self, name: str) -> float:
        """The newest primary point of a source; KeyError when it is not recorded."""
        if name not in self.names:
            raise KeyError(name)
        return self.finest.row(0)[self.names.index(name)]

    def rings(self, points: int) -> dict[Consolidation, Ring]:
        """The tables whose rows have so many primary points."""
        if points == 1:
            return {Consolidation.AVERAGE: self.finest}
        return next(level.rings() for level in self.levels if level.points == points)

    def texts(self, points: int, consolidation: Consolidation, newest: int, count: int) -> list[bytes]:
        """The rows of a table as text, the newest first: `count` rows from the one that ends at `newest` (seconds).

        Each row is a blank, the number and a comma, for each source.
        """
        step = points * STEP
        ahead = newest // step - int(self.last_update // step)
        unknown = self._render(self._nothing)
        early = min(max(ahead, 0), count)
        skip = max(-ahead, 0)
        wanted = count - early
        if points == 1:
            found = list(islice(self._texts, skip, skip + wanted))
        else:
            ring = self.rings(points)[consolidation]
            found = [self._render(ring.row(age)) for age in range(skip, min(skip + wanted, ring.count))]
        return [*[unknown] * early, *found, *[unknown] * (wanted - len(found))]

    def render_again(self) -> None:
        """Make the texts of the finest table anew, as after a change of its columns."""
        rows = (self._render(self.finest.row(age)) for age in range(self.finest.count))
        self._texts = deque(rows, maxlen=FINEST_ROWS)

    def _render(self, row: Sequence[float]) -> bytes:
        text = self._form % tuple(row)
        if "n" in text:
            text = text.replace("nan", "NaN").replace("inf", "Infinity")
        return text.replace(" 0,", " 0.0,").encode()

    def partial_rows(self, level: Level) -> tuple[list[float], list[int], list[float], list[float]]:
        """What is known of the row under way: sums, numbers of known points, lows and highs."""
        copy = Level(len(self.sources), level.points, 1, True)
        copy.gather(level.sums, level.known, level.lows, level.highs)
        for below in self.levels[: self.levels.index(level)]:
            copy.gather(below.sums, below.known, below.lows, below.highs)
        fresh = int(self.last_update // STEP) % self.levels[0].points
        copy.gather(*summary(self.finest.newest(fresh), len(self.sources), True))
        return copy.sums, copy.known, copy.lows, copy.highs


def _outside(rate: float, high: float) -> float:
    return high if high < rate <= high * TOLERANCE else nan


def summary(rows: array[float], width: int, extremes: bool) -> tuple[list[float], list[int], list[float], list[float]]:
    """Sums, numbers of known values, lows and highs of each column of some rows."""
    sums, known, lows, highs = [], [], [inf] * width, [-inf] * width
    for number in range(width):
        column: Sequence[float] = rows[number::width]
        total = sum(column)
        if isnan(total):
            column = [value for value in column if value == value]
            total = sum(column)
        sums.append(total)
        known.append(len(column))
        if extremes and column:
            lows[number], highs[number] = min(column), max(column)
    return sums, known, lows, highs
