"""The steps that plans are made of: frozen values, each naming its reverse where it has one.

A step is atomic: when it fails, it has done nothing. ``str()`` is its golden text.
"""

from dataclasses import dataclass
from typing import Union

from xapi.hypervisor.interface import (
    Disk,
    DiskMode,
    DiskSource,
    DomainConfig,
    EmptyDrive,
    FileBackend,
    Memory,
    NbdBackend,
    Nic,
    ShutdownReason,
    Volume,
)

ImagePlace = Volume | FileBackend


class _Final:
    """A step that cannot be undone."""

    __slots__ = ()

    def reverse(self) -> "Step | None":
        """Nothing undoes it."""
        return None


# ----------------------------------------------------------------------------------------- storage and network


@dataclass(frozen=True, slots=True)
class AttachVolume:
    """Storage makes a volume reachable."""

    uuid: str
    volume: Volume
    mode: DiskMode

    def reverse(self) -> "Step | None":
        """Detach it."""
        return DetachVolume(self.uuid, self.volume, self.mode)

    def __str__(self) -> str:
        return f"attach volume {self.volume.key} {self.mode}"


@dataclass(frozen=True, slots=True)
class DetachVolume:
    """Storage forgets a volume."""

    uuid: str
    volume: Volume
    mode: DiskMode

    def reverse(self) -> "Step | None":
        """Attach it."""
        return AttachVolume(self.uuid, self.volume, self.mode)

    def __str__(self) -> str:
        return f"detach volume {self.volume.key}"


@dataclass(frozen=True, slots=True)
class ResetVolume(_Final):
    """Drop what was written to a volume since it was last split, while no domain runs with it."""

    uuid: str
    volume: Volume

    def __str__(self) -> str:
        return f"reset {place(self.volume)}"


@dataclass(frozen=True, slots=True)
class ActivateVolume:
    """Storage makes an attached volume usable."""

    uuid: str
    volume: Volume
    mode: DiskMode

    def reverse(self) -> "Step | None":
        """Deactivate it."""
        return DeactivateVolume(self.uuid, self.volume, self.mode)

    def __str__(self) -> str:
        return f"activate volume {self.volume.key} {self.mode}"


@dataclass(frozen=True, slots=True)
class DeactivateVolume:
    """Storage flushes a volume and lets go of it."""

    uuid: str
    volume: Volume
    mode: DiskMode

    def reverse(self) -> "Step | None":
        """Activate it."""
        return ActivateVolume(self.uuid, self.volume, self.mode)

    def __str__(self) -> str:
        return f"deactivate volume {self.volume.key}"


@dataclass(frozen=True, slots=True)
class ConnectNic:
    """Networking makes sure of a card's bridge."""

    uuid: str
    nic: Nic

    def reverse(self) -> "Step | None":
        """Disconnect it."""
        return DisconnectNic(self.uuid, self.nic)

    def __str__(self) -> str:
        return f"connect nic {self.nic.device} to {self.nic.bridge}"


@dataclass(frozen=True, slots=True)
class DisconnectNic:
    """Networking forgets a card."""

    uuid: str
    nic: Nic

    def reverse(self) -> "Step | None":
        """Connect it."""
        return ConnectNic(self.uuid, self.nic)

    def __str__(self) -> str:
        return f"disconnect nic {self.nic.device} from {self.nic.bridge}"


# ------------------------------------------------------------------------------------------------------ domains


@dataclass(frozen=True, slots=True)
class CreateDomain:
    """Build a domain, paused."""

    config: DomainConfig

    def reverse(self) -> "Step | None":
        """Destroy it."""
        return DestroyDomain(self.config.uuid)

    def __str__(self) -> str:
        return f"create domain {self.config.uuid}"


@dataclass(frozen=True, slots=True)
class DestroyDomain(_Final):
    """Take a domain away."""

    uuid: str

    def __str__(self) -> str:
        return f"destroy domain {self.uuid}"


@dataclass(frozen=True, slots=True)
class PauseDomain:
    """Stop scheduling a domain."""

    uuid: str

    def reverse(self) -> "Step | None":
        """Unpause it."""
        return UnpauseDomain(self.uuid)

    def __str__(self) -> str:
        return f"pause domain {self.uuid}"


