"""XenAPI's class VDI."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.errors import (
    OPERATION_NOT_ALLOWED,
    SR_HAS_NO_PBDS,
    SR_NOT_ATTACHED,
    SR_OPERATION_NOT_SUPPORTED,
    UNIMPLEMENTED_IN_SM_BACKEND,
    VDI_IN_USE,
    VDI_INCOMPATIBLE_TYPE,
    VDI_IS_A_PHYSICAL_DEVICE,
    VDI_MISSING,
    VDI_NO_CBT_METADATA,
    VDI_NOT_SPARSE,
    VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION,
    VDI_READONLY,
    VDI_TOO_SMALL,
)
from xapi.datamodel.model import (
    EPOCH,
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
from xapi.datamodel.roles import LOCAL_ROOT, POOL_OPERATOR, READ_ONLY, VM_ADMIN, VM_OPERATOR, VM_POWER_ADMIN
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.crashdump import Crashdump
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.pool import Pool
    from xapi.datamodel.classes.session import Session
    from xapi.datamodel.classes.sr import SR
    from xapi.datamodel.classes.vbd import VBD
    from xapi.datamodel.classes.vdi_nbd_server_info import VDINbdServerInfo


class OnBoot(WireEnum):
    """Whether a disk starts each boot from a fixed state or keeps what was written."""

    RESET = "reset"
    PERSIST = "persist"


class VdiOperations(WireEnum):
    """Actions on a disk that can be allowed or under way."""

    CLONE = "clone"
    COPY = "copy"
    RESIZE = "resize"
    RESIZE_ONLINE = "resize_online"
    SNAPSHOT = "snapshot"
    MIRROR = "mirror"
    DESTROY = "destroy"
    FORGET = "forget"
    UPDATE = "update"
    FORCE_UNLOCK = "force_unlock"
    GENERATE_CONFIG = "generate_config"
    ENABLE_CBT = "enable_cbt"
    DISABLE_CBT = "disable_cbt"
    DATA_DESTROY = "data_destroy"
    LIST_CHANGED_BLOCKS = "list_changed_blocks"
    SET_ON_BOOT = "set_on_boot"
    BLOCKED = "blocked"
    REVERT_TO = "revert_to"
    REVERT_FROM = "revert_from"


class VdiType(WireEnum):
    """Purpose of a disk: guest use, saved memory, or records the toolstack keeps for itself."""

    SYSTEM = "system"
    USER = "user"
    EPHEMERAL = "ephemeral"
    SUSPEND = "suspend"
    CRASHDUMP = "crashdump"
    HA_STATEFILE = "ha_statefile"
    METADATA = "metadata"
    REDO_LOG = "redo_log"
    RRD = "rrd"
    PVS_CACHE = "pvs_cache"
    CBT_METADATA = "cbt_metadata"


class VDI(Entity, role=VM_ADMIN, constructor=True):
    """A virtual disk image kept in an SR, which VMs use through VBDs."""

    uuid: DynamicRO[str] = identity()
    name_label: StaticRO[str] = field("name shown to people; not required to be unique", default="", group="name")
    name_description: StaticRO[str] = field("free-text remark shown to people", default="", group="name")
    allowed_operations: DynamicRO[SetOf[VdiOperations]] = field(
        "operations that may be started now; advisory, since the state can change at any moment",
        default=(),
        persistent=False,
    )
    current_operations: DynamicRO[Map[str, VdiOperations]] = field(
        "operations under way, keyed by the task that runs each of them", default={}, persistent=False
    )
    SR: StaticRO[Ref[classes.SR]] = field("storage repository that holds the disk")
    VBDs: DynamicRO[SetOf[Ref[VBD]]] = many("VBD.VDI", "connections to VMs, whether plugged or not")
    crash_dumps: DynamicRO[SetOf[Ref[Crashdump]]] = many("crashdump.VDI", "guest crash dumps stored in this disk")
    virtual_size: StaticRO[int] = field("size in bytes that a guest sees")
    physical_utilisation: DynamicRO[int] = field(
        "bytes the image occupies on storage now, usually less than the virtual size if thin"
    )
    type: StaticRO[VdiType] = field("purpose the disk serves, such as a guest's data or a suspend image")
    sharable: StaticRO[bool] = field("true if several VMs may write to the disk at the same time")
    read_only: StaticRO[bool] = field("true if the disk may only be attached for reading")
    other_config: RW[Map[str, str]] = field(
        "free settings of clients and toolstack",
        map_keys={"folder": VM_OPERATOR, "XenCenter.CustomFields.*": VM_OPERATOR},
    )
    storage_lock: DynamicRO[bool] = field("true while the storage driver holds a lock on the disk")
    location: DynamicRO[str] = field(
        "driver's own name for the image within the SR, for instance a file name or the UUID", default="", since="miami"
    )
    managed: DynamicRO[bool] = field("false for internal nodes of a snapshot tree that users cannot attach")
    missing: DynamicRO[bool] = field("true if the last scan of the SR no longer found the image on storage")
    parent: DynamicRO[Ref[VDI]] = field(
        "always null now; once pointed to the image this one was derived from", since="published rio, deprecated ely"
    )
    xenstore_data: RW[Map[str, str]] = field(
        "entries the storage driver wants under the disk's backend path in xenstore", default={}, since="miami"
    )
    sm_config: RW[Map[str, str]] = field(
        "settings the storage driver keeps for this disk, such as the image format", default={}, since="miami"
    )
    is_a_snapshot: DynamicRO[bool] = field(
        "true if the disk is a frozen copy of another one", default=False, since="orlando"
    )
    snapshot_of: DynamicRO[Ref[VDI]] = field(
        "disk this snapshot was taken from; null for other disks or once the original is gone",
        default=NULL,
        since="orlando",
    )
    snapshots: DynamicRO[SetOf[Ref[VDI]]] = many(
        "VDI.snapshot_of", "snapshots taken from this disk that still exist", since="orlando"
    )
    snapshot_time: DynamicRO[datetime] = field(
        "moment at which the snapshot was taken; 1970-01-01 for disks that are none", default=EPOCH, since="orlando"
    )
    tags: RW[SetOf[str]] = field(
        "labels that users attach for grouping and searching", default=(), since="orlando", writes=VM_OPERATOR
    )
    allow_caching: DynamicRO[bool] = field(
        "true if hosts may keep a copy of this disk's blocks in their local cache SR", default=False, since="cowley"
    )
    on_boot: DynamicRO[OnBoot] = field(
        "whether the disk keeps its contents or is rolled back each time its VM starts",
        default=OnBoot.PERSIST,
        since="cowley",
    )
    metadata_of_pool: DynamicRO[Ref[Pool]] = field(
        "pool whose replicated database this disk holds, or null", default=NULL, since="boston"
    )
    metadata_latest: DynamicRO[bool] = field(
        "true if no other disk holds newer metadata of the same pool", default=False, since="boston"
    )
    is_tools_iso: DynamicRO[bool] = field("true for the ISO image with the guest tools", default=False, since="dundee")
    cbt_enabled: DynamicRO[bool] = field(
        "true while changed blocks are tracked, so that incremental backups are possible",
        default=False,
        since="inverness",
    )


@message(VDI, param_since={"driver_params": "miami"})
def snapshot(vdi: Ref[VDI], driver_params: Map[str, str] = NOTHING) -> Ref[VDI]:
    """Take a read-only copy of the disk as it is now.

    driver_params are handed to the storage driver unchanged. Works on a disk in use; the guest's caches are not
    flushed.
    """


@message(VDI, param_since={"driver_params": "miami"})
def clone(vdi: Ref[VDI], driver_params: Map[str, str] = NOTHING) -> Ref[VDI]:
    """Make an independent writable copy in the same SR, sharing unchanged blocks where the driver can.

    A driver without fast cloning falls back to a full copy.
    """


@message(VDI)
def resize(vdi: Ref[VDI], size: int) -> None:
    """Change the virtual size to the given number of bytes.

    Drivers generally refuse to shrink, and many refuse while the disk is attached to a running VM.
    """


@message(VDI, since="published rio, deprecated inverness, removed inverness, published 26.16.1-next")
def resize_online(vdi: Ref[VDI], size: int) -> None:
    """Grow a disk, in bytes, while a running VM uses it; only some drivers can."""


@message(
    VDI,
    errors=(SR_OPERATION_NOT_SUPPORTED,),
    since="miami",
    param_since={
        "uuid": "rio",
        "name_label": "rio",
        "name_description": "rio",
        "SR": "rio",
        "type": "rio",
        "sharable": "rio",
        "read_only": "rio",
        "other_config": "rio",
        "location": "rio",
        "xenstore_data": "rio",
        "managed": "tampa",
        "virtual_size": "tampa",
        "physical_utilisation": "tampa",
        "metadata_of_pool": "tampa",
        "is_a_snapshot": "tampa",
        "snapshot_time": "tampa",
        "snapshot_of": "tampa",
    },
)
def introduce(
    uuid: str,
    name_label: str,
    name_description: str,
    SR: Ref[SR],
    type: VdiType,
    sharable: bool,
    read_only: bool,
    other_config: Map[str, str],
    location: str,
    xenstore_data: Map[str, str] = NOTHING,
    sm_config: Map[str, str] = NOTHING,
    managed: bool = True,
    virtual_size: int = 0,
    physical_utilisation: int = 0,
    metadata_of_pool: Ref[Pool] = NULL,
    is_a_snapshot: bool = False,
    snapshot_time: datetime = EPOCH,
    snapshot_of: Ref[VDI] = NULL,
) -> Ref[VDI]:
    """Add the record of a disk image that already exists in the SR.

    The driver is asked to verify it; refused if the SR's driver cannot introduce disks.
    """


@message(
    VDI,
    hidden=True,
    param_since={
        "uuid": "miami",
        "name_label": "miami",
        "name_description": "miami",
        "SR": "miami",
        "type": "miami",
        "sharable": "miami",
        "read_only": "miami",
        "other_config": "miami",
        "location": "miami",
        "xenstore_data": "miami",
        "sm_config": "miami",
        "managed": "tampa",
        "virtual_size": "tampa",
        "physical_utilisation": "tampa",
        "metadata_of_pool": "tampa",
        "is_a_snapshot": "tampa",
        "snapshot_time": "tampa",
        "snapshot_of": "tampa",
        "cbt_enabled": "inverness",
    },
)
def pool_introduce(
    uuid: str,
    name_label: str,
    name_description: str,
    SR: Ref[SR],
    type: VdiType,
    sharable: bool,
    read_only: bool,
    other_config: Map[str, str],
    location: str,
    xenstore_data: Map[str, str] = NOTHING,
    sm_config: Map[str, str] = NOTHING,
    managed: bool = True,
    virtual_size: int = 0,
    physical_utilisation: int = 0,
    metadata_of_pool: Ref[Pool] = NULL,
    is_a_snapshot: bool = False,
    snapshot_time: datetime = EPOCH,
    snapshot_of: Ref[VDI] = NULL,
    cbt_enabled: bool = False,
) -> Ref[VDI]:
    """Add a disk's record on behalf of the storage layer, without contacting the driver."""


