"""How a plan gets at a VM's disks: volumes are VDIs, by reference."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from threading import Lock

from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import SR, VBD, VDI, VM
from xapi.datamodel.classes.vbd import VbdMode
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.failure import Failure
from xapi.db.database import Database
from xapi.hypervisor.interface import Backend, DiskMode, FileBackend, NbdBackend, Volume
from xapi.storage import interface as storage
from xapi.storage.errors import StorageFailure

LOG = logging.getLogger("xapi.storage")
Key = tuple[str, str]
"""A domain's UUID and the reference of a VDI."""


@dataclass(slots=True)
class _Attached:
    """A disk that is attached for these domains. A sharable one is attached once, others for each domain."""

    sr_uuid: str
    location: str
    backend: Backend
    domains: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)


class AttachDisks:
    """The DiskAttacher of the hypervisor's plans, over the attached storage repositories; safe to use from threads.

    It remembers what is attached for whom, so that a disk is given back once and exactly as it was taken, even if its
    row or its SR's handle is gone by then.
    """

    def __init__(self, database: Database, repositories: StorageRepositories) -> None:
        self._database = database
        self._repositories = repositories
        self._lock = Lock()
        self._single: dict[Key, _Attached] = {}
        self._shared: dict[str, _Attached] = {}
        self._turns: dict[str, Lock] = {}

    def attach(self, uuid: str, volume: Volume, mode: DiskMode) -> Backend:
        """Make a VDI reachable for a domain; it stays as it is when it is so already."""
        present = self._find(uuid, volume.key)
        if present is not None:
            return present.backend
        handle, vdi = self._repositories.of_vdi(self._database, volume.key)
        read_only = mode is DiskMode.READ_ONLY
        if not vdi.sharable or vdi.read_only:
            found = _Attached(handle.uuid, vdi.location, _backend(handle.attach(vdi.location, read_only)), {uuid})
            with self._lock:
                self._single[(uuid, volume.key)] = found
            return found.backend
        with self._turn(volume.key):
            with self._lock:
                shared = self._shared.get(volume.key)
            if shared is None:
                shared = _Attached(handle.uuid, vdi.location, _backend(handle.attach(vdi.location, False)))
            with self._lock:
                self._shared[volume.key] = shared
                shared.domains.add(uuid)
        return shared.backend

    def _turn(self, key: str) -> Lock:
        with self._lock:
            return self._turns.setdefault(key, Lock())

    def _find(self, uuid: str, key: str) -> _Attached | None:
        with self._lock:
            found = self._single.get((uuid, key))
            if found is None:
                shared = self._shared.get(key)
                found = shared if shared is not None and uuid in shared.domains else None
        return found

    def locate(self, uuid: str, volume: Volume) -> Backend:
        """Where a VDI is that was attached for this domain; it is attached anew if that was before a restart."""
        found = self._find(uuid, volume.key)
        return found.backend if found is not None else self.attach(uuid, volume, self._mode(uuid, volume.key))

    def _mode(self, uuid: str, key: str) -> DiskMode:
        vm, vdi = self._database.by_uuid(VM, uuid), self._database.get(VDI, key)
        drives = (self._database.find(VBD, ref) for ref in vdi.VBDs)
        modes = {drive.mode for drive in drives if drive is not None and vm is not None and vm.ref == drive.VM}
        return DiskMode.READ_ONLY if modes == {VbdMode.RO} else DiskMode.READ_WRITE

    def activate(self, uuid: str, volume: Volume, mode: DiskMode) -> None:
        """Make an attached VDI usable."""
        found = self._find(uuid, volume.key)
        if found is None:
            self.attach(uuid, volume, mode)
            found = self._find(uuid, volume.key)
        handle, vdi = self._repositories.of_vdi(self._database, volume.key)
        handle.activate(vdi.location)
        if found is not None:
            with self._lock:
                found.active.add(uuid)

    def deactivate(self, uuid: str, volume: Volume) -> None:
        """Flush a VDI and stop using it; the last domain that shares it ends that."""
        found = self._find(uuid, volume.key)
        if found is None:
            return
        with self._lock:
            found.active.discard(uuid)
            idle = not found.active
        handle = self._handle(found, volume.key) if idle else None
        if handle is not None:
            handle.deactivate(found.location)

    def detach(self, uuid: str, volume: Volume) -> None:
        """Forget that a VDI was reachable for a domain; does nothing for one that was not.

        One that the storage does not take back stays remembered, so that this can be tried again.
        """
        with self._lock:
            found = self._single.get((uuid, volume.key))
            shared = volume.key in self._shared
        if found is not None:
            self._give_back(found, volume.key)
            with self._lock:
                self._single.pop((uuid, volume.key), None)
        elif shared:
            with self._turn(volume.key):
                self._leave(uuid, volume.key)

    def _leave(self, uuid: str, key: str) -> None:
        """Take a domain off a shared disk, which is given back by the last one."""
        with self._lock:
            shared = self._shared.get(key)
            if shared is None or uuid not in shared.domains:
                return
            if shared.domains != {uuid}:
                shared.domains.discard(uuid)
                return
        self._give_back(shared, key)
        with self._lock:
            shared.domains.discard(uuid)
            del self._shared[key]

    def _give_back(self, found: _Attached, key: str) -> None:
        handle = self._handle(found, key)
        if handle is not None:
            handle.detach(found.location)

    def _handle(self, found: _Attached, key: str) -> storage.AttachedSr | None:
        """The handle by which a disk was attached, unless the SR was detached or its record is gone."""
        sr = self._database.by_uuid(SR, found.sr_uuid)
        handle = self._repositories.reach(sr) if sr is not None else None
        if handle is None:
            LOG.warning("disk %s of SR %s is given back when the SR is gone", key, found.sr_uuid)
        return handle

    def resume(self) -> None:
        """Attach anew, after a restart, what domains that went on meanwhile have; what fails is told to the log."""
        for vbd in self._database.all(VBD):
            vm = self._database.find(VM, vbd.VM)
            if vm is None or vbd.empty or not vbd.currently_attached or vm.power_state not in LIVE:
                continue
            mode = DiskMode.READ_ONLY if vbd.mode is VbdMode.RO else DiskMode.READ_WRITE
            try:
                self.attach(vm.uuid, Volume(vbd.VDI), mode)
                self.activate(vm.uuid, Volume(vbd.VDI), mode)
            except (Failure, StorageFailure) as error:
                LOG.error("disk %s of the running VM %s cannot be attached: %s", vbd.VDI, vm.uuid, error)


LIVE = (VmPowerState.RUNNING, VmPowerState.PAUSED)


def _backend(found: storage.Backend) -> Backend:
    if isinstance(found, storage.NbdBackend):
        return NbdBackend(found.socket, found.export)
    return FileBackend(found.path, found.format)
