"""What a hypervisor driver takes and gives: one narrow Protocol per concern, and all values and errors they use.

Amounts of memory are bytes, durations seconds, instants aware UTC datetimes. A *domain* is a running (or paused,
suspended, stopped but not yet destroyed) virtual machine; it is named by its VM's UUID. A driver knows no session,
no database, no task and no environment variable.

Importers need this module only: the values live in ``config`` and ``state``, the errors in ``errors``.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from xapi.hypervisor.config import (
    Backend,
    ChangeKind,
    ConsoleProtocol,
    Disk,
    DiskKind,
    DiskMode,
    DiskSource,
    DomainConfig,
    DomainKind,
    EmptyDrive,
    Feature,
    Features,
    FileBackend,
    Firmware,
    HvmBoot,
    LockingMode,
    Memory,
    NbdBackend,
    Nic,
    Power,
    Processors,
    PvBoot,
    ShutdownReason,
    StaticAddress,
    Vgpu,
    Volume,
    Vtpm,
    Vusb,
)
from xapi.hypervisor.errors import (
    DeviceBusy,
    DeviceRefused,
    DomainCrashed,
    DomainExists,
    GuestLacksFeature,
    GuestPluginFailed,
    GuestTimeout,
    HypervisorError,
    ImageDamaged,
    InjectedFault,
    InvalidConfiguration,
    NoSuchDevice,
    NoSuchDomain,
    OperationCancelled,
    OutOfMemory,
    StateUnusable,
    UnexpectedShutdown,
    Unsupported,
    WrongPower,
)
from xapi.hypervisor.state import (
    ConsoleEndpoint,
    CpuFacts,
    DiskRequests,
    DomainChanged,
    DomainCounters,
    DomainEvent,
    DomainShutdown,
    DomainState,
    GuestAgent,
    GuestAgentChanged,
    HostCounters,
    HostFacts,
    PciDevice,
    UsbDevice,
)

__all__ = [
    "Backend",
    "ByteSink",
    "ByteSource",
    "ChangeKind",
    "ConsoleEndpoint",
    "ConsoleProtocol",
    "Consoles",
    "CpuFacts",
    "DeviceBusy",
    "DeviceRefused",
    "Devices",
    "Disk",
    "DiskAttacher",
    "DiskKind",
    "DiskMode",
    "DiskRequests",
    "DiskSource",
    "DomainChanged",
    "DomainConfig",
    "DomainCounters",
    "DomainCrashed",
    "DomainEvent",
    "DomainExists",
    "DomainKind",
    "DomainShutdown",
    "DomainState",
    "Domains",
    "EmptyDrive",
    "Feature",
    "Features",
    "FileBackend",
    "Firmware",
    "Guest",
    "GuestAgent",
    "GuestAgentChanged",
    "GuestLacksFeature",
    "GuestPluginFailed",
    "GuestTimeout",
    "Host",
    "HostCounters",
    "HostFacts",
    "HvmBoot",
    "HypervisorDriver",
    "HypervisorError",
    "ImageDamaged",
    "InjectedFault",
    "InvalidConfiguration",
    "LockingMode",
    "Memory",
    "Metering",
    "Migrating",
    "NbdBackend",
    "NetworkAttacher",
    "Nic",
    "NoSuchDevice",
    "NoSuchDomain",
    "OperationCancelled",
    "OutOfMemory",
    "PciDevice",
    "Power",
    "Processors",
    "PvBoot",
    "Resizing",
    "ShutdownReason",
    "StateUnusable",
    "StaticAddress",
    "Suspending",
    "UnexpectedShutdown",
    "Unsupported",
    "UsbDevice",
    "Vgpu",
    "Volume",
    "Vtpm",
    "Vusb",
    "Watching",
    "WrongPower",
    "never_cancelled",
]


def never_cancelled() -> bool:
    """Nobody wants to stop."""
    return False


class Host(Protocol):
    """The machine below."""

    def facts(self) -> HostFacts:
        """What the machine is."""

    def memory_free(self) -> int:
        """Bytes of memory that new domains may still have, their overhead included."""

    def memory_overhead(self, config: DomainConfig) -> int:
        """Bytes that this domain costs beyond its own memory."""


class Domains(Protocol):
    """Domains come, go, stop and go on."""

    def create(self, config: DomainConfig) -> DomainState:
        """Build a domain with all its devices, paused; on any error nothing of it remains."""

    def destroy(self, uuid: str) -> None:
        """Take a domain away at once, in whatever state it is; raises NoSuchDomain."""

    def pause(self, uuid: str) -> None:
        """Stop scheduling the domain; pausing a paused one does nothing."""

    def unpause(self, uuid: str) -> None:
        """Go on scheduling the domain; a new one begins to boot."""

    def request_shutdown(self, uuid: str, reason: ShutdownReason) -> None:
        """Ask the guest for POWEROFF, REBOOT or SUSPEND, and return at once; raises GuestLacksFeature."""

    def await_shutdown(
        self, uuid: str, seconds: float, cancelled: Callable[[], bool] = never_cancelled
    ) -> ShutdownReason:
        """Wait until the domain has stopped and say why; raises GuestTimeout, NoSuchDomain or OperationCancelled."""

    def get(self, uuid: str) -> DomainState:
        """The state of one domain; raises NoSuchDomain."""

    def list(self) -> tuple[DomainState, ...]:
        """Every domain but the control domain, in order of domid."""


class Devices(Protocol):
    """Drives, network cards and USB devices of domains that exist."""

    def plug_disk(self, uuid: str, disk: Disk) -> None:
        """Give the domain one more drive; raises DeviceRefused."""

    def unplug_disk(self, uuid: str, device: str, force: bool = False) -> None:
        """Take a drive away; raises DeviceBusy when the guest holds it, unless forced."""

    def insert_media(self, uuid: str, device: str, source: Backend) -> None:
        """Put a medium into an empty CD or floppy drive."""

    def eject_media(self, uuid: str, device: str) -> None:
        """Take the medium out of a CD or floppy drive."""

    def held_disk(self, uuid: str, device: str) -> AbstractContextManager[Callable[[Backend], None]]:
        """While inside, the guest's requests to a drive wait; with the function, it goes on with another backend.

        That one holds the same. If the block is left by an exception, the drive goes on with the old one. The switch is
        durable when the function returns, as far as the driver keeps domains over a restart.
        """

    def plug_nic(self, uuid: str, nic: Nic) -> None:
        """Give the domain one more network card; raises DeviceRefused."""

    def unplug_nic(self, uuid: str, device: int, force: bool = False) -> None:
        """Take a network card away; raises DeviceBusy when the guest holds it, unless forced."""

    def move_nic(self, uuid: str, device: int, bridge: str) -> None:
        """Connect a network card to another bridge without the guest seeing it go."""

    def set_nic_locking(
        self, uuid: str, device: int, mode: LockingMode, allowed_ipv4: tuple[str, ...], allowed_ipv6: tuple[str, ...]
    ) -> None:
        """Change which traffic a network card may carry."""

    def set_nic_address(self, uuid: str, device: int, ipv4: StaticAddress | None, ipv6: StaticAddress | None) -> None:
        """Tell the guest which addresses to use on a network card; None leaves it to the guest."""

    def plug_vusb(self, uuid: str, vusb: Vusb) -> None:
        """Hand a USB device to the guest."""

    def unplug_vusb(self, uuid: str, device: str) -> None:
        """Take a USB device back."""


class Resizing(Protocol):
    """Memory and virtual CPUs of domains that exist."""

    def set_memory_target(self, uuid: str, target: int) -> None:
        """Ask for this much memory within the dynamic range; raises InvalidConfiguration, OutOfMemory."""

    def set_memory_dynamic_range(self, uuid: str, minimum: int, maximum: int, target: int | None = None) -> None:
        """Change the dynamic range and the target at once; without a target the old one is moved into the range."""

    def set_vcpus(self, uuid: str, online: int) -> None:
        """Plug or unplug virtual CPUs until this many are online."""

    def set_vcpu_sharing(self, uuid: str, weight: int, cap: int, mask: tuple[int, ...]) -> None:
        """Change the domain's share of the physical CPUs."""


