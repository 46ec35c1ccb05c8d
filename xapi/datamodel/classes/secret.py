"""XenAPI's class secret."""

from __future__ import annotations

from xapi.datamodel.model import NOTHING, RW, DynamicRO, Entity, Map, Ref, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY


class Secret(
    Entity,
    name="secret",
    since="midnight-ride",
    role=POOL_OPERATOR,
    reads=POOL_OPERATOR,
    constructor=True,
    events=False,
):
    """A password or similar value that other objects refer to instead of holding it themselves."""

    uuid: DynamicRO[str] = identity(since="rio")
    value: RW[str] = field("the confidential text itself", since="rio")
    other_config: RW[Map[str, str]] = field(
        "free key/value pairs kept for clients", default={}, since="rio", reads=READ_ONLY
    )


@message(Secret, asynchronous=False, hidden=True, secret=True, param_since={"other_config": "boston"})
def introduce(uuid: str, value: str, other_config: Map[str, str] = NOTHING) -> Ref[Secret]:
    """Record a secret under a uuid that is already known, as when a database is restored."""