@dataclass(frozen=True, slots=True)
class UnpauseDomain:
    """Let a domain run."""

    uuid: str

    def reverse(self) -> "Step | None":
        """Pause it."""
        return PauseDomain(self.uuid)

    def __str__(self) -> str:
        return f"unpause domain {self.uuid}"


@dataclass(frozen=True, slots=True)
class RequestShutdown(_Final):
    """Ask a guest to stop."""

    uuid: str
    reason: ShutdownReason

    def __str__(self) -> str:
        return f"ask domain {self.uuid} to {self.reason}"


@dataclass(frozen=True, slots=True)
class AwaitShutdown(_Final):
    """Wait until a guest stopped for the reason it was asked for."""

    uuid: str
    reason: ShutdownReason
    seconds: float

    def __str__(self) -> str:
        return f"wait {self.seconds:g} s for {self.reason} of domain {self.uuid}"


@dataclass(frozen=True, slots=True)
class SuspendGuest:
    """Ask a guest to suspend itself, and wait until it has."""

    uuid: str
    seconds: float

    def reverse(self) -> "Step | None":
        """Let it go on in place."""
        return ResumeGuest(self.uuid)

    def __str__(self) -> str:
        return f"suspend the guest of domain {self.uuid} within {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class ResumeGuest(_Final):
    """Let a suspended domain that was never destroyed go on."""

    uuid: str

    def __str__(self) -> str:
        return f"resume the guest of domain {self.uuid} in place"


@dataclass(frozen=True, slots=True)
class SaveImage(_Final):
    """Write a suspended domain's memory; what was written is the image's owner's to discard."""

    uuid: str
    image: ImagePlace

    def __str__(self) -> str:
        return f"save the image of domain {self.uuid} to {place(self.image)}"


@dataclass(frozen=True, slots=True)
class RestoreDomain:
    """Build a domain from an image, paused."""

    config: DomainConfig
    image: ImagePlace

    def reverse(self) -> "Step | None":
        """Destroy it; the image is still there."""
        return DestroyDomain(self.config.uuid)

    def __str__(self) -> str:
        return f"restore domain {self.config.uuid} from {place(self.image)}"


@dataclass(frozen=True, slots=True)
class SendDomain:
    """Stream a domain away; it ends suspended."""

    uuid: str

    def reverse(self) -> "Step | None":
        """Let it go on here."""
        return ResumeGuest(self.uuid)

    def __str__(self) -> str:
        return f"send domain {self.uuid}"


@dataclass(frozen=True, slots=True)
class ReceiveDomain:
    """Build a domain from a stream, paused."""

    config: DomainConfig

    def reverse(self) -> "Step | None":
        """Destroy it."""
        return DestroyDomain(self.config.uuid)

    def __str__(self) -> str:
        return f"receive domain {self.config.uuid}"


# ------------------------------------------------------------------------------------------------------ devices


@dataclass(frozen=True, slots=True)
class PlugDisk:
    """Give a running domain a drive."""

    uuid: str
    disk: Disk

    def reverse(self) -> "Step | None":
        """Take it away by force: the guest has not been told of it for long."""
        return UnplugDisk(self.uuid, self.disk, True)

    def __str__(self) -> str:
        return f"plug disk {self.disk.device} ({place(self.disk.source)})"


@dataclass(frozen=True, slots=True)
class UnplugDisk:
    """Take a drive from a running domain."""

    uuid: str
    disk: Disk
    force: bool = False

    def reverse(self) -> "Step | None":
        """Give it back."""
        return PlugDisk(self.uuid, self.disk)

    def __str__(self) -> str:
        return f"unplug disk {self.disk.device}{' by force' if self.force else ''}"


@dataclass(frozen=True, slots=True)
class InsertMedia:
    """Put a medium into a drive."""

    uuid: str
    device: str
    source: DiskSource

    def reverse(self) -> "Step | None":
        """Take it out."""
        return EjectMedia(self.uuid, self.device, self.source)

    def __str__(self) -> str:
        return f"insert {place(self.source)} into {self.device}"


@dataclass(frozen=True, slots=True)
class EjectMedia:
    """Take a medium out of a drive."""

    uuid: str
    device: str
    source: DiskSource

    def reverse(self) -> "Step | None":
        """Put it back."""
        return InsertMedia(self.uuid, self.device, self.source)

    def __str__(self) -> str:
        return f"eject {place(self.source)} from {self.device}"


