"""What a domain should be: the vocabulary of the hypervisor floor, and configurations as frozen values.

Amounts of memory are bytes. ``interface`` offers all of these names again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Feature(StrEnum):
    """One thing that a driver may or may not be able to do."""

    HVM = "hvm"
    PV = "pv"
    PVH = "pvh"
    PV_IN_PVH = "pv_in_pvh"
    UEFI = "uefi"
    DISK_HOTPLUG = "disk_hotplug"
    NIC_HOTPLUG = "nic_hotplug"
    NIC_LOCKING = "nic_locking"
    NIC_MOVE = "nic_move"
    MEDIA_CHANGE = "media_change"
    DISK_SWITCH = "disk_switch"
    VHD_FILES = "vhd_files"  # opens chains of VHD by their paths; other drivers get them through a socket
    BALLOONING = "ballooning"
    VCPU_HOTPLUG = "vcpu_hotplug"
    SUSPEND = "suspend"
    MIGRATE = "migrate"
    TRIGGERS = "triggers"
    SYSRQ = "sysrq"
    GUEST_PLUGINS = "guest_plugins"
    TEXT_CONSOLE = "text_console"
    RFB_CONSOLE = "rfb_console"
    USB = "usb"
    VGPU = "vgpu"
    VTPM = "vtpm"
    FAULTS = "faults"


Features = frozenset[Feature]


class DomainKind(StrEnum):
    """How the guest is virtualised, in the words of XenAPI's domain_type."""

    HVM = "hvm"
    PV = "pv"
    PVH = "pvh"
    PV_IN_PVH = "pv_in_pvh"


class Power(StrEnum):
    """What a domain is doing: a stopped one holds its memory until it is destroyed."""

    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"


class ShutdownReason(StrEnum):
    """Why a domain stopped."""

    POWEROFF = "poweroff"  # it was asked to power off and did
    HALT = "halt"  # it powered off by itself
    REBOOT = "reboot"
    SOFTREBOOT = "softreboot"
    SUSPEND = "suspend"
    CRASH = "crash"


class Firmware(StrEnum):
    """What an HVM guest boots with."""

    BIOS = "bios"
    UEFI = "uefi"


class DiskMode(StrEnum):
    """Whether the guest may write."""

    READ_ONLY = "RO"
    READ_WRITE = "RW"


class DiskKind(StrEnum):
    """What kind of drive the guest sees, in the words of XenAPI's vbd_type."""

    DISK = "Disk"
    CD = "CD"
    FLOPPY = "Floppy"


class LockingMode(StrEnum):
    """Which traffic a network card may carry; ``network_default`` is resolved before it gets here."""

    UNLOCKED = "unlocked"
    LOCKED = "locked"
    DISABLED = "disabled"


class ConsoleProtocol(StrEnum):
    """What a console speaks, in the words of XenAPI's console_protocol."""

    RFB = "rfb"
    VT100 = "vt100"


class ChangeKind(StrEnum):
    """Which part of a domain changed."""

    CREATED = "created"
    POWER = "power"
    DEVICES = "devices"
    MEMORY = "memory"
    VCPUS = "vcpus"
    VM_DATA = "vm_data"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True)
class Memory:
    """How much memory a domain may have and should have, in bytes.

    static_min is not here: the hypervisor never needs it. ``overhead`` 0 means what the driver computes itself.
    """

    static_max: int
    dynamic_max: int
    dynamic_min: int
    target: int
    overhead: int = 0

    @classmethod
    def fixed(cls, amount: int, overhead: int = 0) -> "Memory":
        """Memory that never grows nor shrinks."""
        return cls(amount, amount, amount, amount, overhead)


@dataclass(frozen=True, slots=True)
class Processors:
    """How many virtual CPUs there are, and their share of the real ones (credit scheduler: weight, cap in percent)."""

    maximum: int = 1
    at_startup: int = 1
    weight: int = 256
    cap: int = 0
    mask: tuple[int, ...] = ()  # physical CPUs that may be used; empty: all


