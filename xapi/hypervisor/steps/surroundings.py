"""Steps around a domain: its volumes in storage, its cards in the network."""

from __future__ import annotations

from dataclasses import dataclass

from xapi.hypervisor.interface import DiskMode, Nic, Volume
from xapi.hypervisor.steps.kinds import Final, place


@dataclass(frozen=True, slots=True)
class AttachVolume:
    """Storage makes a volume reachable."""

    uuid: str
    volume: Volume
    mode: DiskMode

    def reverse(self) -> DetachVolume:
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

    def reverse(self) -> AttachVolume:
        """Attach it."""
        return AttachVolume(self.uuid, self.volume, self.mode)

    def __str__(self) -> str:
        return f"detach volume {self.volume.key}"


@dataclass(frozen=True, slots=True)
class ResetVolume(Final):
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

    def reverse(self) -> DeactivateVolume:
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

    def reverse(self) -> ActivateVolume:
        """Activate it."""
        return ActivateVolume(self.uuid, self.volume, self.mode)

    def __str__(self) -> str:
        return f"deactivate volume {self.volume.key}"


@dataclass(frozen=True, slots=True)
class ConnectNic:
    """Networking makes sure of a card's bridge."""

    uuid: str
    nic: Nic

    def reverse(self) -> DisconnectNic:
        """Disconnect it."""
        return DisconnectNic(self.uuid, self.nic)

    def __str__(self) -> str:
        return f"connect nic {self.nic.device} to {self.nic.bridge}"


@dataclass(frozen=True, slots=True)
class DisconnectNic:
    """Networking forgets a card."""

    uuid: str
    nic: Nic

    def reverse(self) -> ConnectNic:
        """Connect it."""
        return ConnectNic(self.uuid, self.nic)

    def __str__(self) -> str:
        return f"disconnect nic {self.nic.device} from {self.nic.bridge}"
