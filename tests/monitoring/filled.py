"""Archives with a past."""

from __future__ import annotations

import random
from math import inf, nan

from xapi.monitoring.archive import Archive
from xapi.monitoring.source import Kind, Source

START = 1_700_000_000
SOURCES = (
    Source("cpu0", "", "(fraction)", Kind.DERIVE, 0.0, 1.0),
    Source("memory_internal_free", "", "KiB"),
    Source("odd", "", "", Kind.GAUGE, -inf),
)


def filled(samples: int = 1500, *, extremes: bool = True, seed: int = 1, start: int = START + 3) -> Archive:
    chance = random.Random(seed)
    archive = Archive(SOURCES, float(start), extremes=extremes)
    time = start
    for _ in range(samples):
        time += chance.choice((4, 5, 5, 5, 6))
        odd = nan if chance.random() < 0.05 else chance.uniform(-9, 9)
        archive.update(float(time), [time * 0.25, float(chance.randrange(1 << 20)), odd])
    return archive
