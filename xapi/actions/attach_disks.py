"""How a plan gets at a VM's disks: volumes are VDIs, by reference."""

from __future__ import annotations

from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import VDI
from xapi.db.database import Database
from xapi.hypervisor.interface import Backend, DiskMode, FileBackend, NbdBackend, Volume
from xapi.storage import interface as storage


class AttachDisks:
    """The DiskAttacher of the hypervisor's plans, over the attached storage repositories."""

    def __init__(self, database: Database, repositories: StorageRepositories) -> None:
        self._database = database
        self._repositories = repositories
        self._backends: dict[tuple[str, str], Backend] = {}

    def attach(self, uuid: str, volume: Volume, mode: DiskMode) -> Backend:
        """Make a VDI reachable for a domain."""
        handle, vdi = self._repositories.of_vdi(self._database, volume.key)
        backend = _backend(handle.attach(vdi.location, mode is DiskMode.READ_ONLY))
        self._backends[(uuid, volume.key)] = backend
        return backend

    def locate(self, uuid: str, volume: Volume) -> Backend:
        """Where a VDI is that was attached for this domain."""
        backend = self._backends.get((uuid, volume.key))
        return self.attach(uuid, volume, DiskMode.READ_WRITE) if backend is None else backend

    def activate(self, uuid: str, volume: Volume, mode: DiskMode) -> None:
        """Make an attached VDI usable."""
        handle, vdi = self._repositories.of_vdi(self._database, volume.key)
        handle.activate(vdi.location)

    def deactivate(self, uuid: str, volume: Volume) -> None:
        """Flush a VDI and stop using it."""
        handle, vdi = self._repositories.of_vdi(self._database, volume.key)
        handle.deactivate(vdi.location)

    def detach(self, uuid: str, volume: Volume) -> None:
        """Forget that a VDI was reachable; one that is gone from the records is gone already."""
        self._backends.pop((uuid, volume.key), None)
        if self._database.find(VDI, volume.key) is not None:
            handle, vdi = self._repositories.of_vdi(self._database, volume.key)
            handle.detach(vdi.location)


def _backend(found: storage.Backend) -> Backend:
    if isinstance(found, storage.NbdBackend):
        return NbdBackend(found.socket, found.export)
    return FileBackend(found.path, found.format)
