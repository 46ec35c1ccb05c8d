"""XenAPI's class sr_stat."""

from __future__ import annotations

from xapi.datamodel.model import DynamicRO, Entity, field
from xapi.datamodel.roles import LOCAL_ROOT
from xapi.datamodel.types import WireEnum


class SrHealth(WireEnum):
    """Condition of an SR: in order, being repaired, not reachable or not usable."""

    HEALTHY = "healthy"
    RECOVERING = "recovering"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"


class SrStat(
    Entity,
    name="sr_stat",
    since="prototyped kolkata, published lima, extended 24.17.0",
    role=LOCAL_ROOT,
    listed=False,
    stored=False,
    persistent=False,
    events=False,
):
    """A snapshot of an SR's name, space and health, as reported by its driver."""

    uuid: DynamicRO[str | None] = field("the identifier that stays the same wherever the object goes")
    name_label: DynamicRO[str] = field("name of the SR as the driver knows it")
    name_description: DynamicRO[str] = field("remark on the SR as the driver knows it")
    free_space: DynamicRO[int] = field("bytes still unused on the backing storage")
    total_space: DynamicRO[int] = field("capacity of the backing storage in bytes")
    clustered: DynamicRO[bool] = field("true if the storage depends on a cluster stack")
    health: DynamicRO[SrHealth] = field("whether the storage works, is being repaired or cannot be used")
