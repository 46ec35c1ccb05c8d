"""The SR types `file` (a directory) and `ext` (a file system of its own, on a device or in an image file)."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from xapi.storage.device_config import (
    DEVICE_INVALID,
    DEVICE_MISSING,
    LOCATION_MISSING,
    absolute_path,
)
from xapi.storage.errors import InvalidConfiguration, SrExists, SrInUse, SrUnavailable, StorageFailure
from xapi.storage.facts import Feature, ProbeResult, SrDriverType, SrStat
from xapi.storage.failures import translated
from xapi.storage.file.directory import IMAGE_NAME, Directory, is_uuid
from xapi.storage.file.repository import FileSr
from xapi.storage.file.settings import load_settings, save_settings
from xapi.storage.interface import DataPaths
from xapi.storage.mounts import Mounter, SystemMounter, mount_table
from xapi.storage.probe_text import sr_list_of
from xapi.system.command import CommandFailed, run

LOG = logging.getLogger("xapi.storage")
FILE_FEATURES: Mapping[Feature, int] = dict.fromkeys(
    (
        Feature.SR_PROBE,
        Feature.SR_UPDATE,
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
        Feature.VDI_RESIZE_ONLINE,
        Feature.VDI_GENERATE_CONFIG,
        Feature.VDI_MIRROR,
        Feature.VDI_CONFIG_CBT,
        Feature.VDI_RESET_ON_BOOT,
        Feature.ATOMIC_PAUSE,
        Feature.THIN_PROVISIONING,
    ),
    1,
)
CREATE_FAILED = 61
UNMOUNT_FAILED = 53
MOUNT_FAILED = 52
MAKE_FILE_SYSTEM_FAILED = 57
ROOT_DEVICE = 105
MAKE_FILE_SYSTEM_TIMEOUT = 1800.0


def prepare_directory(path: str, sr_uuid: str) -> Directory:
    """Make an empty directory an SR's, making it if it is not there; SrExists if it holds anything."""
    with translated(sr_uuid):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise InvalidConfiguration("location", "the directory above it does not exist", CREATE_FAILED) from None
        directory = Directory(path, sr_uuid)
        if any(name != "lost+found" for name in directory.names()):
            raise SrExists(f"{path} is not empty")
        save_settings(directory, "", "")
        return directory


def find_sr(path: str) -> SrStat | None:
    """Return what SR is in a directory, None if there is nothing like one."""
    try:
        directory = Directory(path, "")
        untrusted = json.loads(directory.read_small(directory.settings))
        uuid = untrusted.get("uuid") if isinstance(untrusted, dict) else None
    except (StorageFailure, OSError, ValueError, RecursionError):
        uuid = None
    try:
        has_images = any(IMAGE_NAME.fullmatch(name) for name in os.listdir(path))
        total, free = Directory(path, "").space()
    except (StorageFailure, OSError):
        return None
    if not (isinstance(uuid, str) and is_uuid(uuid)):
        return SrStat(total, free) if has_images else None
    name, description = load_settings(directory)
    return SrStat(total, free, uuid, name, description)


