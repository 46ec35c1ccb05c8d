"""The SR type `udev`: each device in a directory is a disk, there as long as it is plugged in."""

from __future__ import annotations

import os
import stat
import uuid as uuids
from collections.abc import Mapping
from datetime import UTC, datetime

from xapi.storage.device_config import LOCATION_MISSING, absolute_path
from xapi.storage.errors import Unsupported
from xapi.storage.existing_disks import ExistingDisksSr
from xapi.storage.facts import CreateVdi, Feature, ProbeResult, SrDriverType, VdiFacts
from xapi.storage.file.directory import is_uuid
from xapi.storage.interface import DataPaths, StorageFailure
from xapi.storage.vhd.file import RealFile

SECTOR = 512
BLOCK_CLASS = "/sys/class/block"
LONGEST_ATTRIBUTE = 256


class DeviceCatalogue:
    """The block devices in a directory, directly or by links; regular files count as well, for development.

    A device's location is the path of its entry in the directory; with `cd`, all of them are read-only.
    """

    def __init__(self, sr_uuid: str, directory: str, cd: bool) -> None:
        self._sr_uuid = sr_uuid
        self._directory = directory
        self._cd = cd

    def vdis(self) -> list[VdiFacts]:
        """Return all devices; none if the directory is not there, as before the first is plugged in."""
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return []
        found = (self.find(os.path.join(self._directory, name)) for name in names)
        return [facts for facts in found if facts is not None]

    def find(self, location: str) -> VdiFacts | None:
        """Return one device."""
        parent, name = os.path.split(location)
        if parent != self._directory or not name or not name.isprintable():
            return None
        try:
            entry, device = os.lstat(location), os.stat(location)
        except (FileNotFoundError, ValueError):
            return None
        if not (stat.S_ISBLK(device.st_mode) or stat.S_ISREG(device.st_mode)):
            return None
        path = os.path.realpath(location)
        size = device.st_size if stat.S_ISREG(device.st_mode) else _size(os.path.basename(path))
        return VdiFacts(
            uuid=str(uuids.uuid5(uuids.UUID(self._sr_uuid), location)),
            location=location,
            virtual_size=size,
            physical_utilisation=size,
            name_label=_label(os.path.basename(path)) or name,
            name_description=_attribute(os.path.basename(path), "device/model"),
            read_only=self._cd or _attribute(os.path.basename(path), "ro") == "1",
            sm_config={"hotplugged_at": datetime.fromtimestamp(entry.st_ctime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")},
        )

    def path(self, location: str) -> str:
        """Return the device's own node."""
        return os.path.realpath(location)

    def open(self, location: str, writable: bool) -> RealFile:
        """Open a device."""
        descriptor = os.open(location, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK)
        return RealFile(descriptor, location)

    def space(self) -> tuple[int, int]:
        """Return the size of all devices together, none of it free."""
        return sum(vdi.virtual_size for vdi in self.vdis()), 0

    def create(self, wanted: CreateVdi) -> VdiFacts:
        """Refuse: devices are plugged in, not made."""
        raise Unsupported(Feature.VDI_CREATE)

    def destroy(self, location: str) -> None:
        """Refuse: devices are pulled out, not destroyed."""
        raise Unsupported(Feature.VDI_DELETE)


def _attribute(device: str, name: str) -> str:
    """Return what the kernel says of a block device, empty if nothing."""
    try:
        with open(os.path.join(BLOCK_CLASS, device, name), encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST_ATTRIBUTE).strip()
    except OSError:
        return ""


def _size(device: str) -> int:
    text = _attribute(device, "size")
    return int(text) * SECTOR if text.isascii() and text.isdigit() else 0


def _label(device: str) -> str:
    """Return a device's bus and its place on it, such as `SCSI 2:0:0:0`, empty if it has none."""
    path = os.path.realpath(os.path.join(BLOCK_CLASS, device, "device"))
    place = os.path.basename(path)
    if not os.path.isdir(path) or place == "device":
        return ""
    return f"{'USB' if '/usb' in path else 'SCSI' if place.count(':') == 3 else 'IDE'} {place}"


class UdevDriver:
    """SRs of devices that are found in a directory such as /dev/xapi/block."""

    type = SrDriverType(
        name="udev",
        label="udev",
        description="Drives that are plugged into this host",
        configuration={"location": "directory in which the devices appear (required)"},
        features=dict.fromkeys(
            (
                Feature.VDI_INTRODUCE,
                Feature.VDI_ATTACH,
                Feature.VDI_DETACH,
                Feature.VDI_UPDATE,
                Feature.SR_UPDATE,
            ),
            1,
        ),
        driver_filename="udevSR",
        required_api_version="1.1",
        supported_image_formats=("raw",),
        content_type="disk",
    )

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Refuse: devices are no SR."""
        raise Unsupported("SR_PROBE")

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Refuse: devices are no SR."""
        raise Unsupported("SR_PROBE")

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Check the configuration: there is nothing to make."""
        absolute_path(device_config, "location", LOCATION_MISSING, 1)
        return sm_config

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> ExistingDisksSr:
        """Look into the directory from now on."""
        if not is_uuid(sr_uuid):
            raise StorageFailure(f"{sr_uuid!r} is not a UUID", 1)
        directory = absolute_path(device_config, "location", LOCATION_MISSING, 1)
        catalogue = DeviceCatalogue(sr_uuid, directory, cd=sm_config.get("type") == "cd")
        return ExistingDisksSr(sr_uuid, catalogue, device_config)
