"""XenAPI's class VM_guest_metrics."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, field, identity
from xapi.datamodel.roles import VM_ADMIN
from xapi.datamodel.types import WireEnum


class TristateType(WireEnum):
    """A yes or no of the guest that may also still be unknown."""

    YES = "yes"
    NO = "no"
    UNSPECIFIED = "unspecified"


class VMGuestMetrics(Entity, name="VM_guest_metrics", role=VM_ADMIN):
    """What the agent inside a guest reports: operating system, drivers, addresses."""

    uuid: DynamicRO[str] = identity()
    os_version: DynamicRO[Map[str, str]] = field("operating system of the guest: name, distro, uname, major and minor")
    netbios_name: DynamicRO[Map[str, str]] = field(
        "NetBIOS host and domain name of a Windows guest", default={}, since="prototyped 24.28.0"
    )
    PV_drivers_version: DynamicRO[Map[str, str]] = field(
        "version of the guest's paravirtual drivers: major, minor, micro and build"
    )
    PV_drivers_up_to_date: DynamicRO[bool] = field(
        "once compared driver and host versions; now the same as PV_drivers_detected",
        since="published rio, deprecated dundee",
    )
    memory: DynamicRO[Map[str, str]] = field(
        "free and used memory as the guest sees it; removed, read the RRDs instead",
        default={},
        since="published rio, deprecated george, removed george",
    )
    disks: DynamicRO[Map[str, str]] = field(
        "disk usage as the guest sees it; removed, never filled any more",
        default={},
        since="published rio, deprecated orlando, removed orlando",
    )
    networks: DynamicRO[Map[str, str]] = field(
        "IP addresses of the guest under keys such as 0/ip, 0/ipv4/0 and 0/ipv6/0"
    )
    other: DynamicRO[Map[str, str]] = field("feature flags and remaining values the agent has published")
    last_updated: DynamicRO[datetime] = field("when the agent's report last changed, in UTC")
    other_config: RW[Map[str, str]] = field(
        "keys and values that clients attach to the record", default={}, since="orlando"
    )
    live: DynamicRO[bool] = field(
        "true while the agent is reporting; false means the values are left from before", default=False, since="orlando"
    )
    can_use_hotplug_vbd: DynamicRO[TristateType] = field(
        "whether the guest copes with disks that come and go while it runs",
        default=TristateType.UNSPECIFIED,
        since="dundee",
    )
    can_use_hotplug_vif: DynamicRO[TristateType] = field(
        "whether the guest copes with network interfaces that come and go while it runs",
        default=TristateType.UNSPECIFIED,
        since="dundee",
    )
    PV_drivers_detected: DynamicRO[bool] = field(
        "true if at least one paravirtual device has connected or the agent has reported", default=False, since="dundee"
    )
    services: DynamicRO[Map[str, str]] = field(
        "state of services that run in the guest, as told by the agent", default={}, since="prototyped 25.15.0"
    )
