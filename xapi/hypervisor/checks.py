"""What every driver refuses in a configuration, before it touches anything."""

import re
from collections.abc import Iterable, Mapping

from xapi.hypervisor.interface import (
    DeviceRefused,
    Disk,
    DiskKind,
    DiskMode,
    DomainConfig,
    EmptyDrive,
    InvalidConfiguration,
    Memory,
    Nic,
    Processors,
    Volume,
)

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}\Z")
VM_DATA = "vm-data/"


def check_config(config: DomainConfig) -> None:
    """Pass, or raise InvalidConfiguration or DeviceRefused."""
    if not config.uuid:
        raise InvalidConfiguration("uuid", "is empty")
    check_memory(config.memory)
    check_processors(config.processors)
    check_vm_data(config.vm_data)
    _check_unique("disks", (disk.device for disk in config.disks))
    _check_unique("disks", (str(disk.number) for disk in config.disks))
    _check_unique("nics", (str(nic.device) for nic in config.nics))
    _check_unique("vusbs", (vusb.device for vusb in config.vusbs))
    for disk in config.disks:
        check_disk(disk)
    for nic in config.nics:
        check_nic(nic)


def check_memory(memory: Memory) -> None:
    """Pass when 0 < dynamic_min <= target <= dynamic_max <= static_max, and the overhead is not negative."""
    if memory.dynamic_min <= 0:
        raise InvalidConfiguration("memory.dynamic_min", f"{memory.dynamic_min} is not positive")
    if memory.dynamic_max > memory.static_max:
        raise InvalidConfiguration("memory.dynamic_max", f"{memory.dynamic_max} exceeds static_max {memory.static_max}")
    if memory.dynamic_min > memory.dynamic_max:
        raise InvalidConfiguration(
            "memory.dynamic_min", f"{memory.dynamic_min} exceeds dynamic_max {memory.dynamic_max}"
        )
    if not memory.dynamic_min <= memory.target <= memory.dynamic_max:
        raise InvalidConfiguration(
            "memory.target", f"{memory.target} is outside {memory.dynamic_min}..{memory.dynamic_max}"
        )
    if memory.overhead < 0:
        raise InvalidConfiguration("memory.overhead", f"{memory.overhead} is negative")


def check_processors(processors: Processors) -> None:
    """Pass when 1 <= at_startup <= maximum, and weight and cap are in the credit scheduler's ranges."""
    if not 1 <= processors.at_startup <= processors.maximum:
        raise InvalidConfiguration(
            "processors.at_startup", f"{processors.at_startup} is outside 1..{processors.maximum}"
        )
    if not 1 <= processors.weight <= 65535:
        raise InvalidConfiguration("processors.weight", f"{processors.weight} is outside 1..65535")
    if processors.cap < 0 or any(number < 0 for number in processors.mask):
        raise InvalidConfiguration("processors.cap", "cap and mask hold no negative numbers")


def check_disk(disk: Disk) -> None:
    """Pass a drive that a guest could have."""
    if isinstance(disk.source, Volume):
        raise InvalidConfiguration("disk.source", f"volume {disk.source.key} was not attached")
    if isinstance(disk.source, EmptyDrive) and disk.kind is DiskKind.DISK:
        raise DeviceRefused(disk.device, "only a CD or floppy drive can be empty")
    if disk.kind is DiskKind.CD and disk.mode is DiskMode.READ_WRITE:
        raise DeviceRefused(disk.device, "a CD cannot be written")
    if not disk.device or disk.number < 0:
        raise DeviceRefused(disk.device, "it has no name or no number")


def check_nic(nic: Nic) -> None:
    """Pass a card that a guest could have."""
    if not _MAC.match(nic.mac):
        raise DeviceRefused(str(nic.device), f"{nic.mac} is not a MAC address")
    if not nic.bridge:
        raise DeviceRefused(str(nic.device), "it has no bridge")
    if nic.device < 0 or not 68 <= nic.mtu <= 65535:
        raise DeviceRefused(str(nic.device), "its number or MTU is out of range")


def check_vm_data(entries: Mapping[str, str]) -> None:
    """Pass when every key begins with vm-data/: nothing else of a VM's data may reach the guest."""
    for key in entries:
        if not key.startswith(VM_DATA) or ".." in key.split("/"):
            raise InvalidConfiguration("vm_data", f"{key} is not below {VM_DATA}")


def _check_unique(field: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DeviceRefused(name, f"it occurs twice among the {field}")
        seen.add(name)
