"""XenAPI's class host_cpu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, field, identity
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host


class HostCpu(Entity, name="host_cpu", since="published rio, deprecated midnight-ride", role=POOL_OPERATOR):
    """A physical CPU thread of a host; host.cpu_info gives a summary instead."""

    uuid: DynamicRO[str] = identity(since="rio")
    host: DynamicRO[Ref[Host]] = field("host the CPU is built into", since="rio")
    number: DynamicRO[int] = field("position of the CPU in the host, from 0", since="rio")
    vendor: DynamicRO[str] = field("vendor string the CPU reports, such as GenuineIntel", since="rio")
    speed: DynamicRO[int] = field("clock frequency in MHz", since="rio")
    modelname: DynamicRO[str] = field("model as a readable name", since="rio")
    family: DynamicRO[int] = field("family number the CPU reports", since="rio")
    model: DynamicRO[int] = field("model number within the family", since="rio")
    stepping: DynamicRO[str] = field("revision of the model", since="rio")
    flags: DynamicRO[str] = field("feature flags by name, separated by spaces", since="rio")
    features: DynamicRO[str] = field("feature flags as a hexadecimal bitmap", since="rio")
    utilisation: DynamicRO[float] = field("share of time the CPU is busy, from 0 to 1", since="rio", persistent=False)
    other_config: RW[Map[str, str]] = field("free key/value pairs for clients", default={}, since="orlando")
