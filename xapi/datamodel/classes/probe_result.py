"""XenAPI's class probe_result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import DynamicRO, Entity, Map, field
from xapi.datamodel.roles import LOCAL_ROOT

if TYPE_CHECKING:
    from xapi.datamodel.classes.sr_stat import SrStat


class ProbeResult(
    Entity,
    name="probe_result",
    since="prototyped kolkata, published lima",
    role=LOCAL_ROOT,
    listed=False,
    stored=False,
    persistent=False,
    events=False,
):
    """One finding of a storage probe: a device configuration and what lies behind it."""

    configuration: DynamicRO[Map[str, str]] = field(
        "device_config that leads to this finding, ready for the next probe or for SR.create"
    )
    complete: DynamicRO[bool] = field("true if the configuration suffices to create or attach an SR")
    sr: DynamicRO[SrStat | None] = field("SR already present at this place, or nothing if none was recognised")
    extra_info: DynamicRO[Map[str, str]] = field("driver-specific facts to help choose, such as a LUN's size or vendor")