@dataclass(frozen=True, slots=True)
class HvmBoot:
    """An HVM guest boots from firmware; ``order`` holds letters c (disk), d (CD), n (network)."""

    firmware: Firmware = Firmware.BIOS
    order: str = "cd"
    secure: bool = False


@dataclass(frozen=True, slots=True)
class PvBoot:
    """A PV or PVH guest boots a kernel, given by path or found on its first disk by a bootloader."""

    kernel: str = ""
    ramdisk: str = ""
    arguments: str = ""
    bootloader: str = ""
    bootloader_arguments: str = ""


@dataclass(frozen=True, slots=True)
class EmptyDrive:
    """A drive without a medium."""


@dataclass(frozen=True, slots=True)
class FileBackend:
    """A disk that is a file or a block device; ``format`` is raw, vhd or qcow2."""

    path: str
    format: str = "raw"


@dataclass(frozen=True, slots=True)
class NbdBackend:
    """A disk that is served by NBD on a Unix socket."""

    socket: str
    export: str = ""


@dataclass(frozen=True, slots=True)
class Volume:
    """A disk that a DiskAttacher knows by ``key`` (a VDI); a driver gets its backend instead."""

    key: str


Backend = FileBackend | NbdBackend
DiskSource = EmptyDrive | FileBackend | NbdBackend | Volume


@dataclass(frozen=True, slots=True)
class Disk:
    """One drive of a domain; ``device`` (xvda, hda …) is its identity within the domain.

    One that is ``fresh`` begins each run of the domain without what earlier runs have written.
    """

    device: str
    number: int
    source: DiskSource = field(default_factory=EmptyDrive)
    mode: DiskMode = DiskMode.READ_WRITE
    kind: DiskKind = DiskKind.DISK
    bootable: bool = False
    unpluggable: bool = True
    qos: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class StaticAddress:
    """An address that the guest is told to use, ``address`` with its prefix length (10.0.0.2/24)."""

    address: str
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Nic:
    """One network card of a domain; ``device`` is its identity within the domain; ``rate`` is KiB/s, 0 unlimited."""

    device: int
    mac: str
    bridge: str
    mtu: int = 1500
    locking: LockingMode = LockingMode.UNLOCKED
    allowed_ipv4: tuple[str, ...] = ()
    allowed_ipv6: tuple[str, ...] = ()
    static_ipv4: StaticAddress | None = None
    static_ipv6: StaticAddress | None = None
    rate: int = 0
    other: Mapping[str, str] = field(default_factory=dict)  # ethtool-*, promiscuous …


@dataclass(frozen=True, slots=True)
class Vusb:
    """A USB device of the host that is handed to the guest; ``device`` is its identity."""

    device: str
    bus: str
    address: str


@dataclass(frozen=True, slots=True)
class Vgpu:
    """A graphics device for the guest; ``model`` is a VGPU_type's identifier."""

    device: int
    pci_address: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class Vtpm:
    """A TPM for the guest, with its state kept by the toolstack."""

    uuid: str
    version: str = "2.0"


@dataclass(frozen=True, slots=True)
class DomainConfig:
    """Everything a driver needs to build one domain.

    ``vm_data`` keys begin with ``vm-data/``. ``os_hint`` is whatever tells the operating system (a template's name);
    only drivers that simulate a guest read it.
    """

    uuid: str
    name: str
    kind: DomainKind
    memory: Memory
    processors: Processors = field(default_factory=Processors)
    boot: HvmBoot | PvBoot = field(default_factory=HvmBoot)
    platform: Mapping[str, str] = field(default_factory=dict)
    bios_strings: Mapping[str, str] = field(default_factory=dict)
    vm_data: Mapping[str, str] = field(default_factory=dict)
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    vusbs: tuple[Vusb, ...] = ()
    vgpus: tuple[Vgpu, ...] = ()
    vtpm: Vtpm | None = None
    consoles: tuple[ConsoleProtocol, ...] = (ConsoleProtocol.RFB,)
    os_hint: str = ""