@dataclass(frozen=True, slots=True)
class PlugNic:
    """Give a running domain a network card."""

    uuid: str
    nic: Nic

    def reverse(self) -> "Step | None":
        """Take it away by force."""
        return UnplugNic(self.uuid, self.nic, True)

    def __str__(self) -> str:
        return f"plug nic {self.nic.device}"


@dataclass(frozen=True, slots=True)
class UnplugNic:
    """Take a network card from a running domain."""

    uuid: str
    nic: Nic
    force: bool = False

    def reverse(self) -> "Step | None":
        """Give it back."""
        return PlugNic(self.uuid, self.nic)

    def __str__(self) -> str:
        return f"unplug nic {self.nic.device}{' by force' if self.force else ''}"


@dataclass(frozen=True, slots=True)
class MoveNic:
    """Connect a running domain's card to another bridge."""

    uuid: str
    before: Nic
    after: Nic

    def reverse(self) -> "Step | None":
        """Move it back."""
        return MoveNic(self.uuid, self.after, self.before)

    def __str__(self) -> str:
        return f"move nic {self.before.device} from {self.before.bridge} to {self.after.bridge}"


@dataclass(frozen=True, slots=True)
class SetNicLocking:
    """Change what traffic a running domain's card may carry."""

    uuid: str
    before: Nic
    after: Nic

    def reverse(self) -> "Step | None":
        """As it was."""
        return SetNicLocking(self.uuid, self.after, self.before)

    def __str__(self) -> str:
        return f"change locking of nic {self.before.device} from {self.before.locking} to {self.after.locking}"


@dataclass(frozen=True, slots=True)
class SetMemory:
    """Change a running domain's dynamic range and target."""

    uuid: str
    before: Memory
    after: Memory

    def reverse(self) -> "Step | None":
        """As it was."""
        return SetMemory(self.uuid, self.after, self.before)

    def __str__(self) -> str:
        return f"change memory from {_memory(self.before)} to {_memory(self.after)}"


@dataclass(frozen=True, slots=True)
class SetVcpus:
    """Change how many virtual CPUs of a running domain are online."""

    uuid: str
    before: int
    after: int

    def reverse(self) -> "Step | None":
        """As it was."""
        return SetVcpus(self.uuid, self.after, self.before)

    def __str__(self) -> str:
        return f"change vcpus from {self.before} to {self.after}"


# ------------------------------------------------------------------------------------------------ of another kind


@dataclass(frozen=True, slots=True)
class Call:
    """Something of the caller's own: functions that ``run`` is given by name; ``undo`` names its reverse, if any."""

    name: str
    undo: str = ""

    def reverse(self) -> "Step | None":
        """The caller's own reverse."""
        return Call(self.undo, self.name) if self.undo else None

    def __str__(self) -> str:
        return f"call {self.name}"


@dataclass(frozen=True, slots=True)
class OnFailure:
    """Nothing now; but from here on, a failure also performs ``step``.

    After a domain was destroyed in the middle of a plan, what it had must be released if the plan goes no further.
    """

    step: "Step"

    def reverse(self) -> "Step | None":
        """What is to be done on failure."""
        return self.step

    def __str__(self) -> str:
        return f"from here on, on failure: {self.step}"


Step = Union[  # noqa: UP007 - the steps above name this one before it exists
    AttachVolume,
    DetachVolume,
    ActivateVolume,
    DeactivateVolume,
    ResetVolume,
    ConnectNic,
    DisconnectNic,
    CreateDomain,
    DestroyDomain,
    PauseDomain,
    UnpauseDomain,
    RequestShutdown,
    AwaitShutdown,
    SuspendGuest,
    ResumeGuest,
    SaveImage,
    RestoreDomain,
    SendDomain,
    ReceiveDomain,
    PlugDisk,
    UnplugDisk,
    InsertMedia,
    EjectMedia,
    PlugNic,
    UnplugNic,
    MoveNic,
    SetNicLocking,
    SetMemory,
    SetVcpus,
    Call,
    OnFailure,
]


def place(source: DiskSource) -> str:
    """Where a disk's or an image's bytes are, in short."""
    match source:
        case Volume(key):
            return f"volume {key}"
        case FileBackend(path):
            return path
        case NbdBackend(socket, export):
            return f"nbd {socket}:{export}"
        case EmptyDrive():
            return "empty"


def _memory(memory: Memory) -> str:
    return f"{memory.dynamic_min}..{memory.dynamic_max} target {memory.target}"
