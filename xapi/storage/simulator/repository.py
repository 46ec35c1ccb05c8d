"""A simulated SR: disks are entries in memory, with a sparse file each from the first write on."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from xapi.storage.attachments import Attachments
from xapi.storage.errors import (
    NoChangeTracking,
    SrFull,
    SrInUse,
    SrNotEmpty,
    StorageFailure,
    VdiExists,
    VdiMissing,
    VdiReadOnly,
    VdiSizeInvalid,
    VdiUnavailable,
)
from xapi.storage.facts import EPOCH, Backend, CreateVdi, FileBackend, ScanResult, SrHealth, SrStat, VdiFacts
from xapi.storage.failures import translated
from xapi.storage.file.directory import is_uuid
from xapi.storage.file.disk import ChainDisk
from xapi.storage.simulator.faults import Faults
from xapi.storage.simulator.journal import Disk, Journal, SrNames, encode_disk, encode_gone, encode_names, load
from xapi.storage.simulator.totals import Totals
from xapi.storage.sparse import copy_sparse, differing_blocks
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.file import RealFile
from xapi.system.clock import Clock, SystemClock

DEFAULT_SIZE = 1 << 44
LARGEST_DISK = 1 << 44
SECTOR = 512
JOURNAL_NAME = "journal.jsonl"


class SimulatedSr:
    """An attached SR of the type dummy."""

    def __init__(
        self, sr_uuid: str, directory: Path, device_config: Mapping[str, str], size: int, clock: Clock | None = None
    ) -> None:
        self._uuid = sr_uuid
        self._directory = directory
        self._faults = Faults(device_config)
        self._total = size
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._attachments = Attachments()
        self._closed = False
        with translated(sr_uuid):
            self._disks, self._names = load(directory / JOURNAL_NAME)
            self._totals = Totals()
            for disk in self._disks.values():
                self._totals.put(disk.facts.location, disk.facts.virtual_size)
            self._journal = Journal(directory / JOURNAL_NAME, self._disks, self._names)
            for name in os.listdir(directory):
                # An image without an entry is what a killed process left behind.
                if name.endswith((".raw", ".part")) and name[:36] not in self._disks:
                    os.unlink(directory / name)
                elif name.endswith(".raw"):
                    self._totals.touch(name[:36])

    @property
    def uuid(self) -> str:
        """The SR's UUID."""
        return self._uuid

    @contextmanager
    def _held(self, operation: str, location: str = "") -> Iterator[None]:
        with translated(self._uuid, location), self._lock:
            if self._closed:
                raise SrInUse(f"SR {self._uuid} is detached")
            disk = self._disks.get(location)
            self._faults.check(operation, location, disk.facts.sm_config if disk is not None else None)
            yield

    def _data(self, location: str) -> str:
        return str(self._directory / f"{location}.raw")

    def _disk(self, location: str) -> Disk:
        try:
            return self._disks[location]
        except KeyError:
            raise VdiMissing(self._uuid, location) from None

    def _with_data(self, location: str) -> Disk:
        disk = self._disk(location)
        if disk.facts.type == "cbt_metadata":
            raise VdiUnavailable(location, "its data was destroyed")
        return disk

    def _put(self, disk: Disk) -> VdiFacts:
        self._journal.add(encode_disk(disk))
        self._disks[disk.facts.location] = disk
        self._totals.put(disk.facts.location, disk.facts.virtual_size)
        return self._measured(disk)

    def _measured(self, disk: Disk) -> VdiFacts:
        try:
            taken = os.stat(self._data(disk.facts.location)).st_blocks * SECTOR
        except FileNotFoundError:
            return disk.facts
        self._totals.measured(disk.facts.location, taken)
        return replace(disk.facts, physical_utilisation=taken)

    # Looking

    def find(self, location: str) -> VdiFacts:
        """Return what is known of one disk now."""
        with self._held("find", location):
            return self._measured(self._disk(location))

    def introduce(self, uuid: str, location: str) -> VdiFacts:
        """Return what is known of a disk that is here already."""
        return self.find(location or uuid)

    def scan(self) -> ScanResult:
        """Return all disks and what they take."""
        with self._held("scan"):
            held = self._attachments.held()
            vdis = tuple(map(self._measured, self._disks.values()))
            self._totals.settle(held)
            return ScanResult(vdis, self._total, self._totals.used, self._totals.virtual)

    def stat(self) -> SrStat:
        """Return space and health; an injected fault makes the SR unreachable."""
        try:
            with self._held("scan"):
                held = self._attachments.held()  # before the look: who lets go meanwhile may have written after it
                for location in self._totals.unsure:
                    self._measured(self._disk(location))
                self._totals.settle(held)
                free = max(self._total - self._totals.used, 0)
        except StorageFailure:
            return SrStat(0, 0, self._uuid, health=SrHealth.UNREACHABLE)
        return SrStat(self._total, free, self._uuid, self._names.name_label, self._names.name_description)

    def update_sr(self, name_label: str, name_description: str) -> None:
        """Keep the SR's name and description."""
        with self._held("update_sr"):
            names = SrNames(name_label, name_description)
            self._journal.add(encode_names(names))
            self._names = names

    # Making, changing and removing

    def _check_new(self, uuid: str) -> None:
        if not is_uuid(uuid):
            raise StorageFailure(f"{uuid!r} is not a UUID", 1)
        if uuid in self._disks:
            raise VdiExists(uuid)

    def _check_room(self, size: int) -> None:
        if self._total == DEFAULT_SIZE:
            return  # nobody asked for an end
        taken = self._totals.virtual
        if taken + size > self._total:
            raise SrFull(size, max(self._total - taken, 0))

    def create(self, wanted: CreateVdi) -> VdiFacts:
        """Make a disk, which takes no space."""
        size = _rounded(wanted.virtual_size)
        with self._held("create", wanted.uuid):
            self._check_new(wanted.uuid)
            self._check_room(size)
            facts = VdiFacts(
                uuid=wanted.uuid,
                location=wanted.uuid,
                virtual_size=size,
                physical_utilisation=0,
                name_label=wanted.name_label,
                name_description=wanted.name_description,
                type=wanted.type,
                read_only=wanted.read_only,
                sharable=wanted.sharable,
                is_a_snapshot=wanted.is_a_snapshot,
                snapshot_of=wanted.snapshot_of,
                snapshot_time=wanted.snapshot_time,
                metadata_of_pool=wanted.metadata_of_pool,
                sm_config={**wanted.sm_config, "vdi_type": "raw", "image-format": "raw"},
            )
            return self._put(Disk(facts))

    def destroy(self, location: str) -> None:
        """Remove a disk; change logs that build on it now reach back to its parent."""
        with self._held("destroy", location):
            gone = self._disk(location)
            self._attachments.check_free(location, "destroy")
            if gone.facts.cbt_enabled:
                for disk in [disk for disk in self._disks.values() if disk.log_parent == location]:
                    self._put(replace(disk, log_parent=gone.log_parent))
            self._journal.add(encode_gone(location))
            del self._disks[location]
            self._totals.drop(location)
            with suppress(FileNotFoundError):
                os.unlink(self._data(location))

    def destroy_data(self, location: str) -> VdiFacts:
        """Make a tracked snapshot's data unreadable; it stays here to be compared with."""
        with self._held("destroy_data", location):
            disk = self._with_data(location)
            self._attachments.check_free(location, "data_destroy")
            if not (disk.facts.cbt_enabled and disk.facts.is_a_snapshot):
                raise NoChangeTracking(location)
            return self._put(replace(disk, facts=replace(disk.facts, type="cbt_metadata")))

    def update(self, location: str, name_label: str, name_description: str) -> None:
        """Keep a disk's name and description."""
        with self._held("update", location):
            disk = self._disk(location)
            facts = replace(disk.facts, name_label=name_label, name_description=name_description)
            self._put(replace(disk, facts=facts))

    def resize(self, location: str, size: int) -> VdiFacts:
        """Grow a disk that nobody holds."""
        with self._held("resize", location):
            self._attachments.check_free(location, "resize")
            return self._resized(location, size)

    def resize_online(self, location: str, size: int) -> VdiFacts:
        """Grow a disk."""
        with self._held("resize_online", location):
            return self._resized(location, size)

    def _resized(self, location: str, size: int) -> VdiFacts:
        disk = self._with_data(location)
        size = _rounded(size)
        if size < disk.facts.virtual_size:
            raise VdiSizeInvalid(size, disk.facts.virtual_size, LARGEST_DISK)
        self._check_room(size - disk.facts.virtual_size)
        if os.path.exists(self._data(location)):
            os.truncate(self._data(location), size)
        return self._put(replace(disk, facts=replace(disk.facts, virtual_size=size)))

    def snapshot(self, location: str, uuid: str, is_a_snapshot: bool = True) -> VdiFacts:
        """Copy what a disk holds into a new one."""
        with self._held("snapshot", location):
            disk = self._with_data(location)
            self._check_new(uuid)
            if not is_a_snapshot:
                return self._copied(disk, uuid)
            facts = replace(
                disk.facts,
                uuid=uuid,
                location=uuid,
                is_a_snapshot=True,
                snapshot_of=location,
                snapshot_time=self._clock.now(),
            )
            self._copy_data(location, uuid)
            taken = self._put(Disk(facts, disk.log_parent))
            if disk.facts.cbt_enabled:
                self._put(replace(disk, log_parent=uuid))
            return taken

    def clone(self, location: str, uuid: str) -> VdiFacts:
        """Copy what a disk holds into a new, ordinary one."""
        with self._held("clone", location):
            disk = self._with_data(location)
            self._check_new(uuid)
            return self._copied(disk, uuid)

    def _copied(self, disk: Disk, uuid: str) -> VdiFacts:
        facts = replace(
            disk.facts,
            uuid=uuid,
            location=uuid,
            is_a_snapshot=False,
            snapshot_of="",
            snapshot_time=EPOCH,
            read_only=False,
            metadata_of_pool="",
            cbt_enabled=False,
        )
        self._copy_data(disk.facts.location, uuid)
        return self._put(Disk(facts))

    def _copy_data(self, source: str, target: str) -> None:
        with suppress(FileNotFoundError):
            copy_sparse(self._data(source), self._data(target))

    # Reaching

    def _make_data(self, disk: Disk) -> str:
        """Give a disk a file, all of it a hole, if it has none."""
        path = self._data(disk.facts.location)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, disk.facts.virtual_size)
        finally:
            os.close(descriptor)
        self._totals.touch(disk.facts.location)
        return path

    def attach(self, location: str, read_only: bool) -> Backend:
        """Make a disk reachable as a file."""
        with self._held("attach", location):
            disk = self._with_data(location)
            if disk.facts.read_only and not read_only:
                raise VdiReadOnly(location)
            path = self._make_data(disk)
            self._attachments.take(location, read_only, disk.facts.sharable, "attach")
            return FileBackend(path, "raw", read_only)

    def activate(self, location: str) -> None:
        """Do nothing but fail where a fault asks for it."""
        with self._held("activate", location):
            self._with_data(location)

    def deactivate(self, location: str) -> None:
        """Do nothing but fail where a fault asks for it."""
        with self._held("deactivate", location):
            return

    def detach(self, location: str) -> None:
        """Take back one attachment."""
        with self._held("detach", location):
            self._attachments.release(location)

    def open_for_reading(self, location: str) -> ChainDisk:
        """Open a disk for export or copying."""
        with self._held("open_for_reading", location):
            return self._open(location, writable=False)

    def open_for_writing(self, location: str) -> ChainDisk:
        """Open a disk for import."""
        with self._held("open_for_writing", location):
            return self._open(location, writable=True)

    def _open(self, location: str, writable: bool) -> ChainDisk:
        disk = self._with_data(location)
        if writable and disk.facts.read_only:
            raise VdiReadOnly(location)
        path = self._make_data(disk)
        self._attachments.take(location, not writable, False, "open")
        release = partial(self._attachments.release, location, not writable)
        try:
            chain = Chain.open(path, writable, RealFile.open, raw=True)
        except OSError:
            release()
            raise
        return ChainDisk(chain, self._uuid, location, release, writable)

    def generate_config(self, location: str) -> str:
        """Return as JSON where the disk is."""
        with self._held("generate_config", location):
            self._with_data(location)
            return json.dumps({"type": "dummy", "sr_uuid": self._uuid, "vdi_uuid": location})

    # Changed blocks

    def enable_cbt(self, location: str) -> None:
        """Begin to track a disk."""
        with self._held("enable_cbt", location):
            disk = self._with_data(location)
            if not disk.facts.cbt_enabled:
                self._put(Disk(replace(disk.facts, cbt_enabled=True)))

    def disable_cbt(self, location: str) -> None:
        """Stop tracking a disk."""
        with self._held("disable_cbt", location):
            disk = self._with_data(location)
            self._put(Disk(replace(disk.facts, cbt_enabled=False)))

    def changed_blocks(self, base: str, location: str) -> bytes:
        """Return the bitmap of the blocks in which two disks differ."""
        with self._held("changed_blocks", location):
            self._attachments.check_no_writer(location, "list_changed_blocks")
            self._disk(base)
            disk = self._disk(location)
            while disk.log_parent != base or not disk.facts.cbt_enabled:
                if not disk.log_parent or not disk.facts.cbt_enabled:
                    raise NoChangeTracking(base)
                disk = self._disk(disk.log_parent)
            size = self._disk(location).facts.virtual_size
            return differing_blocks(self._data(base), self._data(location), size)

    # The end

    def detach_sr(self) -> None:
        """Detach the SR."""
        if self._closed:
            return
        with self._held("detach_sr"):
            held = self._attachments.held()
            if held:
                raise SrInUse(f"SR {self._uuid} has attached disks: {', '.join(held)}")
            self._closed = True
            self._journal.close()

    def destroy_sr(self) -> None:
        """Remove the SR's directory."""
        with self._held("destroy_sr"):
            if self._disks:
                raise SrNotEmpty(f"SR {self._uuid} still holds disks")
            self._closed = True
            self._journal.close()
            shutil.rmtree(self._directory)


def _rounded(size: int) -> int:
    if not 0 < size <= LARGEST_DISK:
        raise VdiSizeInvalid(size, 1, LARGEST_DISK)
    return -(-size // SECTOR) * SECTOR
