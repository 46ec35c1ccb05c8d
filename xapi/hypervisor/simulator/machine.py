"""The simulated machine: its domains, its memory, and the one way in which anything changes.

Every change goes through ``add``, ``commit`` or ``remove``: first the journal, then memory, then the event. One
lock guards all; it is never held while a callback, a fault's delay or a guest's time passes.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xapi.hypervisor.interface import (
    ChangeKind,
    DomainChanged,
    DomainCrashed,
    DomainExists,
    DomainShutdown,
    GuestAgentChanged,
    NoSuchDomain,
    OutOfMemory,
    Power,
    ShutdownReason,
    StateUnusable,
    WrongPower,
    never_cancelled,
)
from xapi.hypervisor.simulator.codec import decoder, field_decoders
from xapi.hypervisor.simulator.domain import Domain
from xapi.hypervisor.simulator.events import Events
from xapi.hypervisor.simulator.faults import CRASH, SLOW, Faults, error_of
from xapi.hypervisor.simulator.journal import SMALLEST_LIMIT, Journal
from xapi.hypervisor.simulator.settings import MIB, SimulatorConfig
from xapi.hypervisor.simulator.timers import Sleep, Timers
from xapi.system.clock import Clock
from xapi.system.undo import on_failure

HYPERVISOR_MEMORY = 128 * MIB
_FORMAT = 1


@dataclass(slots=True)
class Origin:
    """What the journal's first line says of the machine: when it was switched on, the next domid, all its news."""

    boot_time: float
    next_domid: int = 1
    sequence: int = 0