@message(
    VDI,
    role=LOCAL_ROOT,
    hidden=True,
    param_since={
        "uuid": "miami",
        "name_label": "miami",
        "name_description": "miami",
        "SR": "miami",
        "type": "miami",
        "sharable": "miami",
        "read_only": "miami",
        "other_config": "miami",
        "location": "miami",
        "xenstore_data": "miami",
        "sm_config": "miami",
        "managed": "tampa",
        "virtual_size": "tampa",
        "physical_utilisation": "tampa",
        "metadata_of_pool": "tampa",
        "is_a_snapshot": "tampa",
        "snapshot_time": "tampa",
        "snapshot_of": "tampa",
        "cbt_enabled": "inverness",
    },
)
def db_introduce(
    uuid: str,
    name_label: str,
    name_description: str,
    SR: Ref[SR],
    type: VdiType,
    sharable: bool,
    read_only: bool,
    other_config: Map[str, str],
    location: str,
    xenstore_data: Map[str, str] = NOTHING,
    sm_config: Map[str, str] = NOTHING,
    managed: bool = True,
    virtual_size: int = 0,
    physical_utilisation: int = 0,
    metadata_of_pool: Ref[Pool] = NULL,
    is_a_snapshot: bool = False,
    snapshot_time: datetime = EPOCH,
    snapshot_of: Ref[VDI] = NULL,
    cbt_enabled: bool = False,
) -> Ref[VDI]:
    """Create only the database record of a disk; for use by storage drivers."""


