"""What a storage driver takes and gives: one narrow Protocol per concern.

A driver (`SrDriver`) knows one SR type. Attaching an SR gives an `AttachedSr`, a handle by which its disks are listed,
made, changed and reached. Handles may be used from several threads; operations on one SR that change its chains follow
one another inside the driver. A driver knows no session, no database, no task and no environment variable.

Disks are named by their *location* (see `facts`). Importers need this module only: the values live in `facts`, the
errors in `errors`.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, Self, runtime_checkable

from xapi.storage.errors import (
    ChainTooDeep,
    DataDamaged,
    InvalidConfiguration,
    NoChangeTracking,
    SrExists,
    SrFull,
    SrInUse,
    SrNotEmpty,
    SrReadOnly,
    SrUnavailable,
    StorageFailure,
    Unsupported,
    VdiExists,
    VdiInUse,
    VdiMissing,
    VdiReadOnly,
    VdiSizeInvalid,
    VdiUnavailable,
)
from xapi.storage.facts import (
    EPOCH,
    MAXIMUM_CHAIN,
    MAXIMUM_VHD_SIZE,
    Backend,
    CreateVdi,
    Extent,
    Feature,
    FileBackend,
    NbdBackend,
    Paths,
    ProbeResult,
    ScanResult,
    SrDriverType,
    SrHealth,
    SrStat,
    VdiFacts,
)

__all__ = [
    "EPOCH",
    "MAXIMUM_CHAIN",
    "MAXIMUM_VHD_SIZE",
    "AttachedSr",
    "Backend",
    "ChainTooDeep",
    "ChangedBlocks",
    "CreateVdi",
    "DataDamaged",
    "DataPaths",
    "DiskReader",
    "DiskWriter",
    "Disks",
    "Extent",
    "Feature",
    "FileBackend",
    "InvalidConfiguration",
    "NbdBackend",
    "NoChangeTracking",
    "Paths",
    "ProbeResult",
    "ScanResult",
    "SrDriver",
    "SrDriverType",
    "SrExists",
    "SrFull",
    "SrHealth",
    "SrInUse",
    "SrNotEmpty",
    "SrReadOnly",
    "SrStat",
    "SrUnavailable",
    "StorageFailure",
    "Unsupported",
    "VdiExists",
    "VdiFacts",
    "VdiInUse",
    "VdiMissing",
    "VdiReadOnly",
    "VdiSizeInvalid",
    "VdiUnavailable",
]


class DataPaths(Protocol):
    """The way to whatever serves the disks of running guests, so that a driver can change a chain under it."""

    def paused(self, sr_uuid: str, location: str) -> AbstractContextManager[None]:
        """While inside, no request reaches the disk's files; on leaving, they are opened anew by their names.

        Does nothing for a disk that nobody serves.
        """


class DiskReader(Protocol):
    """An open disk, for export and copying. Offsets and lengths are bytes of the virtual disk."""

    @property
    def size(self) -> int:
        """The size of the virtual disk."""

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`; DataDamaged outside the disk or where reading fails."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset`."""

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[Extent]:
        """Yield the pieces of a range in order and without gaps; zeros need not be read."""

    def close(self) -> None:
        """Give the disk up; a second call does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class DiskWriter(DiskReader, Protocol):
    """An open disk, for import and copying into. Writes begin and end on 512 bytes."""

    def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data` at `offset`; SrFull where there is no room."""

    def write_zeros(self, offset: int, length: int) -> None:
        """Make a range read as zeros, storing none where the format allows it."""

    def flush(self) -> None:
        """Return when everything written so far is on stable storage."""


