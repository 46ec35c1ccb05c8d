"""The SR types `lvmoiscsi` and `lvmohba`: LVM on a LUN that other hosts may reach too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from xapi.storage.errors import InvalidConfiguration
from xapi.storage.facts import ProbeResult
from xapi.storage.interface import DataPaths
from xapi.storage.lvm.driver import ALLOCATION_HELP, LvmDriver, LvmGroups, allocation_of
from xapi.storage.lvm.group import Runner, run_lvm
from xapi.storage.lvm.iscsi import IQN_MISSING, Initiator, Settings, luns_document, targets_document
from xapi.storage.lvm.iscsi_records import PLACES
from xapi.storage.lvm.repository import LvmSr
from xapi.storage.lvm.scsi import SCSI_ID_MISSING, device_of, devices_document, list_paths
from xapi.storage.probe_text import sr_list_of


class LvmOverIscsi:
    """SRs on LUNs of iSCSI targets; the session is begun when the SR is attached."""

    type = replace(
        LvmDriver.type,
        name="lvmoiscsi",
        label="LVM over iSCSI",
        description="Disks as VHDs on logical volumes of an iSCSI LUN",
        configuration={
            "target": "address or host name of the target's portal (required)",
            "targetIQN": "name of the target (required)",
            "SCSIid": "SCSI id of the LUN (required)",
            "port": "TCP port of the portal (optional)",
            "chapuser": "user for CHAP (optional)",
            "chappassword": "password for CHAP (optional)",
            "incoming_chapuser": "user by which the target shows who it is (optional)",
            "incoming_chappassword": "password by which the target shows who it is (optional)",
            "multihomed": "true for a session to each portal of the target (optional)",
            "allocation": ALLOCATION_HELP,
        },
        driver_filename="LVMoISCSISR",
        is_shared=True,
    )

    def __init__(
        self, state: str, runner: Runner = run_lvm, devices: str = "/dev", records: Sequence[str] = PLACES
    ) -> None:
        self._groups = LvmGroups(self.type.name, state, runner, devices)
        self._initiator = Initiator(runner, devices, records)
        self._devices = devices

    @contextmanager
    def _connected(self, settings: Settings) -> Iterator[ExitStack]:
        """Have a session inside, and afterwards too for who takes the stack's callbacks."""
        with ExitStack() as stack:
            stack.callback(self._initiator.connect(settings))
            yield stack

    def _complete(self, device_config: Mapping[str, str]) -> Settings:
        """Return settings by which a LUN can be reached; what lacks is told with the choices as its detail."""
        settings = Settings.of(device_config)
        if not settings.iqn:
            targets = self._initiator.discover(settings)
            choices = targets_document(targets, settings.address, settings.port)
            raise InvalidConfiguration("targetIQN", "is required", IQN_MISSING, choices)
        if not settings.scsi_id:
            with self._connected(settings):
                choices = luns_document(self._initiator.luns(settings))
            raise InvalidConfiguration("SCSIid", "is required", SCSI_ID_MISSING, choices)
        return settings

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Return the SR on a LUN, as XML; error 96 with the targets, or 107 with the LUNs, where none is named."""
        self._complete(device_config)
        return sr_list_of(self.probe_ext(device_config, sm_config))

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Return the targets of a portal, the LUNs of a target, or what is on a LUN."""
        settings = Settings.of(device_config)
        if not settings.iqn:
            return tuple(
                ProbeResult({**device_config, "target": target.address, "targetIQN": target.iqn}, complete=False)
                for target in self._initiator.discover(settings)
            )
        with self._connected(settings):
            if settings.scsi_id:
                return self._groups.probe(device_config, (device_of(self._devices, settings.scsi_id),))
            return tuple(
                ProbeResult({**device_config, "SCSIid": disk.scsi_id}, True, extra_info={"size": str(disk.size)})
                for _, disk in self._initiator.luns(settings)
            )

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Make a volume group on the LUN."""
        allocation = allocation_of(device_config, sm_config)
        settings = self._complete(device_config)
        with self._connected(settings):
            return self._groups.create(sr_uuid, (device_of(self._devices, settings.scsi_id),), allocation, sm_config)

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> LvmSr:
        """Begin a session and use the volume group on the LUN; the session ends with the SR's handle."""
        settings = self._complete(device_config)
        with self._connected(settings) as stack:
            device_of(self._devices, settings.scsi_id)
            release = ExitStack()
            sr = self._groups.attach(sr_uuid, device_config, data_paths, release.close)
            release.push(stack.pop_all())
            return sr


class LvmOverHba:
    """SRs on LUNs that a host bus adapter brings."""

    type = replace(
        LvmDriver.type,
        name="lvmohba",
        label="LVM over HBA",
        description="Disks as VHDs on logical volumes of a LUN behind a host bus adapter",
        configuration={"SCSIid": "SCSI id of the LUN (required)", "allocation": ALLOCATION_HELP},
        driver_filename="LVMoHBASR",
        is_shared=True,
    )

    def __init__(self, state: str, runner: Runner = run_lvm, devices: str = "/dev") -> None:
        self._groups = LvmGroups(self.type.name, state, runner, devices)
        self._runner = runner
        self._devices = devices

    def _device(self, device_config: Mapping[str, str]) -> str:
        scsi_id = device_config.get("SCSIid", "")
        if not scsi_id:
            choices = devices_document(list_paths(self._runner))
            raise InvalidConfiguration("SCSIid", "is required", SCSI_ID_MISSING, choices)
        return device_of(self._devices, scsi_id)

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Return the SR on a LUN, as XML; error 107 with the LUNs where none is named."""
        return sr_list_of(self._groups.probe(device_config, (self._device(device_config),)))

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Return the LUNs, or what is on one."""
        if device_config.get("SCSIid"):
            return self._groups.probe(device_config, (self._device(device_config),))
        disks = {path.disk.scsi_id: path.disk for path in list_paths(self._runner)}
        return tuple(
            ProbeResult({**device_config, "SCSIid": scsi_id}, True, extra_info={"size": str(disk.size)})
            for scsi_id, disk in disks.items()
        )

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Make a volume group on the LUN."""
        allocation = allocation_of(device_config, sm_config)
        return self._groups.create(sr_uuid, (self._device(device_config),), allocation, sm_config)

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> LvmSr:
        """Use the volume group on the LUN."""
        self._device(device_config)
        return self._groups.attach(sr_uuid, device_config, data_paths)
