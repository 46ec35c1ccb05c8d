"""How simulated guests behave: they boot, report, obey, hang, and stop by themselves."""

from collections.abc import Mapping
from datetime import UTC, datetime

from xapi.hypervisor.interface import (
    ChangeKind,
    DomainState,
    GuestAgent,
    GuestLacksFeature,
    InvalidConfiguration,
    Power,
    ShutdownReason,
)
from xapi.hypervisor.simulator.agents import agent_of, features_of, profile_of
from xapi.hypervisor.simulator.domain import Domain
from xapi.hypervisor.simulator.machine import Machine
from xapi.hypervisor.simulator.settings import check_seconds, parse

HANG, NO_AGENT = "hang", "no-agent"
ACTIONS: Mapping[str, ShutdownReason] = {
    "crash": ShutdownReason.CRASH,
    "reboot": ShutdownReason.REBOOT,
    "softreboot": ShutdownReason.SOFTREBOOT,
    "halt": ShutdownReason.HALT,
}
BEHAVIOURS = frozenset({*ACTIONS, HANG, NO_AGENT})
_NEEDED = {
    ShutdownReason.POWEROFF: "feature-poweroff",
    ShutdownReason.REBOOT: "feature-reboot",
    ShutdownReason.SUSPEND: "feature-suspend",
}


