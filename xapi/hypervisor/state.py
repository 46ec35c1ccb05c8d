"""What a domain and its machine are: states, facts, counters and events as frozen values.

Amounts of memory are bytes, instants aware UTC datetimes. ``interface`` offers all of these names again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from xapi.hypervisor.config import ChangeKind, ConsoleProtocol, Disk, DomainKind, Nic, Power, ShutdownReason, Vusb


@dataclass(frozen=True, slots=True)
class GuestAgent:
    """What the agent inside the guest reports, with keys as VM_guest_metrics has them.

    ``networks`` has keys ``0/ip``, ``0/ipv4/0``, ``0/ipv6/0``; ``features`` has ``feature-suspend``,
    ``feature-poweroff``, ``feature-reboot``, ``feature-vcpu-hotplug``, ``feature-balloon``,
    ``feature-static-ip-setting``, ``feature-guest-agent-plugin``.
    """

    os_version: Mapping[str, str] = field(default_factory=dict)
    pv_drivers_version: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    memory: Mapping[str, str] = field(default_factory=dict)  # meminfo_free, meminfo_total in KiB
    other: Mapping[str, str] = field(default_factory=dict)
    features: frozenset[str] = frozenset()
    live: bool = True
    updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class DomainState:
    """One domain as it is now; ``agent`` is None until the guest has booted with an agent."""

    uuid: str
    domid: int
    name: str
    kind: DomainKind
    power: Power
    memory_actual: int
    memory_target: int
    memory_overhead: int
    vcpus_online: int
    started: datetime
    shutdown_reason: ShutdownReason | None = None
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    vusbs: tuple[Vusb, ...] = ()
    agent: GuestAgent | None = None
    consoles: tuple[ConsoleProtocol, ...] = ()
    vm_data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConsoleEndpoint:
    """Where one console listens: a Unix stream socket."""

    protocol: ConsoleProtocol
    path: Path


@dataclass(frozen=True, slots=True)
class CpuFacts:
    """One physical CPU, as host_cpu shows it; speed in MHz."""

    number: int
    vendor: str
    speed: int
    modelname: str
    family: int
    model: int
    stepping: str
    flags: str
    features: str


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One PCI device of the host; numbers in hexadecimal as lspci prints them."""

    address: str
    class_id: str
    class_name: str
    vendor_id: str
    vendor_name: str
    device_id: str
    device_name: str


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """One USB device of the host that may be handed to a guest."""

    path: str
    vendor_id: str
    vendor_name: str
    product_id: str
    product_name: str
    serial: str
    version: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the machine is: this changes only when it restarts, so ask once."""

    cpus: tuple[CpuFacts, ...]
    cpu_info: Mapping[str, str]  # keys as XenAPI's host.cpu_info
    memory_total: int
    memory_overhead: int  # what the hypervisor keeps for itself
    control_domain_memory: int
    control_domain_vcpus: int
    hypervisor: str  # "xen", "kvm", "simulator"
    hypervisor_version: str
    capabilities: tuple[str, ...]  # "xen-3.0-x86_64", "hvm-3.0-x86_64" …
    boot_time: datetime
    bios_strings: Mapping[str, str] = field(default_factory=dict)
    pci_devices: tuple[PciDevice, ...] = ()
    usb_devices: tuple[UsbDevice, ...] = ()
    chipset_info: Mapping[str, str] = field(default_factory=dict)  # {"iommu": "true"}


@dataclass(frozen=True, slots=True)
class DiskRequests:
    """What one disk was asked, for performance data: requests that ended, and the seconds that all waited together.

    `in_flight` are the requests that wait at this moment; the others only grow while the domain lives.
    """

    reads: int
    writes: int
    read_seconds: float
    write_seconds: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class DomainCounters:
    """Counters that only grow while a domain lives (but the two amounts of memory), for performance data.

    A driver that cannot count requests leaves `disk_requests` empty; one that can has each disk in it.
    """

    uuid: str
    domid: int
    cpu_seconds: tuple[float, ...]  # one per online virtual CPU
    memory: int
    memory_internal_free: int | None
    disk_read_bytes: Mapping[str, int]
    disk_write_bytes: Mapping[str, int]
    nic_receive_bytes: Mapping[int, int]
    nic_transmit_bytes: Mapping[int, int]
    disk_requests: Mapping[str, DiskRequests] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostCounters:
    """Counters of the machine itself: busy seconds of each physical CPU, and memory."""

    cpu_seconds: tuple[float, ...]
    memory_total: int
    memory_free: int


@dataclass(frozen=True, slots=True)
class DomainChanged:
    """Something about a domain changed; ask for its state to see what it is now."""

    sequence: int
    uuid: str
    domid: int
    what: ChangeKind


@dataclass(frozen=True, slots=True)
class DomainShutdown:
    """A domain stopped; it still exists until somebody destroys it (or resumes it, if it was suspended)."""

    sequence: int
    uuid: str
    domid: int
    reason: ShutdownReason


@dataclass(frozen=True, slots=True)
class GuestAgentChanged:
    """The agent in the guest appeared, vanished or reports something else."""

    sequence: int
    uuid: str
    domid: int


DomainEvent = DomainChanged | DomainShutdown | GuestAgentChanged
