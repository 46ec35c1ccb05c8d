"""XenAPI's class Caller."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.model import EPOCH, NULL, RW, DynamicRO, Entity, Ref, SetOf, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.rate_limit import RateLimit


class Caller(Entity, since="prototyped 26.17.0", constructor=True):
    """A client of the API, known by user agent and IP address, whose use is counted and can be limited."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field("short name shown for the caller", default="", group="name")
    name_description: RW[str] = field("free text about who the caller is", default="", group="name")
    user_agent: StaticRO[str] = field("User-Agent header by which the caller's requests are recognized", default="")
    client_ip: StaticRO[str] = field("IP address by which the caller's requests are recognized", default="")
    last_access: DynamicRO[datetime] = field("when the caller last made a request", default=EPOCH)
    groups: DynamicRO[SetOf[str]] = field("names of the groups for which usage is summed up", default=())
    rate_limit: DynamicRO[Ref[RateLimit]] = field("limit that applies to the caller, null for none", default=NULL)
    auto_registered: DynamicRO[bool] = field(
        "true if the record was made automatically on the caller's first request", default=False
    )


@message(Caller, role=POOL_OPERATOR)
def add_group(self: Ref[Caller], group: str) -> None:
    """Put the caller into a group for summing up usage."""


@message(Caller, role=POOL_OPERATOR)
def remove_group(self: Ref[Caller], group: str) -> None:
    """Take the caller out of a group."""


@message(Caller, role=POOL_OPERATOR, since="prototyped 26.15.0")
def query_token_usage(self: Ref[Caller]) -> float:
    """Return the tokens the caller has spent since the toolstack started."""


@message(Caller, role=POOL_OPERATOR, since="prototyped 26.15.0")
def query_call_count(self: Ref[Caller]) -> int:
    """Return how many calls the caller has made since the toolstack started."""


@message(Caller, role=POOL_OPERATOR, since="prototyped 26.15.0")
def query_group_token_usage(group: str) -> float:
    """Return the tokens all callers in a group have spent since the toolstack started.

    An empty group name is refused.
    """


@message(Caller, role=POOL_OPERATOR, since="prototyped 26.15.0")
def query_group_call_count(group: str) -> int:
    """Return how many calls all callers in a group have made since the toolstack started.

    An empty group name is refused.
    """


@message(Caller, role=POOL_OPERATOR)
def query_all_usage() -> SetOf[SetOf[str]]:
    """Return the usage of every known caller, the heaviest users of tokens first."""
