"""The SR type `dummy`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from xapi.storage.errors import InvalidConfiguration, SrExists, SrUnavailable, StorageFailure
from xapi.storage.facts import Feature, ProbeResult, SrDriverType, SrStat
from xapi.storage.failures import translated
from xapi.storage.file.directory import is_uuid
from xapi.storage.interface import DataPaths
from xapi.storage.probe_text import sr_list_of
from xapi.storage.simulator.faults import Faults
from xapi.storage.simulator.journal import Journal, SrNames
from xapi.storage.simulator.repository import DEFAULT_SIZE, JOURNAL_NAME, SimulatedSr

NOT_OFFERED = {
    Feature.SR_MULTIPATH,
    Feature.SR_TRIM,
    Feature.SR_METADATA,
    Feature.SR_CACHING,
    Feature.SR_SUPPORTS_LOCAL_CACHING,
    Feature.VDI_ATTACH_OFFLINE,
    Feature.VDI_READ_CACHING,
    Feature.VDI_RESET_ON_BOOT,
}


class DummyDriver:
    """SRs that are simulated, in files below `state`."""

    type = SrDriverType(
        name="dummy",
        label="dummy",
        description="Simulated disks, for trying clients out",
        configuration={
            "size": "bytes that all disks together may have (optional)",
            "fault-OPERATION": "number of the error that the operation is to fail with, and :TIMES (optional)",
        },
        features=dict.fromkeys((feature for feature in Feature if feature not in NOT_OFFERED), 1),
        driver_filename="DummySR",
        supported_image_formats=("raw",),
    )

    def __init__(self, state: str) -> None:
        self._state = Path(state)

    def _directory(self, sr_uuid: str) -> Path:
        if not is_uuid(sr_uuid):
            raise StorageFailure(f"{sr_uuid!r} is not a UUID", 1)
        return self._state / sr_uuid

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Return all simulated SRs, as XML."""
        return sr_list_of(self.probe_ext(device_config, sm_config))

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Return all simulated SRs, attached or not."""
        Faults(device_config).check("probe")
        size = _size(device_config)
        try:
            names = sorted(filter(is_uuid, os.listdir(self._state)))
        except FileNotFoundError:
            names = []
        return tuple(ProbeResult(dict(device_config), True, SrStat(size, size, name)) for name in names)

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Make an SR without disks."""
        directory = self._directory(sr_uuid)
        Faults(device_config).check("create_sr")
        _size(device_config)
        with translated(sr_uuid):
            try:
                directory.mkdir(mode=0o700, parents=True)
            except FileExistsError:
                raise SrExists(f"there is an SR {sr_uuid} already") from None
            Journal(directory / JOURNAL_NAME, {}, SrNames()).close()
        return sm_config

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> SimulatedSr:
        """Read the SR's journal."""
        directory = self._directory(sr_uuid)
        Faults(device_config).check("attach_sr")
        if not directory.is_dir():
            raise SrUnavailable(f"there is no SR {sr_uuid}")
        return SimulatedSr(sr_uuid, directory, device_config, _size(device_config))


def _size(device_config: Mapping[str, str]) -> int:
    text = device_config.get("size", "") or str(DEFAULT_SIZE)
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidConfiguration("size", "is not a number of bytes")
    return int(text)
