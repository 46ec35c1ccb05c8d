"""The SR types `lvmoiscsi` and `lvmohba`: LVM on a LUN that other hosts may reach too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from os.path import realpath
from pathlib import Path
from typing import Final

from xapi.storage.errors import InvalidConfiguration, StorageFailure
from xapi.storage.facts import MULTIPATH_HANDLE, MULTIPATHING, Feature, Paths, ProbeResult
from xapi.storage.interface import DataPaths
from xapi.storage.lvm.driver import ALLOCATION_HELP, LVM_FEATURES, LvmDriver, LvmGroups, allocation_of
from xapi.storage.lvm.group import Runner, run_lvm
from xapi.storage.lvm.iscsi import IQN_MISSING, Connection, Initiator, Settings, luns_document, targets_document
from xapi.storage.lvm.iscsi_records import PLACES
from xapi.storage.lvm.multipath import MAP_FAILED, Maps, wants_multipath
from xapi.storage.lvm.repository import LvmSr
from xapi.storage.lvm.scsi import SCSI_ID_MISSING, check_scsi_id, device_of, devices_document, list_paths
from xapi.storage.probe_text import sr_list_of

MULTIPATH_HELP: Final = {
    MULTIPATHING: "true for all paths to the LUN; with multipathhandle (optional: else as the host has it)",
    MULTIPATH_HANDLE: "dmp (the device mapper) or null (no multipath); with multipathing (optional)",
}
MULTIPATHABLE: Final = {"multipathable": "true"}
"""What the sm_config of an SR says to clients that ask whether it can have several paths."""


@dataclass(frozen=True, slots=True)
class Lun:
    """A LUN in use: its device, whether that is made of all paths, its sessions, and what ends the use."""

    scsi_id: str
    device: str
    mapped: bool
    connection: Connection
    use: ExitStack


class SrsOnLuns:
    """What SRs on LUNs have in common: whether there is one path or all of them is settled when a use begins."""

    def __init__(self, type_name: str, state: str, runner: Runner, devices: str) -> None:
        self._groups = LvmGroups(type_name, state, runner, devices)
        self._maps = Maps(runner, devices, Path(state))
        self._devices = devices
        self._attached: dict[str, Lun] = {}

    @contextmanager
    def lun(self, scsi_id: str, multipath: bool, connect: Callable[[], Connection]) -> Iterator[Lun]:
        """Have a LUN's device inside, and afterwards too for who takes what is in its `use`."""
        check_scsi_id(scsi_id)
        mapped = multipath or self._maps.is_ours(scsi_id)
        with ExitStack() as use:
            if mapped:
                self._maps.claim(scsi_id)
                use.callback(self._maps.let_go, scsi_id)
            connection = connect()
            use.pop_all()
            use.callback(partial(self._release, scsi_id if mapped else "", connection))
            device = device_of(self._devices, scsi_id)
            yield Lun(scsi_id, self._maps.assemble(scsi_id) if mapped else device, mapped, connection, use)

    def _release(self, mapped: str, connection: Connection) -> None:
        try:
            if mapped:
                self._maps.let_go(mapped)
        except StorageFailure:
            connection.leave()  # whoever still uses the map keeps its paths
            raise
        connection.end()

    def probe(self, device_config: Mapping[str, str], lun: Lun) -> tuple[ProbeResult, ...]:
        """Return the SR on a LUN, or that one can be made there."""
        return self._groups.probe(device_config, (lun.device,))

    def create(self, sr_uuid: str, lun: Lun, allocation: str, sm_config: Mapping[str, str]) -> Mapping[str, str]:
        """Make a volume group on a LUN."""
        return {**self._groups.create(sr_uuid, (lun.device,), allocation, sm_config), **MULTIPATHABLE}

    def attach(self, sr_uuid: str, device_config: Mapping[str, str], data_paths: DataPaths | None, lun: Lun) -> LvmSr:
        """Use the volume group on a LUN, which is given up with the SR's handle."""
        if lun.mapped:
            self._check_device(sr_uuid, lun)
        release = ExitStack()
        sr = self._groups.attach(sr_uuid, device_config, data_paths, release.close)
        lun.connection.adopt()
        if lun.mapped:
            self._maps.adopt(lun.scsi_id)
        release.push(lun.use.pop_all())
        release.callback(self._attached.pop, sr_uuid, None)
        self._attached[sr_uuid] = lun
        return sr

    def _check_device(self, sr_uuid: str, lun: Lun) -> None:
        """Raise unless LVM works on the map: on one of its paths, what is written is lost with that path."""
        used = [device.path for device in self._groups.found() if device.sr_uuid == sr_uuid]
        if used and realpath(lun.device) not in map(realpath, used):
            advice = "let multipath_component_detection be 1 in lvm.conf, and its filter accept /dev/mapper"
            raise StorageFailure(f"multipath: LVM uses {used[0]} instead of {lun.device}: {advice}", MAP_FAILED)

    def paths(self, sr_uuids: Collection[str]) -> dict[str, Paths]:
        """Return how the LUNs of some SRs are reached, those that are attached."""
        luns = {sr_uuid: lun for sr_uuid in sr_uuids if (lun := self._attached.get(sr_uuid)) is not None}
        mapped = [lun.scsi_id for lun in luns.values() if lun.mapped]
        counts = self._maps.counts(mapped) if mapped else {}
        unknown = (None, None)
        return {sr_uuid: Paths(lun.scsi_id, *counts.get(lun.scsi_id, unknown)) for sr_uuid, lun in luns.items()}