class Suspending(Protocol):
    """Memory images in files."""

    def save(self, uuid: str, sink: Path) -> int:
        """Write the image of a SUSPENDED domain to a file or block device; answers the number of bytes written."""

    def restore(self, config: DomainConfig, source: Path) -> DomainState:
        """Build a domain from an image, paused; raises ImageDamaged."""

    def resume_in_place(self, uuid: str) -> None:
        """Let a SUSPENDED domain that was not destroyed go on."""


class ByteSink(Protocol):
    """Where a migration stream goes (a connection's file object, a BytesIO)."""

    def write(self, data: bytes, /) -> object:
        """Take all of the data."""


class ByteSource(Protocol):
    """Where a migration stream comes from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


class Migrating(Protocol):
    """Domains that move to another host of the same kind."""

    def send(self, uuid: str, sink: ByteSink, cancelled: Callable[[], bool] = never_cancelled) -> None:
        """Stream the domain's memory while it runs, then suspend it and stream the rest: it ends SUSPENDED."""

    def receive(self, config: DomainConfig, source: ByteSource) -> DomainState:
        """Build a domain from a stream, paused, reading exactly to the stream's end; raises ImageDamaged."""


class Guest(Protocol):
    """Words with the guest itself."""

    def send_trigger(self, uuid: str, trigger: str) -> None:
        """Send ``nmi``, ``reset``, ``init``, ``poweroff``, ``sleep`` or ``s3resume``; raises Unsupported for others."""

    def send_sysrq(self, uuid: str, key: str) -> None:
        """Send one magic key to a Linux guest."""

    def write_vm_data(self, uuid: str, entries: Mapping[str, str]) -> None:
        """Make the guest's ``vm-data/`` tree exactly these entries; raises InvalidConfiguration for other keys."""

    def call_plugin(self, uuid: str, plugin: str, function: str, arguments: Mapping[str, str]) -> str:
        """Let the guest's agent run a plugin; raises GuestLacksFeature or GuestPluginFailed."""


