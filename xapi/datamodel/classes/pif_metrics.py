"""XenAPI's class PIF_metrics."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, field, identity
from xapi.datamodel.roles import POOL_OPERATOR


class PIFMetrics(Entity, name="PIF_metrics", role=POOL_OPERATOR):
    """Link state and hardware description of a PIF, refreshed by its host."""

    uuid: DynamicRO[str] = identity()
    io_read_kbs: DynamicRO[float] = field(
        "once the receive rate in KiB/s; always 0 now, see the RRDs",
        default=0.0,
        group="io",
        since="published rio, deprecated tampa, removed tampa",
        persistent=False,
    )
    io_write_kbs: DynamicRO[float] = field(
        "once the send rate in KiB/s; always 0 now, see the RRDs",
        default=0.0,
        group="io",
        since="published rio, deprecated tampa, removed tampa",
        persistent=False,
    )
    carrier: DynamicRO[bool] = field("true if the card detects a link")
    vendor_id: DynamicRO[str] = field("PCI number of the card's maker")
    vendor_name: DynamicRO[str] = field("maker of the card")
    device_id: DynamicRO[str] = field("PCI number of the card's model")
    device_name: DynamicRO[str] = field("model of the card")
    speed: DynamicRO[int] = field("link speed in Mbit/s, 0 if unknown")
    duplex: DynamicRO[bool] = field("true if the link sends and receives at once")
    pci_bus_path: DynamicRO[str] = field("card's place on the PCI bus, for instance '0000:02:00.0'")
    last_updated: DynamicRO[datetime] = field("when these values were last refreshed")
    other_config: RW[Map[str, str]] = field("free settings of clients and toolstack", default={}, since="orlando")
