"""XenAPI's class VIF_metrics."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, field, identity
from xapi.datamodel.roles import VM_ADMIN


class VIFMetrics(
    Entity, name="VIF_metrics", since="published rio, deprecated tampa, removed tampa", role=VM_ADMIN, persistent=False
):
    """Traffic figures of a virtual network interface; removed, read the RRDs instead."""

    uuid: DynamicRO[str] = identity(since="rio")
    io_read_kbs: DynamicRO[float] = field("receive rate in KiB/s", default=0.0, group="io", persistent=False)
    io_write_kbs: DynamicRO[float] = field("send rate in KiB/s", default=0.0, group="io", persistent=False)
    last_updated: DynamicRO[datetime] = field("when these figures were last written", since="rio")
    other_config: RW[Map[str, str]] = field(
        "keys and values that clients attach to the record", default={}, since="orlando"
    )
