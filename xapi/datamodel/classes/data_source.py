"""XenAPI's class data_source."""

from __future__ import annotations

from xapi.datamodel.model import DynamicRO, Entity, field


class DataSource(
    Entity, name="data_source", since="orlando", listed=False, stored=False, persistent=False, events=False
):
    """A metric that can be measured for a host, VM or SR, with its current state."""

    name_label: DynamicRO[str] = field(
        "identifier of the metric, such as 'cpu0' or 'memory_total_kib'", default="", group="name", since="rio"
    )
    name_description: DynamicRO[str] = field("what the metric measures", default="", group="name", since="rio")
    enabled: DynamicRO[bool] = field("true if the metric is being recorded in the performance history", since="rio")
    standard: DynamicRO[bool] = field("true if the metric is recorded by default", since="rio")
    units: DynamicRO[str] = field("unit of the values, such as 'B/s' or '(fraction)'", since="rio")
    min: DynamicRO[float] = field("smallest value the metric can take", since="rio")
    max: DynamicRO[float] = field("largest value the metric can take", since="rio")
    value: DynamicRO[float] = field("most recent value of the metric", since="rio")
