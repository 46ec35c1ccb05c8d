"""Steps of a domain as a whole: from its building to its end, its guest's stops, its images and moves."""

from __future__ import annotations

from dataclasses import dataclass

from xapi.hypervisor.interface import DomainConfig, ShutdownReason
from xapi.hypervisor.steps.kinds import Final, ImagePlace, place


@dataclass(frozen=True, slots=True)
class CreateDomain:
    """Build a domain, paused."""

    config: DomainConfig

    def reverse(self) -> DestroyDomain:
        """Destroy it."""
        return DestroyDomain(self.config.uuid)

    def __str__(self) -> str:
        return f"create domain {self.config.uuid}"


@dataclass(frozen=True, slots=True)
class DestroyDomain(Final):
    """Take a domain away."""

    uuid: str

    def __str__(self) -> str:
        return f"destroy domain {self.uuid}"


@dataclass(frozen=True, slots=True)
class PauseDomain:
    """Stop scheduling a domain."""

    uuid: str

    def reverse(self) -> UnpauseDomain:
        """Unpause it."""
        return UnpauseDomain(self.uuid)

    def __str__(self) -> str:
        return f"pause domain {self.uuid}"


@dataclass(frozen=True, slots=True)
class UnpauseDomain:
    """Let a domain run."""

    uuid: str

    def reverse(self) -> PauseDomain:
        """Pause it."""
        return PauseDomain(self.uuid)

    def __str__(self) -> str:
        return f"unpause domain {self.uuid}"


@dataclass(frozen=True, slots=True)
class RequestShutdown(Final):
    """Ask a guest to stop."""

    uuid: str
    reason: ShutdownReason

    def __str__(self) -> str:
        return f"ask domain {self.uuid} to {self.reason}"


@dataclass(frozen=True, slots=True)
class AwaitShutdown(Final):
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

    def reverse(self) -> ResumeGuest:
        """Let it go on in place."""
        return ResumeGuest(self.uuid)

    def __str__(self) -> str:
        return f"suspend the guest of domain {self.uuid} within {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class ResumeGuest(Final):
    """Let a suspended domain that was never destroyed go on."""

    uuid: str

    def __str__(self) -> str:
        return f"resume the guest of domain {self.uuid} in place"


@dataclass(frozen=True, slots=True)
class SaveImage(Final):
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

    def reverse(self) -> DestroyDomain:
        """Destroy it; the image is still there."""
        return DestroyDomain(self.config.uuid)

    def __str__(self) -> str:
        return f"restore domain {self.config.uuid} from {place(self.image)}"


@dataclass(frozen=True, slots=True)
class SendDomain:
    """Stream a domain away; it ends suspended."""

    uuid: str

    def reverse(self) -> ResumeGuest:
        """Let it go on here."""
        return ResumeGuest(self.uuid)

    def __str__(self) -> str:
        return f"send domain {self.uuid}"


@dataclass(frozen=True, slots=True)
class ReceiveDomain:
    """Build a domain from a stream, paused."""

    config: DomainConfig

    def reverse(self) -> DestroyDomain:
        """Destroy it."""
        return DestroyDomain(self.config.uuid)

    def __str__(self) -> str:
        return f"receive domain {self.config.uuid}"