class Disks(Protocol):
    """The disks of an attached SR, as things to make, change and reach."""

    def find(self, location: str) -> VdiFacts:
        """Return what is known of one disk now; VdiMissing if there is none."""

    def create(self, wanted: CreateVdi) -> VdiFacts:
        """Make an empty disk of at least the wanted size.

        VdiExists, SrFull, VdiSizeInvalid, Unsupported.
        """

    def destroy(self, location: str) -> None:
        """Remove a disk and its data; VdiInUse while it is attached. Snapshots and clones of it stay whole."""

    def introduce(self, uuid: str, location: str) -> VdiFacts:
        """Return what is known of a disk that the SR holds and that was not recorded; VdiMissing if it doesn't."""

    def update(self, location: str, name_label: str, name_description: str) -> None:
        """Keep a disk's name and description beside its data, as far as the driver keeps such things."""

    def resize(self, location: str, size: int) -> VdiFacts:
        """Grow a disk that is not attached; VdiInUse, VdiSizeInvalid (also for less than it has), SrFull."""

    def resize_online(self, location: str, size: int) -> VdiFacts:
        """Grow a disk, attached or not; the guest has to be told by whoever serves it."""

    def snapshot(self, location: str, uuid: str, is_a_snapshot: bool = True) -> VdiFacts:
        """Freeze what a disk holds now into a new disk; the original keeps its location.

        Works on attached disks too. Without `is_a_snapshot` the new disk is an ordinary one, as after a clone.
        ChainTooDeep, SrFull, VdiMissing.
        """

    def clone(self, location: str, uuid: str) -> VdiFacts:
        """Make a new, writable disk that holds what another holds now. ChainTooDeep, SrFull, VdiMissing."""

    def destroy_data(self, location: str) -> VdiFacts:
        """Drop a snapshot's data and keep its record of changed blocks (type becomes cbt_metadata)."""

    def attach(self, location: str, read_only: bool) -> Backend:
        """Make a disk reachable and say how; VdiInUse if it is attached for writing already, unless sharable.

        An attachment counts; each wants a detach. After a restart of the toolstack, attachments are made anew.
        """

    def activate(self, location: str) -> None:
        """Make an attached disk ready for reads and writes."""

    def deactivate(self, location: str) -> None:
        """Return when no more reads and writes can come and all are on stable storage."""

    def detach(self, location: str) -> None:
        """Take back one attachment; does nothing for a disk that is not attached."""

    def open_for_reading(self, location: str) -> DiskReader:
        """Open a disk for export or copying; VdiUnavailable if a part of it is missing or damaged."""

    def open_for_writing(self, location: str) -> DiskWriter:
        """Open a disk for import; VdiInUse if it is attached for writing, VdiReadOnly."""

    def generate_config(self, location: str) -> str:
        """Return a text with which the disk can be attached without this toolstack (for HA); Unsupported."""


class ChangedBlocks(Protocol):
    """Tracking which blocks of a disk change between snapshots."""

    def enable_cbt(self, location: str) -> None:
        """Begin to record what changes."""

    def disable_cbt(self, location: str) -> None:
        """Stop recording and drop the record."""

    def changed_blocks(self, base: str, location: str) -> bytes:
        """Return one bit per 64 KiB of `location`, first bit highest: set where it may differ from `base`.

        NoChangeTracking where the record does not reach from one to the other.
        """


class AttachedSr(Disks, ChangedBlocks, Protocol):
    """A storage repository that this host can reach now."""

    @property
    def uuid(self) -> str:
        """The SR's UUID."""

    def scan(self) -> ScanResult:
        """Look at everything that is there; a damaged disk is left out or marked, it does not spoil the scan."""

    def stat(self) -> SrStat:
        """Return space and health now; does not raise for an SR that has become unreachable, but says so."""

    def update_sr(self, name_label: str, name_description: str) -> None:
        """Keep the SR's name and description on the SR, as far as the driver keeps such things."""

    def detach_sr(self) -> None:
        """Detach the SR from this host; SrInUse while disks are attached. A second call does nothing."""

    def destroy_sr(self) -> None:
        """Destroy the SR with all that it keeps, and detach it; SrNotEmpty while disks are there."""


class SrDriver(Protocol):
    """One type of storage repository."""

    @property
    def type(self) -> SrDriverType:
        """What this driver is and can do; never changes."""

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Return, as XML, what SRs or devices are found with an incomplete device_config; Unsupported."""

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Return the findings of a probe as values; Unsupported."""

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Make an SR and return the sm_config to record; SrExists, InvalidConfiguration, SrUnavailable."""

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> AttachedSr:
        """Make an existing SR reachable from this host; finishes or undoes what a killed process left half done."""


@runtime_checkable
class ReachesLuns(Protocol):
    """What drivers with SR_MULTIPATH tell besides."""

    def paths(self, sr_uuids: Collection[str]) -> Mapping[str, Paths]:
        """Return how those of some SRs are reached now that are attached through this driver."""
