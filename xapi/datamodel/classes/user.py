"""XenAPI's class user."""

from __future__ import annotations

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, StaticRO, field, identity


class User(Entity, name="user", since="published rio, deprecated george", constructor=True, listed=False, events=False):
    """An account of the local user database; deprecated, see subject and role."""

    uuid: DynamicRO[str] = identity(since="rio")
    short_name: StaticRO[str] = field("login name", since="rio")
    fullname: RW[str] = field("person's full name", since="rio")
    other_config: RW[Map[str, str]] = field(
        "keys and values that clients attach to the user", default={}, since="orlando"
    )
