"""The storage repositories that this host can reach now: the driver of each type, and a handle for each attached SR."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import RLock

from xapi.datamodel.classes import PBD, SR, VDI, Secret
from xapi.datamodel.errors import SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_UNKNOWN_DRIVER, UUID_INVALID
from xapi.lifecycle.view import View
from xapi.storage.interface import AttachedSr, DataPaths, SrDriver

SECRET_SUFFIX = "_secret"


class StorageRepositories:
    """Drivers and attached SRs of one host; may be used from several threads."""

    def __init__(self, drivers: Iterable[SrDriver], data_paths: DataPaths | None = None) -> None:
        self._drivers = {driver.type.name: driver for driver in drivers}
        self._attached: dict[str, AttachedSr] = {}
        self._data_paths = data_paths
        self._lock = RLock()

    def driver(self, name: str) -> SrDriver:
        """The driver of a type; SR_UNKNOWN_DRIVER when there is none."""
        driver = self._drivers.get(name)
        if driver is None:
            raise SR_UNKNOWN_DRIVER(name)
        return driver

    def attach(self, view: View, pbd: PBD) -> None:
        """Make a PBD's SR reachable; one that is reachable already stays so."""
        sr = view.get(SR, pbd.SR)
        with self._lock:
            if sr.uuid in self._attached:
                return
            handle = self.driver(sr.type).attach(
                sr.uuid, revealed(view, pbd.device_config), sr.sm_config, self._data_paths
            )
            self._attached[sr.uuid] = handle

    def detach(self, sr: SR) -> None:
        """Let an SR go; SrInUse while disks of it are attached."""
        with self._lock:
            handle = self._attached.get(sr.uuid)
            if handle is not None:
                handle.detach_sr()
                del self._attached[sr.uuid]

    def forget(self, sr: SR) -> None:
        """Drop the handle of an SR that was destroyed."""
        with self._lock:
            self._attached.pop(sr.uuid, None)

    def get(self, view: View, ref: str) -> AttachedSr:
        """The handle of an SR; SR_HAS_NO_PBDS or SR_NOT_ATTACHED when it cannot be reached."""
        sr = view.get(SR, ref)
        handle = self._attached.get(sr.uuid)
        if handle is None:
            raise (SR_NOT_ATTACHED if sr.PBDs else SR_HAS_NO_PBDS)(ref)
        return handle

    def of_vdi(self, view: View, ref: str) -> tuple[AttachedSr, VDI]:
        """The handle of the SR that a disk is on, and the disk's row."""
        vdi = view.get(VDI, ref)
        return self.get(view, vdi.SR), vdi

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
