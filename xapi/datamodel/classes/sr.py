"""XenAPI's class SR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.errors import SR_HAS_PBD, SR_UNKNOWN_DRIVER
from xapi.datamodel.model import (
    NOTHING,
    NULL,
    RW,
    DynamicRO,
    Entity,
    Map,
    Ref,
    SetOf,
    StaticRO,
    field,
    identity,
    many,
    message,
)
from xapi.datamodel.roles import LOCAL_ROOT, POOL_OPERATOR, READ_ONLY, VM_OPERATOR, VM_POWER_ADMIN
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.blob import Blob
    from xapi.datamodel.classes.data_source import DataSource
    from xapi.datamodel.classes.dr_task import DRTask
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.pbd import PBD
    from xapi.datamodel.classes.probe_result import ProbeResult
    from xapi.datamodel.classes.vdi import VDI


class StorageOperations(WireEnum):
    """Actions on an SR, its disks or its PBDs that can be allowed or under way."""

    SCAN = "scan"
    DESTROY = "destroy"
    FORGET = "forget"
    PLUG = "plug"
    UNPLUG = "unplug"
    UPDATE = "update"
    VDI_CREATE = "vdi_create"
    VDI_INTRODUCE = "vdi_introduce"
    VDI_DESTROY = "vdi_destroy"
    VDI_RESIZE = "vdi_resize"
    VDI_CLONE = "vdi_clone"
    VDI_SNAPSHOT = "vdi_snapshot"
    VDI_MIRROR = "vdi_mirror"
    VDI_ENABLE_CBT = "vdi_enable_cbt"
    VDI_DISABLE_CBT = "vdi_disable_cbt"
    VDI_DATA_DESTROY = "vdi_data_destroy"
    VDI_LIST_CHANGED_BLOCKS = "vdi_list_changed_blocks"
    VDI_SET_ON_BOOT = "vdi_set_on_boot"
    VDI_BLOCKED = "vdi_blocked"
    VDI_COPY = "vdi_copy"
    VDI_FORCE_UNLOCK = "vdi_force_unlock"
    VDI_FORGET = "vdi_forget"
    VDI_GENERATE_CONFIG = "vdi_generate_config"
    VDI_RESIZE_ONLINE = "vdi_resize_online"
    VDI_UPDATE = "vdi_update"
    VDI_REVERT = "vdi_revert"
    PBD_CREATE = "pbd_create"
    PBD_DESTROY = "pbd_destroy"


class SR(Entity, role=POOL_OPERATOR):
    """A place where virtual disks are kept, reached by one or more hosts through a storage driver."""

    uuid: DynamicRO[str] = identity()
    name_label: StaticRO[str] = field("name shown to people; not required to be unique", default="", group="name")
    name_description: StaticRO[str] = field("free-text remark shown to people", default="", group="name")
    allowed_operations: DynamicRO[SetOf[StorageOperations]] = field(
        "operations that may be started now; advisory, since the state can change at any moment",
        default=(),
        persistent=False,
    )
    current_operations: DynamicRO[Map[str, StorageOperations]] = field(
        "operations under way, keyed by the task that runs each of them", default={}, persistent=False
    )
    VDIs: DynamicRO[SetOf[Ref[VDI]]] = many(
        "VDI.SR", "every virtual disk the pool knows of in this SR, snapshots included"
    )
    PBDs: DynamicRO[SetOf[Ref[PBD]]] = many("PBD.SR", "attachments to hosts, at most one for each host")
    virtual_allocation: DynamicRO[int] = field(
        "bytes promised to disks: the sum of their virtual sizes; may exceed the physical size"
    )
    physical_utilisation: DynamicRO[int] = field(
        "bytes really occupied on the backing storage, as last reported by the driver"
    )
    physical_size: StaticRO[int] = field(
        "total capacity of the backing storage in bytes, as last reported by the driver"
    )
    type: StaticRO[str] = field("storage driver in charge, such as 'lvm', 'ext', 'nfs' or 'iso'; fixed at creation")
    content_type: StaticRO[str] = field("what the SR holds, for instance 'iso' for CD images or 'user' for guest disks")
    shared: DynamicRO[bool] = field("true if several hosts of the pool can use the same storage at once")
    other_config: RW[Map[str, str]] = field(
        "free settings of clients and toolstack, such as 'auto-scan' or 'dirty'",
        map_keys={"folder": VM_OPERATOR, "XenCenter.CustomFields.*": VM_OPERATOR},
    )
    tags: RW[SetOf[str]] = field(
        "labels that users attach for grouping and searching", default=(), since="orlando", writes=VM_OPERATOR
    )
    default_vdi_visibility: DynamicRO[bool] = field(
        "whether disks found in this SR are offered to users unless told otherwise", internal=True
    )
    sm_config: RW[Map[str, str]] = field(
        "settings the storage driver keeps for itself, beyond the device configuration", default={}, since="miami"
    )
    blobs: DynamicRO[Map[str, Ref[Blob]]] = field(
        "binary attachments stored with the SR, keyed by name", default={}, since="orlando"
    )
    local_cache_enabled: DynamicRO[bool] = field(
        "true if a host keeps its IntelliCache files of shared base disks here", default=False, since="cowley"
    )
    introduced_by: DynamicRO[Ref[DRTask]] = field(
        "disaster recovery task that brought this SR into the pool, or null", default=NULL, since="boston"
    )
    clustered: DynamicRO[bool] = field(
        "true if the driver relies on a cluster stack to coordinate the hosts", default=False, since="dundee"
    )
    is_tools_sr: DynamicRO[bool] = field(
        "true for the one SR that offers the guest tools ISO", default=False, since="dundee"
    )


@message(SR, errors=(SR_UNKNOWN_DRIVER,), param_since={"sm_config": "miami"})
def create(
    host: Ref[Host],
    device_config: Map[str, str],
    physical_size: int,
    name_label: str,
    name_description: str,
    type: str,
    content_type: str,
    shared: bool,
    sm_config: Map[str, str] = NOTHING,
) -> Ref[SR]:
    """Format the backing storage with the named driver and attach the new SR.

    Existing data there may be erased. A shared SR gets a PBD on every host of the pool, otherwise only on the given
    host.
    """


@message(SR, param_since={"sm_config": "miami"})
def introduce(
    uuid: str,
    name_label: str,
    name_description: str,
    type: str,
    content_type: str,
    shared: bool,
    sm_config: Map[str, str] = NOTHING,
) -> Ref[SR]:
    """Add the record of an SR that already exists on storage, leaving its contents untouched.

    Nothing is attached: create and plug a PBD for each host afterwards.
    """


@message(SR, since="published rio, deprecated miami", param_since={"sm_config": "miami"})
def make(
    host: Ref[Host],
    device_config: Map[str, str],
    physical_size: int,
    name_label: str,
    name_description: str,
    type: str,
    content_type: str,
    sm_config: Map[str, str] = NOTHING,
) -> str:
    """Format backing storage without recording an SR in the pool; deprecated in favour of SR.create."""


@message(SR, errors=(SR_HAS_PBD,))
def destroy(sr: Ref[SR]) -> None:
    """Erase the SR from its backing storage and drop its record.

    All its disks are lost. Refused while a PBD is still plugged.
    """


@message(SR, errors=(SR_HAS_PBD,))
def forget(sr: Ref[SR]) -> None:
    """Drop the SR's record, its PBDs and its disk records while leaving the data on storage alone.

    Refused while a PBD is still plugged. SR.introduce can bring the SR back.
    """


@message(SR, since="symc")
def update(sr: Ref[SR]) -> None:
    """Ask the driver to report sizes and settings again and store them in the SR's record."""


