"""What can be measured: the definition of a data source, shared by everybody who has one of that name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf


class Kind(StrEnum):
    """How samples become a rate, with rrdtool's names."""

    GAUGE = "GAUGE"  # the sample is the value
    DERIVE = "DERIVE"  # the sample is a counter; its growth a second is the value
    ABSOLUTE = "ABSOLUTE"  # the sample is what happened since the one before


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that can be measured; values outside `low` and `high` count as unknown.

    `standard` sources are recorded for everybody who has them, the others only when somebody asks for it.
    """

    name: str
    description: str
    units: str
    kind: Kind = Kind.GAUGE
    low: float = 0.0
    high: float = inf
    standard: bool = True
