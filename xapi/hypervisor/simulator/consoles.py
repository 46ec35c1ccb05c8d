"""Consoles of simulated domains and of the simulated host: sockets that listen once somebody has asked for them."""

from xapi.hypervisor.interface import (
    ChangeKind,
    ConsoleEndpoint,
    ConsoleProtocol,
    DomainChanged,
    DomainEvent,
    NoSuchDomain,
    Power,
    StateUnusable,
    Unsupported,
)
from xapi.hypervisor.rfb.service import CONTROL_DOMAIN, ConsoleClosed, ConsoleService, Screen
from xapi.hypervisor.rfb.text_screen import TextScreen
from xapi.hypervisor.simulator.domain import Domain
from xapi.hypervisor.simulator.machine import Machine
from xapi.hypervisor.simulator.screens import GraphicScreen, GuestFacts, Line, Look

_STUCK = 0.4  # how far the boot of a guest gets that never comes up
_SHOWN = 1000


class SimulatedConsoles:
    """The Consoles protocol: one thread serves them all, and there is none before the first is asked for."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._service = ConsoleService("simulator-consoles")
        self._lines: dict[int, Line] = {}  # what is typed and said, by domid
        self._unsubscribe = machine.events.subscribe(self._notice)

    def endpoint(self, uuid: str, protocol: ConsoleProtocol) -> ConsoleEndpoint:
        """Where this console listens, listening from now on; raises Unsupported when the domain has none such.

        The control domain's (see `rfb.service.CONTROL_DOMAIN`) shows the host, with a shell that runs nothing.
        """
        self._machine.strike("console", uuid)
        if uuid == CONTROL_DOMAIN:
            return self._listen(0, protocol, self._look_at_host)
        domain = self._machine.domain(uuid)
        if protocol not in domain.config.consoles:
            raise Unsupported(f"a {protocol} console of domain {uuid}")
        endpoint = self._listen(domain.domid, protocol, lambda: self._look(uuid, domain.domid))
        still = self._machine.domains.get(uuid)
        if still is None or still.domid != domain.domid:  # it went meanwhile, and its event may have come too early
            self._orphan(domain.domid)
            raise NoSuchDomain(uuid)
        return endpoint

    def close(self) -> None:
        """Hang up everywhere and end the thread."""
        self._unsubscribe()
        self._service.close()

    def _listen(self, domid: int, protocol: ConsoleProtocol, look: Look) -> ConsoleEndpoint:
        line = self._lines.setdefault(domid, Line(look))

        def make() -> Screen:
            return GraphicScreen(look, line) if protocol is ConsoleProtocol.RFB else TextScreen(line)

        try:
            path = self._service.listen((domid, protocol), f"{domid}.{protocol}", make)
        except ConsoleClosed as error:
            raise StateUnusable(str(self._machine.directory), str(error)) from error
        return ConsoleEndpoint(protocol, path)

    def _notice(self, event: DomainEvent) -> None:
        if isinstance(event, DomainChanged) and event.what is ChangeKind.DESTROYED:
            self._orphan(event.domid)

    def _orphan(self, domid: int) -> None:
        self._lines.pop(domid, None)
        if self._service.started:
            self._service.hang_up({(domid, protocol) for protocol in ConsoleProtocol})

    # ---------------------------------------------------------------------------------------------- what is shown

    def _look(self, uuid: str, domid: int) -> GuestFacts | None:
        domain = self._machine.domains.get(uuid)
        if domain is None or domain.domid != domid:
            return None
        config = domain.config
        now = self._machine.now()
        return GuestFacts(
            name=config.name,
            identity=uuid,
            system=config.os_hint,
            memory=domain.actual,
            processors=domain.online,
            drives=tuple(f"{disk.device} ({disk.kind})" for disk in domain.disks),
            cards=tuple(f"{nic.device} {nic.mac}" for nic in domain.nics),
            now=now,
            started=domain.started,
            progress=_progress(domain, now),
            running=domain.power is Power.RUNNING,
        )

    def _look_at_host(self) -> GuestFacts:
        config = self._machine.config
        domains = sorted(self._machine.domains.values(), key=lambda domain: domain.domid)[:_SHOWN]
        return GuestFacts(
            name="host",
            identity=CONTROL_DOMAIN,
            system="",
            memory=config.memory,
            processors=config.cpus,
            drives=(),
            cards=(),
            now=self._machine.now(),
            started=self._machine.boot_time,
            progress=1.0,
            host=True,
            domains=tuple(f"{domain.domid:>6}  {domain.power:<8}  {domain.config.uuid}" for domain in domains),
        )


def _progress(domain: Domain, now: float) -> float:
    if domain.booted:
        return 1.0
    if domain.boot_due is None or domain.boot_due <= domain.started:
        return _STUCK
    return min(0.99, max(0.0, (now - domain.started) / (domain.boot_due - domain.started)))
