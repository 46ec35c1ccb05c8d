"""The values that go into storage drivers and come out of them: frozen, free of references to anything that runs.

Sizes are bytes, instants are aware UTC datetimes. The *location* of a disk is its name within its SR (the UUID for
drivers that choose names themselves, the file's name for ISO images); the pair of SR and location never changes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAXIMUM_VHD_SIZE = 2040 << 30
"""The largest virtual disk that VHD drivers make, in bytes (what XenServer allows, a little under the format's end)."""
MAXIMUM_CHAIN = 30
"""The number of links from which on a chain refuses snapshots and clones."""


class Feature(enum.StrEnum):
    """Abilities of a driver, by the names that SM.features and SM.capabilities have them."""

    SR_PROBE = "SR_PROBE"
    SR_UPDATE = "SR_UPDATE"
    SR_SUPPORTS_LOCAL_CACHING = "SR_SUPPORTS_LOCAL_CACHING"
    SR_METADATA = "SR_METADATA"
    SR_TRIM = "SR_TRIM"
    SR_MULTIPATH = "SR_MULTIPATH"
    SR_CACHING = "SR_CACHING"
    VDI_CREATE = "VDI_CREATE"
    VDI_DELETE = "VDI_DELETE"
    VDI_ATTACH = "VDI_ATTACH"
    VDI_ATTACH_OFFLINE = "VDI_ATTACH_OFFLINE"
    VDI_DETACH = "VDI_DETACH"
    VDI_ACTIVATE = "VDI_ACTIVATE"
    VDI_DEACTIVATE = "VDI_DEACTIVATE"
    VDI_RESIZE = "VDI_RESIZE"
    VDI_RESIZE_ONLINE = "VDI_RESIZE_ONLINE"
    VDI_CLONE = "VDI_CLONE"
    VDI_SNAPSHOT = "VDI_SNAPSHOT"
    VDI_GENERATE_CONFIG = "VDI_GENERATE_CONFIG"
    VDI_UPDATE = "VDI_UPDATE"
    VDI_INTRODUCE = "VDI_INTRODUCE"
    VDI_RESET_ON_BOOT = "VDI_RESET_ON_BOOT"
    VDI_READ_CACHING = "VDI_READ_CACHING"
    SR_SCAN = "SR_SCAN"
    SR_ATTACH = "SR_ATTACH"
    SR_DETACH = "SR_DETACH"
    VDI_CONFIG_CBT = "VDI_CONFIG_CBT"
    VDI_MIRROR = "VDI_MIRROR"
    ATOMIC_PAUSE = "ATOMIC_PAUSE"
    THIN_PROVISIONING = "THIN_PROVISIONING"


MULTIPATHING, MULTIPATH_HANDLE = "multipathing", "multipathhandle"
"""The keys of a device_config that tell drivers with SR_MULTIPATH whether to use all paths to a LUN, and by what."""


@dataclass(frozen=True, slots=True)
class SrDriverType:
    """What an SM record says of a driver. `configuration` explains the device_config keys that it understands."""

    name: str
    label: str
    description: str
    configuration: Mapping[str, str]
    features: Mapping[Feature, int]
    driver_filename: str
    vendor: str = "xapi project"
    copyright: str = "© the xapi authors, LGPL-2.1-or-later"
    version: str = "1.0"
    required_api_version: str = "1.0"
    supported_image_formats: tuple[str, ...] = ()
    is_shared: bool = False
    required_cluster_stack: tuple[str, ...] = ()
    content_type: str = "user"  # the SR.content_type when the caller names none

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The names of the features without their versions, as SM.capabilities has them."""
        return tuple(sorted(self.features))


class SrHealth(enum.StrEnum):
    """Condition of an SR, by the names of XenAPI's enum sr_health."""

    HEALTHY = "healthy"
    RECOVERING = "recovering"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class SrStat:
    """Space and health of an SR; `uuid` is None where what was found has none yet."""

    total: int
    free: int
    uuid: str | None = None
    name_label: str = ""
    name_description: str = ""
    clustered: bool = False
    health: SrHealth = SrHealth.HEALTHY

    @property
    def used(self) -> int:
        """The bytes that are taken."""
        return self.total - self.free


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One finding of a probe: a device_config that leads to it, and the SR that is already there, if any."""

    configuration: Mapping[str, str]
    complete: bool
    sr: SrStat | None = None
    extra_info: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreateVdi:
    """What a new disk is to be. `uuid` becomes its location where the driver chooses names; `type` is a vdi_type.

    `snapshot_of` and `snapshot_time` are given when the record of a snapshot is carried over from another SR.
    """

    uuid: str
    virtual_size: int
    name_label: str = ""
    name_description: str = ""
    type: str = "user"
    read_only: bool = False
    sharable: bool = False
    is_a_snapshot: bool = False
    snapshot_of: str = ""
    snapshot_time: datetime = EPOCH
    metadata_of_pool: str = ""
    sm_config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VdiFacts:
    """What a driver knows of one disk. `snapshot_of` is a VDI's UUID or empty.

    A disk that is not `managed` is an inner node of a chain: it is recorded, and cannot be used.
    `sm_config` has `vdi_type` and `image-format`, and `vhd-parent` (a UUID) where there is a parent.
    """

    uuid: str
    location: str
    virtual_size: int
    physical_utilisation: int
    name_label: str = ""
    name_description: str = ""
    type: str = "user"
    read_only: bool = False
    sharable: bool = False
    is_a_snapshot: bool = False
    snapshot_of: str = ""
    snapshot_time: datetime = EPOCH
    metadata_of_pool: str = ""
    managed: bool = True
    missing: bool = False
    cbt_enabled: bool = False
    sm_config: Mapping[str, str] = field(default_factory=dict)

    @property
    def parent(self) -> str:
        """The UUID of the disk that this one depends on, or empty."""
        return self.sm_config.get("vhd-parent", "")


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Everything that is in an SR now, with its figures: physical total and used, and the virtual allocation."""

    vdis: tuple[VdiFacts, ...]
    total: int
    used: int
    virtual: int


@dataclass(frozen=True, slots=True)
class Paths:
    """How a host reaches the LUN of an attached SR: how many paths work of how many there are, None without multipath.

    `sessions` is the number of iSCSI sessions to the LUN's target, None where it is reached otherwise.
    """

    scsi_id: str
    active: int | None = None
    known: int | None = None
    sessions: int | None = None


@dataclass(frozen=True, slots=True)
class FileBackend:
    """A disk to be reached as a file or block device; `format` is raw or vhd (a chain, to be served by a datapath)."""

    path: str
    format: str = "raw"
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class NbdBackend:
    """A disk that is served by NBD on a Unix socket."""

    socket: str
    export: str = ""
    read_only: bool = False


Backend = FileBackend | NbdBackend


class Extent(NamedTuple):
    """A piece of a disk that lies in one piece in one open file; descriptor -1 where it reads as zeros.

    With the descriptor, bulk data goes by sendfile or copy_file_range and never through Python. It is good while the
    disk that yielded it is open.
    """

    offset: int
    length: int
    descriptor: int
    place: int

    @property
    def zero(self) -> bool:
        """Whether the piece holds nothing but zeros."""
        return self.descriptor < 0