@message(SR, role=READ_ONLY, asynchronous=False)
def get_supported_types() -> SetOf[str]:
    """List the driver types for which the pool has a storage plug-in."""


@message(SR, role=VM_POWER_ADMIN)
def scan(sr: Ref[SR]) -> None:
    """Compare the disks on storage with the database and add, update or mark the VDI records to match."""


@message(SR, since="miami", param_since={"host": "rio", "device_config": "rio"})
def probe(host: Ref[Host], device_config: Map[str, str], type: str, sm_config: Map[str, str] = NOTHING) -> str:
    """Ask a driver what it finds with an incomplete device configuration and return its raw XML answer.

    Used to discover targets, LUNs or existing SRs before SR.create or SR.introduce.
    """


@message(
    SR,
    since="prototyped kolkata, published lima",
    param_since={"host": "kolkata", "device_config": "kolkata", "type": "kolkata", "sm_config": "kolkata"},
)
def probe_ext(
    host: Ref[Host], device_config: Map[str, str], type: str, sm_config: Map[str, str] = NOTHING
) -> SetOf[ProbeResult]:
    """Ask a driver what it finds with a device configuration and return structured results.

    Serves drivers that announce SR_PROBE; unlike SR.probe the answer needs no XML parsing.
    """


@message(SR)
def set_shared(sr: Ref[SR], value: bool) -> None:
    """Mark the SR as usable by several hosts or by one alone.

    Making it unshared is refused while more than one PBD exists.
    """


