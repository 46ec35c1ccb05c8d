"""One simulated domain as an immutable record, replaced at every change."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from xapi.hypervisor.interface import (
    Disk,
    DomainConfig,
    Memory,
    Nic,
    NoSuchDevice,
    Power,
    Processors,
    ShutdownReason,
    Vusb,
)

KNOB = "simulator-"
_DATA_KNOB = "vm-data/simulator-"


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain; instants are seconds since 1970, so that they keep their meaning across restarts.

    ``config`` is what it was built from, without what lives in fields of its own here (devices and vm_data).
    ``boot_due`` and ``stop_due`` are when the guest will have booted, or will stop for ``stop_wanted``.
    """

    config: DomainConfig
    domid: int
    power: Power
    memory: Memory
    actual: int
    processors: Processors
    online: int
    started: float
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    vusbs: tuple[Vusb, ...] = ()
    vm_data: Mapping[str, str] = field(default_factory=dict)
    ran: float = 0.0
    running_since: float | None = None
    booted: bool = False
    boot_due: float | None = None
    stop_due: float | None = None
    stop_wanted: ShutdownReason | None = None
    reason: ShutdownReason | None = None

    @property
    def uuid(self) -> str:
        """Its VM's UUID."""
        return self.config.uuid

    @property
    def cost(self) -> int:
        """Bytes of the host's memory that it holds."""
        return self.actual + self.memory.overhead

    def knob(self, name: str) -> str | None:
        """What the VM's platform or its vm-data say of this behaviour (key ``simulator-NAME``)."""
        told = self.config.platform.get(KNOB + name)
        return told if told is not None else self.vm_data.get(_DATA_KNOB + name)

    def disk(self, device: str) -> Disk:
        """The drive of this name; raises NoSuchDevice."""
        for disk in self.disks:
            if disk.device == device:
                return disk
        raise NoSuchDevice(self.uuid, device)

    def nic(self, device: int) -> Nic:
        """The network card of this number; raises NoSuchDevice."""
        for nic in self.nics:
            if nic.device == device:
                return nic
        raise NoSuchDevice(self.uuid, str(device))

    def seconds_run(self, now: float) -> float:
        """How long it was scheduled in all."""
        return self.ran + (max(0.0, now - self.running_since) if self.running_since is not None else 0.0)
