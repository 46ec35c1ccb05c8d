"""How a plan gets at a VM's disks: volumes are VDIs, by reference.

A disk is offered as its driver has it, by the path of a file or a device, if the hypervisor can open that; a chain of
VHD that it cannot open is served by a process of its own, and the guest gets the process's socket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock, RLock
from typing import Final

from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import SR, VBD, VDI, VM
from xapi.datamodel.classes.vbd import VbdMode
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.failure import Failure
from xapi.db.database import Database
from xapi.hypervisor.interface import Backend, Devices, DiskMode, Feature, Features, FileBackend, NbdBackend, Volume
from xapi.storage import interface as storage
from xapi.storage.datapath.processes import DataPathProcesses
from xapi.storage.errors import StorageFailure, Unsupported
from xapi.storage.resetting import ResetsDisks

LOG = logging.getLogger("xapi.storage")
LIVE: Final = (VmPowerState.RUNNING, VmPowerState.PAUSED)
EVERYTHING: Final = frozenset(Feature)
TURNS: Final = 256
Key = tuple[str, str]
"""A domain's UUID and the reference of a VDI."""
GoOn = Callable[[str, Callable[[str], None]], None]
"""Lets guests go on with another disk, a VDI's reference; the other function is told before where its data are."""


@dataclass(slots=True)
class _Attached:
    """A disk that is attached for these domains. A sharable one is attached once, others for each domain.

    `backend` is what the guest has. `file` is what the driver gave, and `served` whether a process serves it now.
    """

    sr_uuid: str
    location: str
    read_only: bool
    backend: Backend
    file: storage.FileBackend | None
    domains: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    served: bool = False