@message(VDI, role=LOCAL_ROOT, since="miami", hidden=True)
def db_forget(vdi: Ref[VDI]) -> None:
    """Remove only the database record of a disk; for use by storage drivers."""


@message(VDI, errors=(SR_OPERATION_NOT_SUPPORTED,), since="symc")
def update(vdi: Ref[VDI]) -> None:
    """Ask the driver to report the disk's properties again and store them in the record."""


@message(
    VDI,
    errors=(VDI_READONLY, VDI_TOO_SMALL, VDI_NOT_SPARSE),
    since="published rio, extended cowley, extended clearwater-felton",
    param_since={"base_vdi": "clearwater-felton", "into_vdi": "clearwater-felton"},
)
def copy(vdi: Ref[VDI], sr: Ref[SR] = NULL, base_vdi: Ref[VDI] = NULL, into_vdi: Ref[VDI] = NULL) -> Ref[VDI]:
    """Copy the whole contents into a new disk in an SR or into an existing disk.

    Name the destination by sr or by into_vdi. With base_vdi, already present at the destination, only the
    differences are transferred.
    """


@message(VDI, since="published rio, deprecated miami", hidden=True)
def force_unlock(vdi: Ref[VDI]) -> None:
    """Break the storage lock of a disk; deprecated, since locks are no longer left behind."""


