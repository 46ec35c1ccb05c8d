"""XenAPI's class Feature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import DynamicRO, Entity, Ref, StaticRO, field, identity
from xapi.datamodel.roles import LOCAL_ROOT

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host


class Feature(Entity, since="falcon", role=LOCAL_ROOT):
    """An optional capability of a host, with a note of whether it is on."""

    uuid: DynamicRO[str] = identity()
    name_label: StaticRO[str] = field("name shown to people", default="", group="name", since="rio")
    name_description: StaticRO[str] = field("what the feature does", default="", group="name", since="rio")
    enabled: DynamicRO[bool] = field("true if the feature is in use on the host", default=False)
    experimental: StaticRO[bool] = field("true if the feature is not yet meant for production", default=False)
    version: StaticRO[str] = field("version of the feature", default="1.0")
    host: DynamicRO[Ref[Host]] = field("host that has the feature")
