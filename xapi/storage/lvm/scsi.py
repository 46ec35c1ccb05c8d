"""SCSI disks as udev describes them, and the list of those behind host bus adapters."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from xapi.storage.errors import InvalidConfiguration, StorageFailure
from xapi.storage.lvm.group import Runner
from xapi.storage.probe_text import Element, document
from xapi.system.command import CommandFailed

LOG = logging.getLogger("xapi.storage")
SCSI_ID = re.compile(r"[A-Za-z0-9_.:+-]{1,200}")
SCSI_ID_MISSING = 107
DEVICE_MISSING = 19
HBA_TRANSPORTS = frozenset({"fc", "sas", "fcoe"})


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk, or one path to it; size in bytes."""

    path: str
    scsi_id: str
    vendor: str
    serial: str
    size: int


def let_udev_settle(runner: Runner) -> None:
    """Give udev its time to name new devices, and no more: who then looks for one says what is missing."""
    try:
        runner(["udevadm", "settle", "--timeout=30"])
    except CommandFailed as error:
        LOG.warning("udev does not come to an end: %s", error)


def describe(device: str) -> list[str]:
    """Tell what a device says of itself, a line for each KEY=value."""
    return ["/lib/udev/scsi_id", "--whitelisted", "--export", f"--device={device}"]


def describe_disk(runner: Runner, path: str) -> Disk | None:
    """Return what a device says of itself, None for one that does not answer."""
    try:
        text = runner(describe(path)).text
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
    except (CommandFailed, OSError):
        return None
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    scsi_id = values.get("ID_SERIAL", "")
    if not SCSI_ID.fullmatch(scsi_id):
        return None
    serial = values.get("ID_SCSI_SERIAL") or values.get("ID_SERIAL_SHORT", "")
    return Disk(path, scsi_id, values.get("ID_VENDOR", ""), serial, size)


def check_scsi_id(scsi_id: str) -> None:
    """Raise InvalidConfiguration for what cannot be a SCSI id."""
    if not SCSI_ID.fullmatch(scsi_id) or scsi_id.startswith(("-", ".")):
        raise InvalidConfiguration("SCSIid", "is no id of a SCSI disk", SCSI_ID_MISSING)


def map_of(devices: str, scsi_id: str) -> str | None:
    """Return the path of the device that multipath has made of all paths to a disk, by whatever name; None for none."""
    path = os.path.join(devices, "mapper", scsi_id)
    if os.path.exists(path):
        return path
    named_otherwise = os.path.join(devices, "disk", "by-id", f"dm-uuid-mpath-{scsi_id}")
    return os.path.realpath(named_otherwise) if os.path.exists(named_otherwise) else None


def device_of(devices: str, scsi_id: str) -> str:
    """Return the path of the disk with a SCSI id, through multipath if that has it; InvalidConfiguration for none."""
    check_scsi_id(scsi_id)
    path = map_of(devices, scsi_id)
    if path is not None:
        return path
    path = os.path.join(devices, "disk", "by-id", f"scsi-{scsi_id}")
    if os.path.exists(path):
        return os.path.realpath(path)
    raise InvalidConfiguration("SCSIid", f"no disk {scsi_id} has appeared", DEVICE_MISSING)


@dataclass(frozen=True, slots=True)
class HbaPath:
    """A path to a disk through a host bus adapter."""

    disk: Disk
    transport: str
    place: tuple[str, str, str, str]


def list_paths(runner: Runner) -> list[HbaPath]:
    """Return the paths through host bus adapters, from what lsblk tells of all disks."""
    columns = "PATH,TRAN,HCTL"
    try:
        rows = json.loads(runner(["lsblk", "--json", "--nodeps", "--output", columns]).text)["blockdevices"]
        wanted = [row for row in rows if row.get("tran") in HBA_TRANSPORTS]
    except CommandFailed as error:
        raise StorageFailure(f"the disks cannot be listed: {error}", DEVICE_MISSING) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageFailure(f"the list of disks cannot be read: {error}", DEVICE_MISSING) from error
    found = []
    for row in wanted:
        disk = describe_disk(runner, str(row.get("path", "")))
        host, channel, target, lun = (*str(row.get("hctl") or "").split(":"), "", "", "", "")[:4]
        if disk is not None:
            found.append(HbaPath(disk, str(row["tran"]), (host, channel, target, lun)))
    return found


def devices_document(paths: Sequence[HbaPath]) -> str:
    """Return the XML of a probe that lacks the SCSIid: each disk once, with the number of its paths."""
    disks: dict[str, list[HbaPath]] = {}
    for path in paths:
        disks.setdefault(path.disk.scsi_id, []).append(path)
    entries: list[Element] = []
    for scsi_id, group in disks.items():
        first, *others = group
        names = first.disk.path + "".join(f" [{os.path.basename(other.disk.path)}]" for other in others)
        values = (names, str(len(group)), scsi_id, first.disk.vendor, first.disk.serial, str(first.disk.size))
        keys = ("path", "numpaths", "SCSIid", "vendor", "serial", "size", "adapter", "channel", "id", "lun", "hba")
        entries.append(("BlockDevice", list(zip(keys, (*values, *first.place, first.transport), strict=True))))
    return document("Devlist", entries)
