"""XenAPI's class host_metrics."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, field, identity
from xapi.datamodel.roles import POOL_OPERATOR


class HostMetrics(Entity, name="host_metrics", role=POOL_OPERATOR):
    """Memory size and liveness of a host, kept apart because they change on their own."""

    uuid: DynamicRO[str] = identity()
    memory_total: DynamicRO[int] = field("bytes of physical memory in the host", group="memory")
    memory_free: DynamicRO[int] = field(
        "removed; bytes of free memory, now a data source of the host",
        default=0,
        group="memory",
        since="published rio, deprecated midnight-ride, removed tampa",
    )
    live: DynamicRO[bool] = field("true if the pool coordinator hears from the host")
    last_updated: DynamicRO[datetime] = field("when these values were last brought up to date")
    other_config: RW[Map[str, str]] = field("free key/value pairs for clients", default={}, since="orlando")