@message(SR)
def set_name_label(sr: Ref[SR], value: str) -> None:
    """Rename the SR, in the database and on the storage itself where the driver keeps the name."""


@message(SR)
def set_name_description(sr: Ref[SR], value: str) -> None:
    """Change the SR's remark, also on the storage where the driver keeps it."""


@message(SR, since="orlando", param_since={"public": "tampa"})
def create_new_blob(sr: Ref[SR], name: str, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Create an empty named binary attachment for the SR.

    A public blob can be downloaded without a login.
    """


@message(SR, since="miami", asynchronous=False)
def set_physical_size(self: Ref[SR], value: int) -> None:
    """Record the capacity in bytes as measured by the driver; the storage itself is not resized."""


@message(SR, role=LOCAL_ROOT, since="miami", asynchronous=False, hidden=True)
def set_virtual_allocation(self: Ref[SR], value: int) -> None:
    """Record how many bytes the driver has promised to disks."""


@message(SR, role=LOCAL_ROOT, since="miami", asynchronous=False, hidden=True)
def set_physical_utilisation(self: Ref[SR], value: int) -> None:
    """Record how many bytes the driver finds occupied."""


@message(SR, since="orlando")
def assert_can_host_ha_statefile(sr: Ref[SR]) -> None:
    """Fail unless the SR can hold the shared state file that high availability needs."""


@message(SR, since="boston")
def assert_supports_database_replication(sr: Ref[SR]) -> None:
    """Fail unless a copy of the pool database could be kept on this SR."""


@message(SR, since="boston")
def enable_database_replication(sr: Ref[SR]) -> None:
    """Start keeping a live copy of the pool database on this SR for disaster recovery."""


@message(SR, since="boston")
def disable_database_replication(sr: Ref[SR]) -> None:
    """Stop keeping a copy of the pool database on this SR."""


@message(SR, role=READ_ONLY, since="dundee", asynchronous=False)
def get_data_sources(sr: Ref[SR]) -> SetOf[DataSource]:
    """List the performance figures that can be measured for this SR, recorded or not."""


@message(SR, since="dundee", asynchronous=False)
def record_data_source(sr: Ref[SR], data_source: str) -> None:
    """Start archiving the named performance figure of this SR."""


@message(SR, role=READ_ONLY, since="dundee", asynchronous=False)
def query_data_source(sr: Ref[SR], data_source: str) -> float:
    """Return the latest value of the named performance figure."""


@message(SR, since="dundee", asynchronous=False)
def forget_data_source_archives(sr: Ref[SR], data_source: str) -> None:
    """Throw away the recorded history of the named performance figure."""


@message(SR, since="stockholm", hidden=True)
def get_live_hosts(sr: Ref[SR]) -> SetOf[Ref[Host]]:
    """List the enabled, running hosts on which this SR is attached."""
