"""Steps on a running domain: its drives, cards, memory and virtual CPUs."""

from __future__ import annotations

from dataclasses import dataclass

from xapi.hypervisor.interface import Disk, DiskSource, Memory, Nic
from xapi.hypervisor.steps.kinds import place


@dataclass(frozen=True, slots=True)
class PlugDisk:
    """Give a running domain a drive."""

    uuid: str
    disk: Disk

    def reverse(self) -> UnplugDisk:
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

    def reverse(self) -> PlugDisk:
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

    def reverse(self) -> EjectMedia:
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

    def reverse(self) -> InsertMedia:
        """Put it back."""
        return InsertMedia(self.uuid, self.device, self.source)

    def __str__(self) -> str:
        return f"eject {place(self.source)} from {self.device}"


@dataclass(frozen=True, slots=True)
class PlugNic:
    """Give a running domain a network card."""

    uuid: str
    nic: Nic

    def reverse(self) -> UnplugNic:
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

    def reverse(self) -> PlugNic:
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

    def reverse(self) -> MoveNic:
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

    def reverse(self) -> SetNicLocking:
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

    def reverse(self) -> SetMemory:
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

    def reverse(self) -> SetVcpus:
        """As it was."""
        return SetVcpus(self.uuid, self.after, self.before)

    def __str__(self) -> str:
        return f"change vcpus from {self.before} to {self.after}"


def _memory(memory: Memory) -> str:
    return f"{memory.dynamic_min}..{memory.dynamic_max} target {memory.target}"
