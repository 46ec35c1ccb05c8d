"""XenAPI's class VBD_metrics."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.model import EPOCH, RW, DynamicRO, Entity, Map, field, identity
from xapi.datamodel.roles import VM_ADMIN


class VBDMetrics(
    Entity, name="VBD_metrics", since="published rio, deprecated tampa, removed tampa", role=VM_ADMIN, persistent=False
):
    """Transfer figures of a virtual block device; removed, read the RRDs instead."""

    uuid: DynamicRO[str] = identity(since="rio")
    io_read_kbs: DynamicRO[float] = field("read rate in KiB/s", default=0.0, group="io", persistent=False)
    io_write_kbs: DynamicRO[float] = field("write rate in KiB/s", default=0.0, group="io", persistent=False)
    last_updated: DynamicRO[datetime] = field("when these figures were last written", default=EPOCH)
    other_config: RW[Map[str, str]] = field(
        "keys and values that clients attach to the record",
        default={},
        since="published orlando, deprecated tampa, removed tampa",
    )