class Consoles(Protocol):
    """Screens and terminals of domains."""

    def endpoint(self, uuid: str, protocol: ConsoleProtocol) -> ConsoleEndpoint:
        """Where this console listens, listening from now on; raises Unsupported when the domain has none such."""


class Watching(Protocol):
    """News from domains."""

    def subscribe(self, callback: Callable[[DomainEvent], None]) -> Callable[[], None]:
        """Call back with each event from now on, one at a time and in order; the answer ends the subscription.

        The callback runs on a thread of the driver or of the caller that caused the event, without any of the
        driver's locks: it may call the driver. It should be quick and must not raise.
        """

    def sequence(self) -> int:
        """The sequence number of the latest event; it grows for as long as the machine lives."""


class Metering(Protocol):
    """Counters for performance data."""

    def domain_counters(self) -> tuple[DomainCounters, ...]:
        """The counters of every domain, in order of domid."""

    def host_counters(self) -> HostCounters:
        """The counters of the machine."""


class HypervisorDriver(Protocol):
    """One driver: its features and its parts."""

    @property
    def features(self) -> Features:
        """What this driver can do."""

    @property
    def host(self) -> Host:
        """The machine below."""

    @property
    def domains(self) -> Domains:
        """Domains come and go here."""

    @property
    def devices(self) -> Devices:
        """Devices are plugged here."""

    @property
    def resizing(self) -> Resizing:
        """Memory and virtual CPUs change here."""

    @property
    def suspending(self) -> Suspending:
        """Images are written and read here."""

    @property
    def migrating(self) -> Migrating:
        """Domains leave and arrive here."""

    @property
    def guest(self) -> Guest:
        """The guest hears from us here."""

    @property
    def consoles(self) -> Consoles:
        """Consoles are found here."""

    @property
    def watching(self) -> Watching:
        """Events come from here."""

    @property
    def metering(self) -> Metering:
        """Counters are read here."""

    def configure(self, keys: Mapping[str, str]) -> None:
        """Take all run-time keys (of host.other_config) at each call; raises InvalidConfiguration."""

    def close(self) -> None:
        """Let go of threads and files; domains live on."""


class DiskAttacher(Protocol):
    """Storage, as a plan sees it: a volume is attached, then activated; implemented above this floor."""

    def attach(self, uuid: str, volume: Volume, mode: DiskMode) -> Backend:
        """Make a volume reachable for a domain and say where it is; on an error nothing remains of it."""

    def locate(self, uuid: str, volume: Volume) -> Backend:
        """Where a volume is that was attached for this domain, perhaps long ago."""

    def activate(self, uuid: str, volume: Volume, mode: DiskMode) -> None:
        """Make an attached volume usable: at most one host may have it activated for writing."""

    def reset(self, uuid: str, volume: Volume) -> None:
        """Drop what was written to an attached volume since it was last split; no domain runs with it now."""

    def deactivate(self, uuid: str, volume: Volume) -> None:
        """Flush a volume and stop using it."""

    def detach(self, uuid: str, volume: Volume) -> None:
        """Forget that the volume was reachable."""


class NetworkAttacher(Protocol):
    """Networking, as a plan sees it: a bridge is there before a card is connected to it."""

    def connect(self, uuid: str, nic: Nic) -> None:
        """Make sure that the card's bridge exists, and count the card as its user."""

    def disconnect(self, uuid: str, nic: Nic) -> None:
        """The card no longer uses its bridge."""