class LvmOverIscsi:
    """SRs on LUNs of iSCSI targets; the sessions are begun when the SR is attached."""

    type = replace(
        LvmDriver.type,
        name="lvmoiscsi",
        label="LVM over iSCSI",
        description="Disks as VHDs on logical volumes of an iSCSI LUN",
        configuration={
            "target": "address or host name of the target's portal, or several separated by commas (required)",
            "targetIQN": "name of the target (required)",
            "SCSIid": "SCSI id of the LUN (required)",
            "port": "TCP port of the portal (optional)",
            "chapuser": "user for CHAP (optional)",
            "chappassword": "password for CHAP (optional)",
            "incoming_chapuser": "user by which the target shows who it is (optional)",
            "incoming_chappassword": "password by which the target shows who it is (optional)",
            "multihomed": "true for a session to each portal of the target (optional; else as multipathing)",
            **MULTIPATH_HELP,
            "allocation": ALLOCATION_HELP,
        },
        features={**LVM_FEATURES, Feature.SR_MULTIPATH: 1},
        driver_filename="LVMoISCSISR",
        is_shared=True,
    )

    def __init__(
        self, state: str, runner: Runner = run_lvm, devices: str = "/dev", records: Sequence[str] = PLACES
    ) -> None:
        self._srs = SrsOnLuns(self.type.name, state, runner, devices)
        self._initiator = Initiator(runner, devices, records, Path(state))
        self._targets: dict[str, Settings] = {}

    @contextmanager
    def _connected(self, settings: Settings) -> Iterator[None]:
        connection = self._initiator.connect(settings)
        try:
            yield
        finally:
            connection.end()

    def _complete(self, device_config: Mapping[str, str]) -> Settings:
        """Return settings by which a LUN can be reached; what lacks is told with the choices as its detail."""
        settings = Settings.of(device_config)
        if not settings.iqn:
            targets = self._initiator.discover(settings)
            choices = targets_document(targets, ",".join(settings.addresses), settings.port)
            raise InvalidConfiguration("targetIQN", "is required", IQN_MISSING, choices)
        if not settings.scsi_id:
            with self._connected(settings):
                choices = luns_document(self._initiator.luns(settings))
            raise InvalidConfiguration("SCSIid", "is required", SCSI_ID_MISSING, choices)
        return settings

    def _lun(self, settings: Settings) -> AbstractContextManager[Lun]:
        return self._srs.lun(settings.scsi_id, settings.multipath, partial(self._initiator.connect, settings))

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
        if settings.scsi_id:
            with self._lun(settings) as lun:
                return self._srs.probe(device_config, lun)
        with self._connected(settings):
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
        with self._lun(self._complete(device_config)) as lun:
            return self._srs.create(sr_uuid, lun, allocation, sm_config)

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> LvmSr:
        """Begin sessions and use the volume group on the LUN; the sessions end with the SR's handle."""
        settings = self._complete(device_config)
        with self._lun(settings) as lun:
            sr = self._srs.attach(sr_uuid, device_config, data_paths, lun)
            self._targets[sr_uuid] = settings
            return sr

    def paths(self, sr_uuids: Collection[str]) -> Mapping[str, Paths]:
        """Return how the LUNs of attached SRs are reached, with the number of sessions to their targets."""
        found = self._srs.paths(sr_uuids)
        sessions = self._initiator.sessions() if found else []
        return {
            sr_uuid: replace(paths, sessions=sum(map(self._targets[sr_uuid].names, sessions)))
            for sr_uuid, paths in found.items()
        }


class LvmOverHba:
    """SRs on LUNs that a host bus adapter brings."""

    type = replace(
        LvmDriver.type,
        name="lvmohba",
        label="LVM over HBA",
        description="Disks as VHDs on logical volumes of a LUN behind a host bus adapter",
        configuration={
            "SCSIid": "SCSI id of the LUN (required)",
            **MULTIPATH_HELP,
            "allocation": ALLOCATION_HELP,
        },
        features={**LVM_FEATURES, Feature.SR_MULTIPATH: 1},
        driver_filename="LVMoHBASR",
        is_shared=True,
    )

    def __init__(self, state: str, runner: Runner = run_lvm, devices: str = "/dev") -> None:
        self._srs = SrsOnLuns(self.type.name, state, runner, devices)
        self._runner = runner

    def _lun(self, device_config: Mapping[str, str]) -> AbstractContextManager[Lun]:
        multipath = wants_multipath(device_config)
        scsi_id = device_config.get("SCSIid", "")
        if not scsi_id:
            choices = devices_document(list_paths(self._runner))
            raise InvalidConfiguration("SCSIid", "is required", SCSI_ID_MISSING, choices)
        return self._srs.lun(scsi_id, multipath, Connection)

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Return the SR on a LUN, as XML; error 107 with the LUNs where none is named."""
        with self._lun(device_config) as lun:
            return sr_list_of(self._srs.probe(device_config, lun))

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Return the LUNs, or what is on one."""
        if device_config.get("SCSIid"):
            with self._lun(device_config) as lun:
                return self._srs.probe(device_config, lun)
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
        with self._lun(device_config) as lun:
            return self._srs.create(sr_uuid, lun, allocation, sm_config)

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> LvmSr:
        """Use the volume group on the LUN."""
        with self._lun(device_config) as lun:
            return self._srs.attach(sr_uuid, device_config, data_paths, lun)

    def paths(self, sr_uuids: Collection[str]) -> Mapping[str, Paths]:
        """Return how the LUNs of attached SRs are reached."""
        return self._srs.paths(sr_uuids)
