"""The storage repositories that this host can reach now: the driver of each type, and a handle for each attached SR.

Locks are taken in this order: the turn at a disk, the turn at an SR, the database. None is taken twice by one thread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Condition, Lock, RLock
from typing import Final

from xapi.datamodel.classes import PBD, SR, VDI, Host, Pool, Secret
from xapi.datamodel.errors import SR_HAS_NO_PBDS, SR_UNKNOWN_DRIVER, UUID_INVALID
from xapi.lifecycle.view import View
from xapi.storage.device_config import IN_CHARGE
from xapi.storage.facts import MULTIPATH_HANDLE, MULTIPATHING, Feature, Paths
from xapi.storage.interface import AttachedSr, DataPaths, ReachesLuns, SrDriver

SECRET_SUFFIX: Final = "_secret"
TURNS: Final = 256
USUAL_HANDLE: Final = "dmp"
"""What several paths are used by where a host does not say: the device mapper."""


class SharedTurn:
    """A lock that many hold together, or one alone; who waits to be alone lets nobody else in before."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._together = 0
        self._waiting = 0
        self._alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold it with others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it while nobody else does."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._alone and not self._together)
                self._alone = True
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


class StorageRepositories:
    """Drivers and attached SRs of one host; may be used from several threads."""

    def __init__(self, drivers: Iterable[SrDriver], data_paths: DataPaths | None = None) -> None:
        self._drivers = {driver.type.name: driver for driver in drivers}
        self._attached: dict[str, AttachedSr] = {}
        self._data_paths = data_paths
        self._lock = RLock()
        self._turns: defaultdict[str, SharedTurn] = defaultdict(SharedTurn)
        self._disk_turns = tuple(Lock() for _ in range(TURNS))

    def driver(self, name: str) -> SrDriver:
        """The driver of a type; SR_UNKNOWN_DRIVER when there is none."""
        driver = self._drivers.get(name)
        if driver is None:
            raise SR_UNKNOWN_DRIVER(name)
        return driver

    @property
    def types(self) -> tuple[str, ...]:
        """The types that there are drivers for."""
        return tuple(self._drivers)

    # Attaching

    def attach(self, view: View, pbd: PBD) -> AttachedSr:
        """Make a PBD's SR reachable; one that is reachable already stays so."""
        sr = view.get(SR, pbd.SR)
        with self._lock:
            handle = self._attached.get(sr.uuid)
        if handle is None:
            settings = self.settings(view, sr.type, pbd.host, pbd.device_config)
            handle = self.open(sr.uuid, sr.type, {**settings, IN_CHARGE: self._in_charge(view, pbd)}, sr.sm_config)
            with self._lock:
                self._attached[sr.uuid] = handle
        return handle

    @staticmethod
    def _in_charge(view: View, pbd: PBD) -> str:
        """Whether a PBD's host is the one that may tidy up a shared SR, as drivers are told: the pool's master."""
        return str(all(pool.master == pbd.host for pool in view.all(Pool))).lower()

    def settings(self, view: View, kind: str, host: str, device_config: Mapping[str, str]) -> dict[str, str]:
        """A device_config as the driver of a type gets it: with its secrets, and whether to use all paths to a LUN.

        For the latter, a device_config that has both keys takes precedence over the host that is to reach the SR.
        """
        config = revealed(view, device_config)
        both = MULTIPATHING in config and MULTIPATH_HANDLE in config
        if not both and Feature.SR_MULTIPATH in self.driver(kind).type.features:
            config |= multipathing_of(view.get(Host, host))
        return config

    def open(
        self, sr_uuid: str, kind: str, device_config: Mapping[str, str], sm_config: Mapping[str, str]
    ) -> AttachedSr:
        """A handle of an SR that is not kept here: `adopt` keeps it."""
        return self.driver(kind).attach(sr_uuid, device_config, sm_config, self._data_paths)

    def adopt(self, handle: AttachedSr) -> None:
        """Keep a handle as that of an attached SR."""
        with self._lock:
            self._attached[handle.uuid] = handle

    def detach(self, sr: SR) -> None:
        """Let an SR go; SrInUse while disks of it are attached."""
        with self._lock:
            handle = self._attached.get(sr.uuid)
        if handle is not None:
            handle.detach_sr()
            self.forget(sr)

    def forget(self, sr: SR) -> None:
        """Drop the handle of an SR that was destroyed or detached."""
        with self._lock:
            self._attached.pop(sr.uuid, None)

    # Reaching

    def paths(self, kinds: Mapping[str, str]) -> dict[str, Paths]:
        """How the LUNs of attached SRs are reached now; SRs are given and told by their UUIDs, given with their types.

        Those that lie on no LUN are left out.
        """
        found: dict[str, Paths] = {}
        asked: defaultdict[str, list[str]] = defaultdict(list)
        for uuid, kind in kinds.items():
            asked[kind].append(uuid)
        for kind, uuids in asked.items():
            driver: object = self._drivers.get(kind)
            if isinstance(driver, ReachesLuns):
                found |= driver.paths(uuids)
        return found

    def reach(self, sr: SR) -> AttachedSr | None:
        """The handle of an SR, or None while it is not attached here."""
        return self._attached.get(sr.uuid)

    def get(self, view: View, ref: str) -> AttachedSr:
        """The handle of an SR; SR_HAS_NO_PBDS (none that is plugged, that is) when it cannot be reached."""
        handle = self._attached.get(view.get(SR, ref).uuid)
        if handle is None:
            raise SR_HAS_NO_PBDS(ref)
        return handle

    def of_vdi(self, view: View, ref: str) -> tuple[AttachedSr, VDI]:
        """The handle of the SR that a disk is on, and the disk's row."""
        vdi = view.get(VDI, ref)
        return self.get(view, vdi.SR), vdi

    # Taking turns

    @contextmanager
    def turn_at_disk(self, vdi: str) -> Iterator[None]:
        """Wait until no other call works on the disk: then calls about one disk follow one another."""
        with self._disk_turns[hash(vdi) % TURNS]:
            yield

    @contextmanager
    def changing(self, sr: str) -> Iterator[None]:
        """While inside, disks of the SR (a reference) come, go and change, and records follow: nobody scans it."""
        with self._turn(sr).together():
            yield

    @contextmanager
    def alone(self, sr: str) -> Iterator[None]:
        """While inside, nobody else makes, removes or changes disks of the SR (a reference)."""
        with self._turn(sr).alone():
            yield

    def _turn(self, sr: str) -> SharedTurn:
        with self._lock:
            return self._turns[sr]

    def close(self) -> None:
        """Let every SR go, also those whose disks are in use: guests go on without the toolstack."""
        with self._lock:
            self._attached.clear()


def revealed(view: View, device_config: Mapping[str, str]) -> dict[str, str]:
    """A device_config with its secrets filled in: `password_secret`, a secret's UUID, becomes `password`."""
    config: dict[str, str] = {}
    for key, value in device_config.items():
        if not key.endswith(SECRET_SUFFIX):
            config[key] = value
            continue
        secret = next((row for row in view.all(Secret) if row.uuid == value), None)
        if secret is None:
            raise UUID_INVALID(Secret.wire_name, value)
        config[key.removesuffix(SECRET_SUFFIX)] = secret.value
    return config


def multipathing_of(host: Host) -> dict[str, str]:
    """Whether a host uses all paths to a LUN, as drivers are told: by its notes, where older clients set it, or not."""
    wanted = host.other_config.get(MULTIPATHING, "")
    if wanted not in ("true", "false"):
        wanted = str(host.multipathing).lower()
    return {MULTIPATHING: wanted, MULTIPATH_HANDLE: host.other_config.get(MULTIPATH_HANDLE, USUAL_HANDLE)}
