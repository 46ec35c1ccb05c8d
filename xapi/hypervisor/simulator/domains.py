"""Simulated domains come, go, stop and go on."""

from collections.abc import Callable
from dataclasses import replace

from xapi.hypervisor.checks import check_config
from xapi.hypervisor.interface import (
    ChangeKind,
    DomainConfig,
    DomainExists,
    DomainKind,
    DomainState,
    GuestTimeout,
    OperationCancelled,
    Power,
    ShutdownReason,
    never_cancelled,
)
from xapi.hypervisor.simulator.domain import Domain
from xapi.hypervisor.simulator.guests import Guests, check_knobs
from xapi.hypervisor.simulator.machine import Machine
from xapi.hypervisor.simulator.settings import MIB


def overhead_of(config: DomainConfig) -> int:
    """Bytes that a domain costs beyond its memory: page tables and, but for PV, a device model's video memory."""
    per_vcpu = config.processors.maximum * MIB // 4
    base = MIB if config.kind is DomainKind.PV else 9 * MIB
    return base + per_vcpu + config.memory.static_max // 128


class SimulatedDomains:
    """The Domains protocol."""

    def __init__(self, machine: Machine, guests: Guests) -> None:
        self._machine = machine
        self._guests = guests

    def create(self, config: DomainConfig) -> DomainState:
        """Build a domain with all its devices, paused; on any error nothing of it remains."""
        self._machine.strike("create", config.uuid)
        return self.build("create", config, replace(blank_domain(config), started=self._machine.now()))

    def build(self, operation: str, config: DomainConfig, domain: Domain) -> DomainState:
        """Check a domain, find memory for it and take it in; create, restore and receive end here."""
        check_config(config)
        check_knobs(domain)
        self._machine.strike(f"{operation}.memory", config.uuid, needed=domain.cost)
        for device in (*(disk.device for disk in domain.disks), *(str(nic.device) for nic in domain.nics)):
            self._machine.strike(f"{operation}.devices", config.uuid, device)
        with self._machine.changing():
            if config.uuid in self._machine.domains:
                raise DomainExists(config.uuid)
            self._machine.make_room(domain.cost)
            return self._guests.state(self._machine.add(domain))

    def destroy(self, uuid: str) -> None:
        """Take a domain away at once, in whatever state it is; raises NoSuchDomain."""
        self._machine.strike("destroy", uuid)
        with self._machine.changing():
            self._machine.remove(self._machine.domain(uuid))
            self._guests.forget(uuid)
            self._machine.spread_room()

    def pause(self, uuid: str) -> None:
        """Stop scheduling the domain; pausing a paused one does nothing."""
        self._machine.strike("pause", uuid)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, Power.RUNNING, Power.PAUSED)
            if domain.power is Power.RUNNING:
                self._machine.commit(
                    domain,
                    ChangeKind.POWER,
                    power=Power.PAUSED,
                    ran=domain.seconds_run(self._machine.now()),
                    running_since=None,
                )

    def unpause(self, uuid: str) -> None:
        """Go on scheduling the domain; a new one begins to boot."""
        self._machine.strike("unpause", uuid)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, Power.PAUSED, Power.RUNNING)
            if domain.power is Power.PAUSED:
                self._guests.run(domain)

    def request_shutdown(self, uuid: str, reason: ShutdownReason) -> None:
        """Ask the guest for POWEROFF, REBOOT or SUSPEND, and return at once; raises GuestLacksFeature."""
        self._machine.strike("request_shutdown", uuid)
        with self._machine.changing():
            self._guests.ask_to_stop(self._machine.domain_in(uuid, Power.RUNNING), reason)

    def await_shutdown(
        self, uuid: str, seconds: float, cancelled: Callable[[], bool] = never_cancelled
    ) -> ShutdownReason:
        """Wait until the domain has stopped and say why; raises GuestTimeout, NoSuchDomain or OperationCancelled."""
        self._machine.strike("await_shutdown", uuid)
        stopped = self._machine.await_stop(uuid, seconds, cancelled)
        reason = self._machine.domain(uuid).reason
        if reason is not None:
            return reason
        if not stopped and cancelled():
            raise OperationCancelled
        raise GuestTimeout(uuid, "shutdown", seconds)

    def get(self, uuid: str) -> DomainState:
        """The state of one domain; raises NoSuchDomain."""
        with self._machine.changing():
            return self._guests.state(self._machine.domain(uuid))

    def list(self) -> tuple[DomainState, ...]:
        """Every domain but the control domain, in order of domid."""
        with self._machine.changing():
            return tuple(self._guests.state(domain) for domain in self._machine.domains.values())


def blank_domain(config: DomainConfig) -> Domain:
    """A domain as it is built from a configuration, before anything ran; the machine gives it its domid."""
    memory = config.memory
    if memory.overhead == 0:
        memory = replace(memory, overhead=overhead_of(config))
    return Domain(
        config=replace(config, disks=(), nics=(), vusbs=(), vm_data={}),
        domid=0,
        power=Power.PAUSED,
        memory=memory,
        actual=memory.target,
        processors=config.processors,
        online=config.processors.at_startup,
        started=0.0,
        disks=config.disks,
        nics=config.nics,
        vusbs=config.vusbs,
        vm_data=config.vm_data,
    )