@message(VDI, role=LOCAL_ROOT, asynchronous=False, hidden=True)
def set_managed(self: Ref[VDI], value: bool) -> None:
    """Record whether users may see and attach the disk; for storage drivers."""


@message(VDI)
def forget(vdi: Ref[VDI]) -> None:
    """Drop the disk's record without touching the image on storage.

    Until removed there, the image returns with the next SR.scan.
    """


@message(VDI, since="george", asynchronous=False)
def set_sharable(self: Ref[VDI], value: bool) -> None:
    """Declare whether several VMs may write to the disk at once."""


@message(VDI, asynchronous=False)
def set_read_only(self: Ref[VDI], value: bool) -> None:
    """Declare whether the disk may be attached for reading only."""


@message(VDI, role=LOCAL_ROOT, since="miami", asynchronous=False, hidden=True)
def set_missing(self: Ref[VDI], value: bool) -> None:
    """Record whether a scan failed to find the image; for storage drivers."""


@message(VDI, role=LOCAL_ROOT, since="miami", asynchronous=False, hidden=True)
def set_virtual_size(self: Ref[VDI], value: int) -> None:
    """Record the size in bytes that guests see; for storage drivers, nothing is resized."""


@message(VDI, role=LOCAL_ROOT, since="miami", asynchronous=False, hidden=True)
def set_physical_utilisation(self: Ref[VDI], value: int) -> None:
    """Record the bytes the image occupies on storage; for storage drivers."""


@message(VDI, role=LOCAL_ROOT, since="boston", asynchronous=False, hidden=True)
def set_is_a_snapshot(self: Ref[VDI], value: bool) -> None:
    """Record whether the disk is a snapshot, without changing the image."""


@message(VDI, role=LOCAL_ROOT, since="boston", asynchronous=False, hidden=True)
def set_snapshot_of(self: Ref[VDI], value: Ref[VDI]) -> None:
    """Record which disk this snapshot was taken from, without changing the image."""


@message(VDI, role=LOCAL_ROOT, since="boston", asynchronous=False, hidden=True)
def set_snapshot_time(self: Ref[VDI], value: datetime) -> None:
    """Record when the snapshot was taken."""


@message(VDI, role=LOCAL_ROOT, since="boston", asynchronous=False, hidden=True)
def set_metadata_of_pool(self: Ref[VDI], value: Ref[Pool]) -> None:
    """Record which pool's database the disk holds."""


@message(VDI)
def set_name_label(self: Ref[VDI], value: str) -> None:
    """Rename the disk, on storage too where the driver keeps the name."""


@message(VDI)
def set_name_description(self: Ref[VDI], value: str) -> None:
    """Change the disk's remark, on storage too where the driver keeps it."""


@message(VDI, since="orlando", hidden=True)
def generate_config(host: Ref[Host], vdi: Ref[VDI]) -> str:
    """Return the configuration with which the host could attach the disk without the toolstack.

    Meant for disks needed before the toolstack runs, such as the HA state file.
    """


@message(VDI, since="cowley")
def set_on_boot(self: Ref[VDI], value: OnBoot) -> None:
    """Choose whether the disk is reset to its current contents whenever its VM starts.

    Only possible if the SR's driver supports it and the disk is not in use.
    """


@message(VDI, since="cowley")
def set_allow_caching(self: Ref[VDI], value: bool) -> None:
    """Permit or forbid hosts to cache the disk's blocks on their local cache SR."""