class FileDriver:
    """SRs in directories that exist on this host."""

    type = SrDriverType(
        name="file",
        label="Local path, VHD",
        description="Disks as VHD files in a directory of this host",
        configuration={"location": "absolute path of the directory (required)"},
        features=FILE_FEATURES,
        driver_filename="FileSR",
        supported_image_formats=("vhd", "raw"),
    )

    def _path(self, device_config: Mapping[str, str]) -> str:
        return absolute_path(device_config, "location", LOCATION_MISSING, 1)

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Return the SR in the directory, as XML."""
        return sr_list_of(self.probe_ext(device_config, sm_config))

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Return the SR in the directory, or that one can be made there."""
        path = self._path(device_config)
        found = find_sr(path)
        return (ProbeResult({"location": path}, complete=True, sr=found),)

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Make the directory, which must not exist or be empty."""
        prepare_directory(self._path(device_config), sr_uuid)
        return sm_config

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> FileSr:
        """Use the directory where it is."""
        directory = Directory(self._path(device_config), sr_uuid)
        return FileSr(directory, self.type.name, device_config, data_paths)


class ExtDriver:
    """SRs in a file system of their own, mounted below `mounts`.

    `device` may also be an image file, or a directory (which is then used as it is); `location` is another name for it.
    """

    type = replace(
        FileDriver.type,
        name="ext",
        label="Local ext4, VHD",
        description="Disks as VHD files in an ext4 file system on a local device",
        configuration={
            "device": "path of the device, or of an image file or a directory in place of one (required)",
            "location": "another name for device",
        },
        driver_filename="EXTSR",
    )

    def __init__(self, mounts: str, mounter: Mounter | None = None) -> None:
        self._mounts = mounts
        self._mounter = mounter or SystemMounter()

    def _device(self, device_config: Mapping[str, str]) -> str:
        key = "location" if "device" not in device_config and "location" in device_config else "device"
        return absolute_path(device_config, key, DEVICE_MISSING, DEVICE_INVALID)

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Return the SR on the device, as XML."""
        return sr_list_of(self.probe_ext(device_config, sm_config))

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Return the SR on the device, or that one can be made there. The UUID is the file system's label's."""
        device = self._device(device_config)
        if os.path.isdir(device):
            return (ProbeResult({"device": device}, complete=True, sr=find_sr(device)),)
        size = check_device(device)
        uuid = file_system_uuid(device)
        found = SrStat(size, 0, uuid) if uuid else None
        return (ProbeResult({"device": device}, complete=True, sr=found, extra_info={"size": str(size)}),)

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Make an ext4 file system on the device, over whatever is there, unless it is in use."""
        device = self._device(device_config)
        if os.path.isdir(device) or (not os.path.lexists(device) and device_config.get("device") is None):
            prepare_directory(device, sr_uuid)
            return sm_config
        if not is_uuid(sr_uuid):
            raise StorageFailure(f"{sr_uuid!r} is not a UUID", 1)
        check_device(device)
        check_not_mounted(device)
        command = ["mkfs.ext4", "-F", "-q", "-m", "0", "-U", sr_uuid, "--", device]
        try:
            run(command, timeout=MAKE_FILE_SYSTEM_TIMEOUT)
        except CommandFailed as error:
            raise StorageFailure(
                f"no file system could be made on {device}: {error}", MAKE_FILE_SYSTEM_FAILED
            ) from error
        return sm_config

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> FileSr:
        """Check and mount the file system, unless it is mounted already."""
        device = self._device(device_config)
        if os.path.isdir(device):
            return FileSr(Directory(device, sr_uuid), self.type.name, device_config, data_paths)
        if not is_uuid(sr_uuid):
            raise StorageFailure(f"{sr_uuid!r} is not a UUID", 1)
        check_device(device)
        target = os.path.join(self._mounts, sr_uuid)
        with ExitStack() as stack:
            if not self._mounter.is_mounted(target):
                self._mount(device, target)
            stack.callback(self._unmount, target)
            unmount = ExitStack()
            unmount.callback(self._unmount, target)
            sr = FileSr(Directory(target, sr_uuid), self.type.name, device_config, data_paths, unmount=unmount)
            stack.pop_all()
            return sr

    def _mount(self, device: str, target: str) -> None:
        options = ("noatime",) if stat.S_ISBLK(os.stat(device).st_mode) else ("noatime", "loop")
        try:
            if is_read_only(device):
                LOG.warning("%s can only be read, and so can the SR on it", device)
                options = (*options, "ro", "noload")
            else:
                # 1 and 2 are errors that were corrected.
                run(["fsck.ext4", "-p", "--", device], timeout=MAKE_FILE_SYSTEM_TIMEOUT, accept=(0, 1, 2))
            self._mounter.mount("ext4", device, target, options)
        except CommandFailed as error:
            raise SrUnavailable(f"{device} cannot be mounted: {error}", MOUNT_FAILED) from error

    def _unmount(self, target: str) -> None:
        try:
            self._mounter.unmount(target)
        except CommandFailed as error:
            raise SrInUse(f"{target} cannot be unmounted: {error}", UNMOUNT_FAILED) from error


def check_device(device: str) -> int:
    """Return the size in bytes of a block device or an image file; InvalidConfiguration for anything else."""
    try:
        found = os.stat(device)
    except OSError as error:
        raise InvalidConfiguration("device", f"{device}: {error.strerror}", DEVICE_INVALID) from error
    if stat.S_ISREG(found.st_mode):
        return found.st_size
    if not stat.S_ISBLK(found.st_mode):
        raise InvalidConfiguration("device", f"{device} is no block device", DEVICE_INVALID)
    with open(device, "rb") as file:
        return file.seek(0, os.SEEK_END)


def is_read_only(device: str) -> bool:
    """Whether the kernel says that a device cannot be written to, or an image file must not be."""
    found = os.stat(device)
    if not stat.S_ISBLK(found.st_mode):
        return not os.access(device, os.W_OK)
    attribute = f"/sys/dev/block/{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}/ro"
    with open(attribute, encoding="ascii") as file:
        return file.read().strip() == "1"


def check_not_mounted(device: str) -> None:
    """Raise SrInUse for a device that holds a mounted file system, the root's being a case of its own."""
    found = os.stat(device)
    numbers = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    for entry in mount_table():
        if os.path.realpath(entry.source) == os.path.realpath(device) or (
            stat.S_ISBLK(found.st_mode) and entry.device == numbers
        ):
            number = ROOT_DEVICE if entry.target == "/" else None
            raise SrInUse(f"{device} is mounted at {entry.target}", number)


def file_system_uuid(device: str) -> str:
    """Return the UUID of the ext file system on a device, empty for none."""
    try:
        text = run(["blkid", "-p", "-o", "export", "--", device], accept=(0, 2)).text
    except CommandFailed as error:
        raise SrUnavailable(f"{device} cannot be read: {error}") from error
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    uuid = values.get("UUID", "")
    return uuid if values.get("TYPE", "").startswith("ext") and is_uuid(uuid) else ""
