"""The SR type `lvm`: disks on logical volumes of local devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from xapi.storage.device_config import DEVICE_INVALID, DEVICE_MISSING, absolute_path, plain_text
from xapi.storage.errors import InvalidConfiguration, SrExists, StorageFailure
from xapi.storage.facts import Feature, ProbeResult, SrDriverType, SrStat
from xapi.storage.failures import translated
from xapi.storage.file.driver import check_device, check_not_mounted
from xapi.storage.interface import DataPaths
from xapi.storage.lvm import commands
from xapi.storage.lvm.group import GROUP_CREATE, Runner, VolumeGroup, ask, run_lvm
from xapi.storage.lvm.records import Records
from xapi.storage.lvm.repository import LvmSr
from xapi.storage.lvm.sizes import tidy_up
from xapi.storage.lvm.volumes import Device, parse_devices
from xapi.storage.probe_text import sr_list_of

LVM_FEATURES: Mapping[Feature, int] = dict.fromkeys(
    (
        Feature.SR_PROBE,
        Feature.SR_UPDATE,
        Feature.SR_METADATA,
        Feature.VDI_CREATE,
        Feature.VDI_DELETE,
        Feature.VDI_ATTACH,
        Feature.VDI_DETACH,
        Feature.VDI_ACTIVATE,
        Feature.VDI_DEACTIVATE,
        Feature.VDI_UPDATE,
        Feature.VDI_INTRODUCE,
        Feature.VDI_CLONE,
        Feature.VDI_SNAPSHOT,
        Feature.VDI_RESIZE,
        Feature.VDI_GENERATE_CONFIG,
        Feature.VDI_CONFIG_CBT,
        Feature.VDI_MIRROR,
        Feature.VDI_RESET_ON_BOOT,
        Feature.ATOMIC_PAUSE,
    ),
    1,
)
PVS_FAILED = 93
ALLOCATIONS = ("thick", "thin")
ALLOCATION_HELP = "thick (the default), or thin: disks that nobody has take no more than they hold (optional)"


def allocation_of(device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
    """Return how the volumes of a new SR are to be sized."""
    wanted = sm_config.get("allocation") or device_config.get("allocation") or ALLOCATIONS[0]
    if wanted not in ALLOCATIONS:
        raise InvalidConfiguration("allocation", f"is neither of {' and '.join(ALLOCATIONS)}")
    return wanted


class LvmGroups:
    """Making, finding and attaching SRs on LVM: what all SR types on it have in common."""

    def __init__(self, type_name: str, state: str, runner: Runner = run_lvm, devices: str = "/dev") -> None:
        self._type_name = type_name
        self._state = Path(state)
        self._runner = runner
        self._devices = devices

    def found(self, devices: tuple[str, ...] = ()) -> list[Device]:
        """Return the SRs that LVM finds, one time each; with `devices`, those that lie on one of these."""
        report = ask(self._runner, commands.list_devices(), PVS_FAILED).text
        wanted = {os.path.realpath(device) for device in devices}  # LVM has its own idea of which name is the best
        lying = [device for device in parse_devices(report) if not wanted or os.path.realpath(device.path) in wanted]
        return list({device.sr_uuid: device for device in lying}.values())

    def probe(self, configuration: Mapping[str, str], devices: tuple[str, ...]) -> tuple[ProbeResult, ...]:
        """Return the SRs on some devices, or that one can be made there."""
        found = [SrStat(device.size, device.free, device.sr_uuid) for device in self.found(devices)]
        kept: list[SrStat | None] = [*found] if found else [None]
        return tuple(ProbeResult(dict(configuration), complete=True, sr=sr) for sr in kept)

    def create(
        self, sr_uuid: str, devices: tuple[str, ...], allocation: str, sm_config: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Make a volume group with its metadata volume on devices that hold no SR; return the SR's sm_config."""
        group = VolumeGroup(sr_uuid, self._runner, self._devices)
        taken = {device.sr_uuid for device in self.found(devices)}
        taken |= {device.sr_uuid for device in self.found() if device.sr_uuid == sr_uuid}
        for found in sorted(taken):
            if not VolumeGroup(found, self._runner, self._devices).clear_remains():
                raise SrExists(f"there is already SR {found} there")
        ask(self._runner, commands.create_group(group.name, devices), GROUP_CREATE)
        try:
            with translated(sr_uuid):
                Records.prepare(group, allocation)
        except StorageFailure:
            tidy_up(group, group.destroy)
            raise
        return {**sm_config, "allocation": allocation, "use_vhd": "true"}

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        data_paths: DataPaths | None,
        release: Callable[[], None] = lambda: None,
    ) -> LvmSr:
        """Use a volume group that LVM finds; SrUnavailable if it does not."""
        group = VolumeGroup(sr_uuid, self._runner, self._devices)
        group.stat()
        return LvmSr(group, self._type_name, device_config, self._state, data_paths, release)


class LvmDriver:
    """SRs in volume groups of their own on local devices."""

    type = SrDriverType(
        name="lvm",
        label="Local LVM",
        description="Disks as VHDs on logical volumes of local devices",
        configuration={
            "device": "path of the device, or several of them separated by commas (required)",
            "allocation": ALLOCATION_HELP,
        },
        features=LVM_FEATURES,
        driver_filename="LVMSR",
        supported_image_formats=("vhd", "raw"),
    )

    def __init__(self, state: str, runner: Runner = run_lvm, devices: str = "/dev") -> None:
        self._groups = LvmGroups(self.type.name, state, runner, devices)

    def _devices_of(self, device_config: Mapping[str, str]) -> tuple[str, ...]:
        names = plain_text(device_config, "device", DEVICE_MISSING).split(",")
        return tuple(absolute_path({"device": name}, "device", DEVICE_MISSING, DEVICE_INVALID) for name in names)

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Return the SRs on the devices, as XML."""
        return sr_list_of(self.probe_ext(device_config, sm_config))

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Return the SRs on the devices, or that one can be made there."""
        devices = self._devices_of(device_config)
        for device in devices:
            check_device(device)
        return self._groups.probe(device_config, devices)

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Make a volume group on the devices, over whatever is there, unless it is an SR or mounted."""
        devices = self._devices_of(device_config)
        allocation = allocation_of(device_config, sm_config)
        for device in devices:
            check_device(device)
            check_not_mounted(device)
        return self._groups.create(sr_uuid, devices, allocation, sm_config)

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> LvmSr:
        """Use the volume group where LVM finds it."""
        self._devices_of(device_config)
        return self._groups.attach(sr_uuid, device_config, data_paths)