class AttachDisks:
    """The DiskAttacher of the hypervisor's plans, over the attached storage repositories; safe to use from threads.

    It remembers what is attached for whom, so that a disk is given back once and exactly as it was taken, even if its
    row or its SR's handle is gone by then. `features` are those of the hypervisor.
    """

    def __init__(
        self,
        database: Database,
        repositories: StorageRepositories,
        data_paths: DataPathProcesses | None = None,
        features: Features = EVERYTHING,
    ) -> None:
        self._database = database
        self._repositories = repositories
        self._data_paths = data_paths
        self._features = features
        self._lock = Lock()
        self._single: dict[Key, _Attached] = {}
        self._shared: dict[str, _Attached] = {}
        self._turns = tuple(RLock() for _ in range(TURNS))

    def attach(self, uuid: str, volume: Volume, mode: DiskMode) -> Backend:
        """Make a VDI reachable for a domain; it stays as it is when it is so already."""
        with self._turn(volume.key):
            present = self._find(uuid, volume.key)
            if present is not None:
                return present.backend
            handle, vdi = self._repositories.of_vdi(self._database, volume.key)
            if not vdi.sharable or vdi.read_only:
                found = self._taken(handle, vdi, mode is DiskMode.READ_ONLY)
                found.domains.add(uuid)
                with self._lock:
                    self._single[(uuid, volume.key)] = found
                return found.backend
            with self._lock:
                shared = self._shared.get(volume.key)
            if shared is None:
                shared = self._taken(handle, vdi, False)
            with self._lock:
                self._shared[volume.key] = shared
                shared.domains.add(uuid)
            return shared.backend

    def _taken(self, handle: storage.AttachedSr, vdi: VDI, read_only: bool) -> _Attached:
        """Attach a disk, and see how a guest gets it."""
        given = handle.attach(vdi.location, read_only)
        if isinstance(given, storage.NbdBackend):
            backend = NbdBackend(given.socket, given.export)
            return _Attached(handle.uuid, vdi.location, read_only, backend, None)
        if self._data_paths is None or (
            self._can_open(given) and not self._data_paths.serves(handle.uuid, vdi.location, read_only)
        ):
            plain = FileBackend(given.path, given.format)
            return _Attached(handle.uuid, vdi.location, read_only, plain, None)
        place = self._data_paths.place(handle.uuid, vdi.location, read_only)
        return _Attached(handle.uuid, vdi.location, read_only, NbdBackend(place.socket, place.export), given)

    def _can_open(self, given: storage.FileBackend) -> bool:
        """Whether the hypervisor opens a disk by its path."""
        return given.format == "raw" or Feature.VHD_FILES in self._features

    def _turn(self, key: str) -> RLock:
        return self._turns[hash(key) % TURNS]

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
        """Make an attached VDI usable; from now on a process serves it, if its guest wants one."""
        with self._turn(volume.key), ExitStack() as undo:
            found = self._find(uuid, volume.key)
            if found is None:
                self.attach(uuid, volume, mode)
                found = self._find(uuid, volume.key)
            handle, vdi = self._repositories.of_vdi(self._database, volume.key)
            handle.activate(vdi.location)
            if found is None:
                return
            if not found.active:
                undo.callback(handle.deactivate, vdi.location)
            self._serve(found)
            found.active.add(uuid)
            undo.pop_all()

    def _serve(self, found: _Attached) -> None:
        if found.file is not None and self._data_paths is not None and not found.served:
            self._data_paths.open(found.sr_uuid, found.location, found.file)
            found.served = True

    def _end_serving(self, found: _Attached) -> None:
        if found.served and self._data_paths is not None:
            self._data_paths.close(found.sr_uuid, found.location, found.read_only)
            found.served = False

    def reset(self, uuid: str, volume: Volume) -> None:
        """Drop what was written to an attached VDI since it was last split; Unsupported by most drivers."""
        with self._turn(volume.key):
            handle, vdi = self._repositories.of_vdi(self._database, volume.key)
            if not isinstance(handle, ResetsDisks):
                raise Unsupported("VDI_RESET_ON_BOOT")
            handle.reset(vdi.location)

    def deactivate(self, uuid: str, volume: Volume) -> None:
        """Flush a VDI and stop using it; the last domain that shares it ends that."""
        with self._turn(volume.key):
            found = self._find(uuid, volume.key)
            if found is None:
                return
            found.active.discard(uuid)
            if found.active:
                return
            self._end_serving(found)
            handle = self._handle(found, volume.key)
            if handle is not None:
                handle.deactivate(found.location)

    def detach(self, uuid: str, volume: Volume) -> None:
        """Forget that a VDI was reachable for a domain; does nothing for one that was not.

        One that the storage does not take back stays remembered, so that this can be tried again.
        """
        with self._turn(volume.key):
            with self._lock:
                found = self._single.get((uuid, volume.key))
                shared = volume.key in self._shared
            if found is not None:
                self._give_back(found, volume.key)
                with self._lock:
                    self._single.pop((uuid, volume.key), None)
            elif shared:
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
        self._end_serving(found)
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

    # Going over to another disk

    @contextmanager
    def held(self, key: str, devices: Devices, drives: Mapping[str, str]) -> Iterator[GoOn]:
        """While inside, no guest reaches a disk; with the function, all of them go on with another one on leaving.

        `drives` has the name of the drive for the UUID of each domain. The other disk has to hold the same, and nobody
        else may have it. If the block is left by an exception, guests go on with the old disk, and the other one is
        attached no more. What nobody has attached is held all the same: nobody attaches it meanwhile. Unsupported.
        """
        with self._turn(key), ExitStack() as stack:
            with self._lock:
                users = [found for (_, disk), found in self._single.items() if disk == key]
                users += [self._shared[key]] if key in self._shared else []
            switches = [(found, self._held_for(found, stack, devices, drives)) for found in users]
            replaced: list[tuple[_Attached, _Attached]] = []
            undo = stack.enter_context(ExitStack())

            def go_on(other: str, tell: Callable[[str], None]) -> None:
                handle, vdi = self._repositories.of_vdi(self._database, other)
                for found, switch in switches:
                    made = self._taken(handle, vdi, found.read_only)
                    undo.callback(handle.detach, vdi.location)
                    handle.activate(vdi.location)
                    undo.callback(handle.deactivate, vdi.location)
                    tell(_path(made))
                    switch(made, undo)
                    made.domains |= found.domains
                    made.active |= found.active
                    replaced.append((found, made))
                self._replace(key, other, replaced)
                undo.callback(self._replace, other, key, [(made, found) for found, made in replaced])

            yield go_on
            undo.pop_all()
        for found, _ in replaced:
            self._let_go(found, key)

    def _held_for(
        self, found: _Attached, stack: ExitStack, devices: Devices, drives: Mapping[str, str]
    ) -> Callable[[_Attached, ExitStack], None]:
        """Hold a disk for its users; returns what lets them go on with another."""
        if found.file is not None and self._data_paths is not None:
            over = stack.enter_context(self._data_paths.held(found.sr_uuid, found.location, found.read_only))

            def serve(made: _Attached, _: ExitStack) -> None:
                if made.file is None and isinstance(made.backend, FileBackend):
                    # The guest has the socket and keeps it, though it could open such a file itself.
                    made.file = storage.FileBackend(made.backend.path, made.backend.format, made.read_only)
                if made.file is None:
                    raise Unsupported("going over to a disk of another kind")
                over(made.sr_uuid, made.location, made.file)
                made.backend, made.served = found.backend, found.served

            return serve
        if Feature.DISK_SWITCH not in self._features:
            raise Unsupported("going over to another disk while a guest runs")
        switches = [stack.enter_context(devices.held_disk(uuid, drives[uuid])) for uuid in sorted(found.domains)]

        def change(made: _Attached, undo: ExitStack) -> None:
            self._serve(made)
            undo.callback(self._end_serving, made)
            for switch in switches:
                switch(made.backend)

        return change

    def _replace(self, key: str, other: str, pairs: list[tuple[_Attached, _Attached]]) -> None:
        with self._lock:
            for old, new in pairs:
                if self._shared.get(key) is old:
                    self._shared[other] = new
                    del self._shared[key]
                    continue
                for uuid in old.domains:
                    self._single[(uuid, other)] = new
                    self._single.pop((uuid, key), None)

    def _let_go(self, found: _Attached, key: str) -> None:
        """Give the storage back what guests do not use any more; a process that served it serves another disk now."""
        found.served = False
        handle = self._handle(found, key)
        if handle is None:
            return
        try:
            handle.deactivate(found.location)
            handle.detach(found.location)
        except StorageFailure as error:
            LOG.error("disk %s was left by its guests and could not be given back: %s", key, error)

    def resume(self) -> None:
        """Attach anew, after a restart, what domains that went on meanwhile have; what fails is told to the log.

        Processes that serve what nobody has any more are ended.
        """
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
        if self._data_paths is not None:
            self._data_paths.close_unused()


def _path(made: _Attached) -> str:
    """Where the data of a disk are that was just attached: what a process or a domain is found to use it by."""
    if made.file is not None:
        return made.file.path
    return made.backend.path if isinstance(made.backend, FileBackend) else ""