class Guests:
    """The insides of all domains of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._wishes: dict[str, str] = {}
        self._states: dict[str, tuple[Domain, DomainState]] = {}
        for domain in machine.domains.values():
            self.arm(domain)

    # ------------------------------------------------------------------------------------------- what they are

    def behaves(self, domain: Domain, how: str) -> bool:
        """Whether this guest was told to hang or to have no agent."""
        return self._wishes.get(domain.uuid) == how or domain.knob("guest") == how

    def has_agent(self, domain: Domain) -> bool:
        """Whether an agent reports from this guest now."""
        if not domain.booted or self.behaves(domain, NO_AGENT):
            return False
        told = domain.knob("agent")
        return self._machine.config.agent if told is None else bool(parse("simulator-agent", told, bool))

    def features(self, domain: Domain) -> frozenset[str]:
        """What the guest's agent announces; nothing without an agent."""
        return features_of(self._profile(domain)) if self.has_agent(domain) else frozenset()

    def require(self, domain: Domain, feature: str) -> None:
        """Pass, or raise GuestLacksFeature."""
        if feature not in self.features(domain):
            raise GuestLacksFeature(domain.uuid, feature)

    def state(self, domain: Domain) -> DomainState:
        """The domain as the interface shows it; rendered once per version of the domain."""
        kept = self._states.get(domain.uuid)
        if kept is not None and kept[0] is domain:
            return kept[1]
        state = DomainState(
            uuid=domain.uuid,
            domid=domain.domid,
            name=domain.config.name,
            kind=domain.config.kind,
            power=domain.power,
            memory_actual=domain.actual,
            memory_target=domain.memory.target,
            memory_overhead=domain.memory.overhead,
            vcpus_online=domain.online,
            started=datetime.fromtimestamp(domain.started, UTC),
            shutdown_reason=domain.reason,
            disks=domain.disks,
            nics=domain.nics,
            vusbs=domain.vusbs,
            agent=self._agent(domain),
            consoles=domain.config.consoles,
            vm_data=domain.vm_data,
        )
        self._states[domain.uuid] = (domain, state)
        return state

    def forget(self, uuid: str) -> None:
        """The domain is gone."""
        self._states.pop(uuid, None)

    def _agent(self, domain: Domain) -> GuestAgent | None:
        return agent_of(domain, self._profile(domain), self._machine.now()) if self.has_agent(domain) else None

    def _profile(self, domain: Domain) -> str:
        return profile_of(domain.knob("os") or domain.config.os_hint, self._machine.config.os)

    def _seconds(self, domain: Domain, name: str, otherwise: float) -> float:
        told = domain.knob(name)
        return otherwise if told is None else float(told)

    # ------------------------------------------------------------------------------------------- what they do

    def arm(self, domain: Domain) -> None:
        """Set the timers of what a running guest has before it."""
        if domain.power is not Power.RUNNING:
            return
        now = self._machine.now()
        uuid, domid = domain.uuid, domain.domid
        if domain.boot_due is not None:
            due = domain.boot_due
            self._machine.timers.after(due - now, lambda: self._boot_over(uuid, domid, due))
        if domain.stop_due is not None:
            due = domain.stop_due
            self._machine.timers.after(due - now, lambda: self._stop_over(uuid, domid, due))

    def run(self, domain: Domain) -> Domain:
        """Schedule a paused guest: a new one boots; the lock is held."""
        now = self._machine.now()
        if domain.booted or domain.boot_due is not None:
            domain = self._machine.commit(domain, ChangeKind.POWER, power=Power.RUNNING, running_since=now)
            self.arm(domain)
            return domain
        delay = self._seconds(domain, "boot-seconds", self._machine.config.boot_seconds)
        due = now + delay if delay > 0 else None
        domain = self._machine.commit(
            domain,
            ChangeKind.POWER,
            agent=due is None,
            power=Power.RUNNING,
            running_since=now,
            boot_due=due,
            booted=due is None,
        )
        if due is None:
            return self._after_boot(domain)
        self.arm(domain)
        return domain

    def ask_to_stop(self, domain: Domain, reason: ShutdownReason) -> None:
        """Ask the guest to stop; the lock is held; a guest that still boots obeys when it has booted."""
        if reason not in _NEEDED:
            raise InvalidConfiguration("reason", f"a guest cannot be asked for {reason}")
        if domain.booted:
            self.require(domain, _NEEDED[reason])
        if self.behaves(domain, HANG):
            return
        now = self._machine.now()
        delay = self._seconds(domain, "shutdown-seconds", self._machine.config.shutdown_seconds)
        due = max(now, domain.boot_due or now) + (delay if reason is not ShutdownReason.SUSPEND else 0.0)
        if due <= now:
            self._machine.stop(domain, reason)
            return
        self.arm(self._machine.commit(domain, None, stop_due=due, stop_wanted=reason))

    def wish(self, wishes: Mapping[str, str], fresh: frozenset[str]) -> None:
        """Take the wishes in force; those in ``fresh`` are new, and make a running guest act at once."""
        before, self._wishes = self._wishes, dict(wishes)
        for uuid in sorted(before.keys() | wishes.keys()):
            domain = self._machine.domains.get(uuid)
            if domain is None:
                continue
            if NO_AGENT in (before.get(uuid), wishes.get(uuid)) and before.get(uuid) != wishes.get(uuid):
                self.forget(uuid)
                domain = self._machine.commit(domain, None, agent=True)
            if uuid in fresh and wishes[uuid] in ACTIONS and domain.power is Power.RUNNING:
                self._machine.stop(domain, ACTIONS[wishes[uuid]])

    def forget_states(self) -> None:
        """Render every state anew: a setting that they depend on changed."""
        self._states.clear()

    def _boot_over(self, uuid: str, domid: int, due: float) -> None:
        with self._machine.changing():
            domain = self._machine.domains.get(uuid)
            if domain is None or domain.domid != domid or domain.boot_due != due or domain.power is not Power.RUNNING:
                return
            domain = self._machine.commit(domain, None, agent=True, booted=True, boot_due=None)
            self._after_boot(domain)

    def _after_boot(self, domain: Domain) -> Domain:
        told = domain.knob("on-boot")
        return self._machine.stop(domain, ACTIONS[told]) if told else domain

    def _stop_over(self, uuid: str, domid: int, due: float) -> None:
        with self._machine.changing():
            domain = self._machine.domains.get(uuid)
            if domain is None or domain.domid != domid or domain.stop_due != due or domain.power is not Power.RUNNING:
                return
            if domain.stop_wanted is not None and not self.behaves(domain, HANG):
                self._machine.stop(domain, domain.stop_wanted)


def check_knobs(domain: Domain) -> None:
    """Pass when every behaviour that the VM asks for makes sense; raises InvalidConfiguration."""
    for name in ("boot-seconds", "shutdown-seconds"):
        told = domain.knob(name)
        if told is not None:
            check_seconds(f"simulator-{name}", parse(f"simulator-{name}", told, float))
    agent = domain.knob("agent")
    if agent is not None:
        parse("simulator-agent", agent, bool)
    for name, known in (("guest", {HANG, NO_AGENT}), ("on-boot", set(ACTIONS))):
        told = domain.knob(name)
        if told not in (None, "", *known):
            raise InvalidConfiguration(f"simulator-{name}", f"{told!r} is none of {', '.join(sorted(known))}")
