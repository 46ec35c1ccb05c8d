"""XenAPI's class Rate_limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Ref, SetOf, StaticRO, field, identity, many, message

if TYPE_CHECKING:
    from xapi.datamodel.classes.caller import Caller


class RateLimit(Entity, name="Rate_limit", since="prototyped 26.17.0", constructor=True):
    """A token bucket that restricts how fast the callers assigned to it may make API calls."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field("short name shown for the limit", default="", group="name")
    name_description: RW[str] = field("free text about what the limit is for", default="", group="name")
    callers: DynamicRO[SetOf[Ref[Caller]]] = many("Caller.rate_limit", "callers the limit applies to")
    burst_size: StaticRO[float] = field(
        "capacity of the bucket in tokens, which is the most that can be spent at once", default=0.0
    )
    fill_rate: StaticRO[float] = field("tokens added to the bucket per second", default=0.0)


@message(RateLimit)
def add_caller(self: Ref[RateLimit], caller: Ref[Caller]) -> None:
    """Place a caller under this limit."""


@message(RateLimit)
def remove_caller(self: Ref[RateLimit], caller: Ref[Caller]) -> None:
    """Release a caller from this limit."""


@message(RateLimit)
def set_burst_size(self: Ref[RateLimit], value: float) -> None:
    """Set how many tokens the bucket can hold."""


@message(RateLimit)
def set_fill_rate(self: Ref[RateLimit], value: float) -> None:
    """Set how many tokens flow into the bucket per second."""
