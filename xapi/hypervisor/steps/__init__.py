"""The steps that plans are made of: frozen values, each naming its reverse where it has one.

A step is atomic: when it fails, it has done nothing. ``str()`` is its golden text.
"""

from __future__ import annotations

from dataclasses import dataclass

from xapi.hypervisor.steps.devices import (
    EjectMedia,
    InsertMedia,
    MoveNic,
    PlugDisk,
    PlugNic,
    SetMemory,
    SetNicLocking,
    SetVcpus,
    UnplugDisk,
    UnplugNic,
)
from xapi.hypervisor.steps.domains import (
    AwaitShutdown,
    CreateDomain,
    DestroyDomain,
    PauseDomain,
    ReceiveDomain,
    RequestShutdown,
    RestoreDomain,
    ResumeGuest,
    SaveImage,
    SendDomain,
    SuspendGuest,
    UnpauseDomain,
)
from xapi.hypervisor.steps.kinds import ImagePlace
from xapi.hypervisor.steps.surroundings import (
    ActivateVolume,
    AttachVolume,
    ConnectNic,
    DeactivateVolume,
    DetachVolume,
    DisconnectNic,
    ResetVolume,
)

__all__ = [
    "ActivateVolume",
    "AttachVolume",
    "AwaitShutdown",
    "Call",
    "ConnectNic",
    "CreateDomain",
    "DeactivateVolume",
    "DestroyDomain",
    "DetachVolume",
    "DisconnectNic",
    "EjectMedia",
    "ImagePlace",
    "InsertMedia",
    "MoveNic",
    "OnFailure",
    "PauseDomain",
    "PlugDisk",
    "PlugNic",
    "ReceiveDomain",
    "RequestShutdown",
    "ResetVolume",
    "RestoreDomain",
    "ResumeGuest",
    "SaveImage",
    "SendDomain",
    "SetMemory",
    "SetNicLocking",
    "SetVcpus",
    "Step",
    "SuspendGuest",
    "UnpauseDomain",
    "UnplugDisk",
    "UnplugNic",
]


@dataclass(frozen=True, slots=True)
class Call:
    """Something of the caller's own: functions that ``run`` is given by name; ``undo`` names its reverse, if any."""

    name: str
    undo: str = ""

    def reverse(self) -> Step | None:
        """The caller's own reverse."""
        return Call(self.undo, self.name) if self.undo else None

    def __str__(self) -> str:
        return f"call {self.name}"


@dataclass(frozen=True, slots=True)
class OnFailure:
    """Nothing now; but from here on, a failure also performs ``step``.

    After a domain was destroyed in the middle of a plan, what it had must be released if the plan goes no further.
    """

    step: Step

    def reverse(self) -> Step | None:
        """What is to be done on failure."""
        return self.step

    def __str__(self) -> str:
        return f"from here on, on failure: {self.step}"


Step = (
    AttachVolume
    | DetachVolume
    | ActivateVolume
    | DeactivateVolume
    | ResetVolume
    | ConnectNic
    | DisconnectNic
    | CreateDomain
    | DestroyDomain
    | PauseDomain
    | UnpauseDomain
    | RequestShutdown
    | AwaitShutdown
    | SuspendGuest
    | ResumeGuest
    | SaveImage
    | RestoreDomain
    | SendDomain
    | ReceiveDomain
    | PlugDisk
    | UnplugDisk
    | InsertMedia
    | EjectMedia
    | PlugNic
    | UnplugNic
    | MoveNic
    | SetNicLocking
    | SetMemory
    | SetVcpus
    | Call
    | OnFailure
)
