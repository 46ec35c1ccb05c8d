"""Memory and virtual CPUs of simulated domains."""

from dataclasses import replace

from xapi.hypervisor.checks import check_memory, check_processors
from xapi.hypervisor.interface import ChangeKind, Memory, Power
from xapi.hypervisor.simulator.domain import Domain
from xapi.hypervisor.simulator.guests import Guests
from xapi.hypervisor.simulator.machine import Machine

_LIVE = (Power.RUNNING, Power.PAUSED)


class SimulatedResizing:
    """The Resizing protocol; a guest's balloon moves at once."""

    def __init__(self, machine: Machine, guests: Guests) -> None:
        self._machine = machine
        self._guests = guests

    def set_memory_target(self, uuid: str, target: int) -> None:
        """Ask for this much memory within the dynamic range; raises InvalidConfiguration, OutOfMemory."""
        self._machine.strike("set_memory_target", uuid, needed=target)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            self._move(domain, replace(domain.memory, target=target))

    def set_memory_dynamic_range(self, uuid: str, minimum: int, maximum: int, target: int | None = None) -> None:
        """Change the dynamic range and the target at once; without a target the old one is moved into the range."""
        self._machine.strike("set_memory_dynamic_range", uuid, needed=minimum)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            wanted = max(minimum, min(maximum, domain.memory.target)) if target is None else target
            self._move(domain, replace(domain.memory, dynamic_min=minimum, dynamic_max=maximum, target=wanted))

    def set_vcpus(self, uuid: str, online: int) -> None:
        """Plug or unplug virtual CPUs until this many are online."""
        self._machine.strike("set_vcpus", uuid)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            check_processors(replace(domain.processors, at_startup=online))
            if domain.booted:
                self._guests.require(domain, "feature-vcpu-hotplug")
            self._machine.commit(domain, ChangeKind.VCPUS, online=online)

    def set_vcpu_sharing(self, uuid: str, weight: int, cap: int, mask: tuple[int, ...]) -> None:
        """Change the domain's share of the physical CPUs."""
        self._machine.strike("set_vcpu_sharing", uuid)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, *_LIVE)
            processors = replace(domain.processors, weight=weight, cap=cap, mask=mask)
            check_processors(processors)
            self._machine.commit(domain, ChangeKind.VCPUS, processors=processors)

    def _move(self, domain: Domain, memory: Memory) -> None:
        check_memory(memory)
        if domain.booted and memory.target != domain.actual:
            self._guests.require(domain, "feature-balloon")
        if memory.target > domain.actual:
            self._machine.make_room(memory.target - domain.actual, sparing=domain.uuid)
        self._machine.commit(domain, ChangeKind.MEMORY, memory=memory, actual=memory.target)
        self._machine.squeezed.discard(domain.uuid)
        self._machine.spread_room()
