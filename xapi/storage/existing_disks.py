"""An SR of things that are there anyhow: ISO images in a directory, drives that are plugged in.

What is there is asked of a `Catalogue` each time; this module adds who holds what, and says no to everything that would
change it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Protocol

from xapi.storage.attachments import Attachments
from xapi.storage.errors import NoChangeTracking, SrInUse, StorageFailure, Unsupported, VdiMissing, VdiReadOnly
from xapi.storage.facts import Backend, CreateVdi, FileBackend, ScanResult, SrHealth, SrStat, VdiFacts
from xapi.storage.failures import translated
from xapi.storage.file.disk import ChainDisk
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.file import RealFile


class Catalogue(Protocol):
    """What is there now. Errors of the system pass through."""

    def vdis(self) -> list[VdiFacts]:
        """Return all disks."""

    def find(self, location: str) -> VdiFacts | None:
        """Return one disk, None if there is none."""

    def open(self, location: str, writable: bool) -> RealFile:
        """Open a disk's data."""

    def path(self, location: str) -> str:
        """Return where a guest finds a disk's data."""

    def space(self) -> tuple[int, int]:
        """Return the total and the free bytes."""

    def create(self, wanted: CreateVdi) -> VdiFacts:
        """Make a disk; Unsupported where disks cannot be made."""

    def destroy(self, location: str) -> None:
        """Remove a disk; Unsupported where disks cannot be made."""


class ExistingDisksSr:
    """An attached SR over a catalogue; `unmount` is what is to be done when it is detached."""

    def __init__(
        self, sr_uuid: str, catalogue: Catalogue, device_config: Mapping[str, str], unmount: ExitStack | None = None
    ) -> None:
        self._uuid = sr_uuid
        self._catalogue = catalogue
        self._device_config = dict(device_config)
        self._unmount = unmount or ExitStack()
        self._attachments = Attachments()
        self._closed = False

    @property
    def uuid(self) -> str:
        """The SR's UUID."""
        return self._uuid

    def _find(self, location: str) -> VdiFacts:
        if self._closed:
            raise SrInUse(f"SR {self._uuid} is detached")
        with translated(self._uuid, location):
            found = self._catalogue.find(location)
        if found is None:
            raise VdiMissing(self._uuid, location)
        return found

    def find(self, location: str) -> VdiFacts:
        """Return what is known of one disk now."""
        return self._find(location)

    def introduce(self, uuid: str, location: str) -> VdiFacts:
        """Return what is known of a disk that is there."""
        return self._find(location)

    def scan(self) -> ScanResult:
        """Return all that is there now."""
        with translated(self._uuid):
            vdis = tuple(self._catalogue.vdis())
            total, free = self._catalogue.space()
        return ScanResult(vdis, total, total - free, sum(vdi.virtual_size for vdi in vdis))

    def stat(self) -> SrStat:
        """Return space and health now."""
        try:
            with translated(self._uuid):
                total, free = self._catalogue.space()
        except StorageFailure:
            return SrStat(0, 0, self._uuid, health=SrHealth.UNREACHABLE)
        return SrStat(total, free, self._uuid)

    def update_sr(self, name_label: str, name_description: str) -> None:
        """Do nothing: there is no place to keep a name."""

    def create(self, wanted: CreateVdi) -> VdiFacts:
        """Make a disk, where the catalogue can."""
        with translated(self._uuid, wanted.uuid):
            return self._catalogue.create(wanted)

    def destroy(self, location: str) -> None:
        """Remove a disk, where the catalogue can."""
        self._find(location)
        self._attachments.check_free(location, "destroy")
        with translated(self._uuid, location):
            self._catalogue.destroy(location)

    def update(self, location: str, name_label: str, name_description: str) -> None:
        """Do nothing for a disk that is there: there is no place to keep a name."""
        self._find(location)

    def resize(self, location: str, size: int) -> VdiFacts:
        """Refuse."""
        raise Unsupported("VDI_RESIZE")

    def resize_online(self, location: str, size: int) -> VdiFacts:
        """Refuse."""
        raise Unsupported("VDI_RESIZE_ONLINE")

    def snapshot(self, location: str, uuid: str, is_a_snapshot: bool = True) -> VdiFacts:
        """Refuse."""
        raise Unsupported("VDI_SNAPSHOT")

    def clone(self, location: str, uuid: str) -> VdiFacts:
        """Refuse."""
        raise Unsupported("VDI_CLONE")

    def destroy_data(self, location: str) -> VdiFacts:
        """Refuse."""
        raise NoChangeTracking(location)

    def attach(self, location: str, read_only: bool) -> Backend:
        """Make a disk reachable by its path."""
        found = self._find(location)
        if found.read_only and not read_only:
            raise VdiReadOnly(location)
        with translated(self._uuid, location):
            path = self._catalogue.path(location)
        self._attachments.take(location, read_only, found.sharable, "attach")
        return FileBackend(path, "raw", read_only)

    def activate(self, location: str) -> None:
        """Check that an attached disk is still there."""
        self._find(location)

    def deactivate(self, location: str) -> None:
        """Make what was written durable."""
        if self._attachments.written(location):
            with translated(self._uuid, location):
                file = self._catalogue.open(location, True)
                try:
                    os.fsync(file.fileno())
                finally:
                    file.close()

    def detach(self, location: str) -> None:
        """Take back one attachment."""
        self._attachments.release(location)

    def open_for_reading(self, location: str) -> ChainDisk:
        """Open a disk for export or copying."""
        return self._open(location, writable=False)

    def open_for_writing(self, location: str) -> ChainDisk:
        """Open a disk for import."""
        return self._open(location, writable=True)

    def _open(self, location: str, writable: bool) -> ChainDisk:
        found = self._find(location)
        if writable and found.read_only:
            raise VdiReadOnly(location)
        self._attachments.take(location, not writable, False, "open")
        release = partial(self._attachments.release, location, not writable)
        with ExitStack() as stack:
            stack.callback(release)
            with translated(self._uuid, location):
                file = self._catalogue.open(location, writable)
                chain = Chain.open(file.path, writable, lambda *_: file, raw=True)
            stack.pop_all()
        return ChainDisk(chain, self._uuid, location, release, writable)

    def generate_config(self, location: str) -> str:
        """Refuse."""
        raise Unsupported("VDI_GENERATE_CONFIG")

    def enable_cbt(self, location: str) -> None:
        """Refuse."""
        raise Unsupported("VDI_CONFIG_CBT")

    def disable_cbt(self, location: str) -> None:
        """Refuse."""
        raise Unsupported("VDI_CONFIG_CBT")

    def changed_blocks(self, base: str, location: str) -> bytes:
        """Refuse."""
        raise NoChangeTracking(location)

    def detach_sr(self) -> None:
        """Detach the SR from this host."""
        if self._closed:
            return
        held = self._attachments.held()
        if held:
            raise SrInUse(f"SR {self._uuid} has attached disks: {', '.join(held)}")
        self._closed = True
        with translated(self._uuid):
            self._unmount.close()

    def destroy_sr(self) -> None:
        """Detach the SR; what is there stays there."""
        self.detach_sr()