@message(VDI, role=POOL_OPERATOR, since="boston")
def open_database(self: Ref[VDI]) -> Ref[Session]:
    """Load the pool database stored in the disk and return a session for reading it.

    Refused unless the disk is of type metadata. Log out of the session when done.
    """


@message(VDI, since="boston", hidden=True)
def checksum(self: Ref[VDI]) -> str:
    """Compute the MD5 sum of the disk's contents; reads the whole disk."""


@message(VDI, role=READ_ONLY, since="boston")
def read_database_pool_uuid(self: Ref[VDI]) -> str:
    """Return the UUID of the pool whose database the disk holds, from a cache if one is kept."""


@message(VDI, role=VM_POWER_ADMIN, since="tampa")
def pool_migrate(vdi: Ref[VDI], sr: Ref[SR], options: Map[str, str]) -> Ref[VDI]:
    """Move the disk to another SR, even while a running VM of the pool uses it.

    Returns the disk at the destination. The original is removed; a VM in use keeps running during the transfer.
    """


@message(
    VDI,
    errors=(
        SR_OPERATION_NOT_SUPPORTED,
        VDI_MISSING,
        SR_NOT_ATTACHED,
        SR_HAS_NO_PBDS,
        OPERATION_NOT_ALLOWED,
        VDI_INCOMPATIBLE_TYPE,
        VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION,
    ),
    since="inverness",
)
def enable_cbt(self: Ref[VDI]) -> None:
    """Start tracking which blocks are written; does nothing if tracking is already on.

    Refused for snapshots and for SRs whose driver cannot track changes.
    """


@message(
    VDI,
    errors=(
        SR_OPERATION_NOT_SUPPORTED,
        VDI_MISSING,
        SR_NOT_ATTACHED,
        SR_HAS_NO_PBDS,
        OPERATION_NOT_ALLOWED,
        VDI_INCOMPATIBLE_TYPE,
        VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION,
    ),
    since="inverness",
)
def disable_cbt(self: Ref[VDI]) -> None:
    """Stop tracking changed blocks; does nothing if tracking is already off.

    Earlier snapshots keep their records, but no differences can be computed across the gap.
    """


@message(VDI, role=LOCAL_ROOT, since="inverness", hidden=True)
def set_cbt_enabled(self: Ref[VDI], value: bool) -> None:
    """Record whether changed blocks are tracked; for storage drivers, use enable_cbt otherwise."""


@message(
    VDI,
    errors=(
        SR_OPERATION_NOT_SUPPORTED,
        VDI_MISSING,
        SR_NOT_ATTACHED,
        SR_HAS_NO_PBDS,
        OPERATION_NOT_ALLOWED,
        VDI_INCOMPATIBLE_TYPE,
        VDI_NO_CBT_METADATA,
        VDI_IN_USE,
        VDI_IS_A_PHYSICAL_DEVICE,
    ),
    since="inverness",
)
def data_destroy(self: Ref[VDI]) -> None:
    """Delete a snapshot's data but keep its record of changed blocks.

    The disk becomes type cbt_metadata. Refused without tracking, for non-snapshots or while a VBD uses it.
    """


@message(
    VDI,
    role=VM_OPERATOR,
    errors=(SR_OPERATION_NOT_SUPPORTED, VDI_MISSING, SR_NOT_ATTACHED, SR_HAS_NO_PBDS, VDI_IN_USE),
    since="inverness",
)
def list_changed_blocks(vdi_from: Ref[VDI], vdi_to: Ref[VDI]) -> str:
    """Compare two tracked states of a disk and return a base64 bitmap of the blocks that differ.

    Each bit stands for 64 KiB, the first bit being the most significant one of the first byte.
    """


@message(VDI, errors=(VDI_INCOMPATIBLE_TYPE,), since="inverness", asynchronous=False)
def get_nbd_info(self: Ref[VDI]) -> SetOf[VDINbdServerInfo]:
    """List the NBD servers, with address and export name, from which the disk can be read.

    Needs a network with an NBD purpose on a host that reaches the SR; the export name contains the caller's
    session.
    """


@message(VDI, role=VM_POWER_ADMIN, errors=(UNIMPLEMENTED_IN_SM_BACKEND,), since="prototyped 26.16.0")
def revert(snapshot: Ref[VDI]) -> None:
    """Roll the disk a snapshot was taken from back to the snapshot's contents."""