class Machine:
    """All state of one simulated host."""

    def __init__(
        self,
        directory: Path,
        config: SimulatorConfig,
        clock: Clock,
        sleep: Sleep | None = None,
        journal_limit: int = SMALLEST_LIMIT,
    ) -> None:
        self.directory = directory
        self.config = config
        self.clock = clock
        self.timers = Timers(clock, sleep)
        self.faults = Faults()
        self.events = Events()
        self.keys: Mapping[str, str] = {}
        self.domains: dict[str, Domain] = {}
        self.squeezed: set[str] = set()
        self._lock = threading.RLock()
        self._waiters: dict[str, list[threading.Event]] = {}
        self._used = 0
        self._journal = Journal(directory, journal_limit)
        with on_failure(self._journal.close):
            self._replay()

    # ------------------------------------------------------------------------------------------------ reading

    @property
    def boot_time(self) -> float:
        """When the machine was switched on."""
        return self._origin.boot_time

    @property
    def sequence(self) -> int:
        """The number of the latest event."""
        return self._origin.sequence

    @property
    def capacity(self) -> int:
        """Bytes that domains may have in all."""
        return self.config.memory - HYPERVISOR_MEMORY - self.config.control_domain_memory

    @property
    def used(self) -> int:
        """Bytes that domains have."""
        return self._used

    @property
    def free(self) -> int:
        """Bytes that nobody has."""
        return self.capacity - self._used

    def now(self) -> float:
        """Seconds since 1970."""
        return self.clock.now().timestamp()

    def domain(self, uuid: str) -> Domain:
        """The domain; raises NoSuchDomain."""
        found = self.domains.get(uuid)
        if found is None:
            raise NoSuchDomain(uuid)
        return found

    def domain_in(self, uuid: str, *powers: Power) -> Domain:
        """The domain when it is in one of these power states; raises WrongPower."""
        found = self.domain(uuid)
        if found.power not in powers:
            raise WrongPower(uuid, powers[0], found.power)
        return found

    # ----------------------------------------------------------------------------------------------- changing

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock; hand out the events when it is released."""
        try:
            with self._lock:
                yield
        finally:
            self.events.deliver()

    def add(self, domain: Domain) -> Domain:
        """Take a new domain in, and give it its domid."""
        if domain.uuid in self.domains:
            raise DomainExists(domain.uuid)
        domain = replace(domain, domid=self._origin.next_domid)
        sequence = self._origin.sequence + 1
        self._journal.append({"n": sequence, "new": domain})
        self._origin.next_domid += 1
        self._origin.sequence = sequence
        self.domains[domain.uuid] = domain
        self._used += domain.cost
        self.events.put(DomainChanged(sequence, domain.uuid, domain.domid, ChangeKind.CREATED))
        return domain

    def commit(
        self,
        domain: Domain,
        what: ChangeKind | None,
        *,
        stopped: ShutdownReason | None = None,
        agent: bool = False,
        **changes: Any,
    ) -> Domain:
        """Replace a domain by one with these changes, and tell what changed."""
        changed = replace(domain, **changes)
        sequence = self._origin.sequence
        news = (what is not None) + (stopped is not None) + agent
        self._journal.append({"n": sequence + news, "u": domain.uuid, "set": changes})
        self._origin.sequence = sequence + news
        self.domains[domain.uuid] = changed
        self._used += changed.cost - domain.cost
        if what is not None:
            sequence += 1
            self.events.put(DomainChanged(sequence, domain.uuid, domain.domid, what))
        if agent:
            sequence += 1
            self.events.put(GuestAgentChanged(sequence, domain.uuid, domain.domid))
        if stopped is not None:
            self.events.put(DomainShutdown(sequence + 1, domain.uuid, domain.domid, stopped))
            self._wake(domain.uuid)
        self._compact_if_large()
        return changed

    def remove(self, domain: Domain) -> None:
        """Forget a domain and give its memory back."""
        sequence = self._origin.sequence + 1
        self._journal.append({"n": sequence, "gone": domain.uuid})
        self._origin.sequence = sequence
        del self.domains[domain.uuid]
        self._used -= domain.cost
        self.squeezed.discard(domain.uuid)
        self.events.put(DomainChanged(sequence, domain.uuid, domain.domid, ChangeKind.DESTROYED))
        self._wake(domain.uuid)
        self._compact_if_large()

    def remember_keys(self, keys: Mapping[str, str]) -> None:
        """Keep the run-time keys, so that a restart does not make a guest crash twice for one wish."""
        self._journal.append({"n": self._origin.sequence, "keys": keys})
        self.keys = keys

    # ----------------------------------------------------------------------------------------- faults and time

    def strike(self, operation: str, uuid: str, device: str = "", needed: int = 0) -> None:
        """Raise what somebody wished for this operation; the lock is not held, as a wish may be a delay."""
        fault = self.faults.take(operation, uuid)
        if fault is None:
            return
        if fault.kind == SLOW:
            self.spend(fault.seconds)
            return
        if fault.kind == CRASH:
            with self.changing():
                domain = self.domains.get(uuid)
                if domain is not None:
                    self.stop(domain, ShutdownReason.CRASH)
            raise DomainCrashed(uuid)
        raise error_of(fault.kind, operation, uuid, device, needed, self.free)

    def spend(self, seconds: float, cancelled: Callable[[], bool] = never_cancelled) -> bool:
        """Let time pass; answers False when the caller cancelled meanwhile."""
        if seconds > 0:
            self.timers.wait(threading.Event(), seconds, cancelled)
        return not cancelled()

    def await_stop(self, uuid: str, seconds: float, cancelled: Callable[[], bool]) -> bool:
        """Wait until the domain stops or goes; answers False when neither happened in time."""
        with self._lock:
            if self.domain(uuid).reason is not None:
                return True
            waiter = threading.Event()
            self._waiters.setdefault(uuid, []).append(waiter)
        try:
            return self.timers.wait(waiter, seconds, cancelled)
        finally:
            with self._lock:
                left = self._waiters.get(uuid)
                if left is not None and waiter in left:
                    left.remove(waiter)
                    if not left:
                        del self._waiters[uuid]

    def stop(self, domain: Domain, reason: ShutdownReason) -> Domain:
        """The guest stops, now; a stopped one does not stop again."""
        if domain.power in (Power.STOPPED, Power.SUSPENDED):
            return domain
        suspended = reason is ShutdownReason.SUSPEND
        return self.commit(
            domain,
            ChangeKind.POWER,
            stopped=reason,
            agent=domain.booted and not suspended,
            power=Power.SUSPENDED if suspended else Power.STOPPED,
            reason=reason,
            booted=domain.booted and suspended,
            boot_due=None,
            stop_due=None,
            stop_wanted=None,
            ran=domain.seconds_run(self.now()),
            running_since=None,
        )

    # ------------------------------------------------------------------------------------------------ memory

    def make_room(self, needed: int, sparing: str = "") -> None:
        """Balloon domains, but one, down towards their dynamic minimum until so much is free; raises OutOfMemory."""
        shortage = needed - self.free
        if shortage <= 0:
            return
        givers = [
            each
            for each in self.domains.values()
            if each.booted and each.power is Power.RUNNING and each.uuid != sparing and _surplus(each)
        ]
        if sum(_surplus(each) for each in givers) < shortage:
            raise OutOfMemory(needed, self.free)
        for giver in sorted(givers, key=_surplus, reverse=True):
            given = min(shortage, _surplus(giver))
            self.commit(giver, ChangeKind.MEMORY, actual=giver.actual - given)
            self.squeezed.add(giver.uuid)
            shortage -= given
            if shortage <= 0:
                return

    def spread_room(self) -> None:
        """Give domains that were ballooned down what became free, up to their targets."""
        for uuid in sorted(self.squeezed):
            domain = self.domains[uuid]
            grown = min(domain.memory.target, domain.actual + max(0, self.free))
            if grown > domain.actual:
                domain = self.commit(domain, ChangeKind.MEMORY, actual=grown)
            if domain.actual >= domain.memory.target:
                self.squeezed.discard(uuid)

    # --------------------------------------------------------------------------------------------- the journal

    def close(self) -> None:
        """End the thread and let go of the directory."""
        self.timers.close()
        with self._lock:
            self._journal.close()

    def _wake(self, uuid: str) -> None:
        for waiter in self._waiters.pop(uuid, ()):
            waiter.set()

    def _compact_if_large(self) -> None:
        if self._journal.is_large:
            self._journal.rewrite(self._lines())

    def _lines(self) -> Iterator[object]:
        origin = self._origin
        yield {"format": _FORMAT, "boot": origin.boot_time, "next": origin.next_domid, "n": origin.sequence}
        yield {"n": origin.sequence, "keys": self.keys}
        for domain in self.domains.values():
            yield {"n": origin.sequence, "new": domain}

    def _replay(self) -> None:
        self._origin = Origin(self.now())
        lines = self._journal.read()
        try:
            for line in lines:
                self._replay_line(line)
        except (KeyError, ValueError, TypeError) as error:
            raise StateUnusable(str(self.directory), f"the journal makes no sense: {error!r}") from error
        if not lines:
            self._journal.rewrite(self._lines())
        self._used = sum(domain.cost for domain in self.domains.values())
        self.squeezed = {each.uuid for each in self.domains.values() if each.actual < each.memory.target}

    def _replay_line(self, line: Mapping[str, Any]) -> None:
        if "format" in line:
            if line["format"] != _FORMAT:
                raise ValueError(f"format {line['format']} is unknown")
            self._origin = Origin(line["boot"], line["next"], line["n"])
        elif "new" in line:
            domain: Domain = decoder(Domain)(line["new"])
            self.domains[domain.uuid] = domain
            self._origin.next_domid = max(self._origin.next_domid, domain.domid + 1)
        elif "set" in line:
            known = field_decoders(Domain)
            changes = {name: known[name](value) for name, value in line["set"].items()}
            self.domains[line["u"]] = replace(self.domains[line["u"]], **changes)
        elif "gone" in line:
            del self.domains[line["gone"]]
        else:
            self.keys = dict(line["keys"])
        self._origin.sequence = line["n"]


def _surplus(domain: Domain) -> int:
    return max(0, domain.actual - domain.memory.dynamic_min)
