"""The simulator as a hypervisor driver."""

from collections.abc import Callable, Mapping
from pathlib import Path

from xapi.hypervisor.interface import (
    DomainEvent,
    Feature,
    Features,
    HypervisorDriver,
    InvalidConfiguration,
)
from xapi.hypervisor.simulator.consoles import SimulatedConsoles
from xapi.hypervisor.simulator.devices import SimulatedDevices
from xapi.hypervisor.simulator.domains import SimulatedDomains
from xapi.hypervisor.simulator.faults import OPERATIONS, parse_fault
from xapi.hypervisor.simulator.guests import BEHAVIOURS, Guests
from xapi.hypervisor.simulator.hardware import SimulatedHost
from xapi.hypervisor.simulator.images import SimulatedMigrating, SimulatedSuspending
from xapi.hypervisor.simulator.journal import SMALLEST_LIMIT
from xapi.hypervisor.simulator.machine import Machine
from xapi.hypervisor.simulator.metering import SimulatedMetering
from xapi.hypervisor.simulator.resizing import SimulatedResizing
from xapi.hypervisor.simulator.settings import CHANGEABLE, SimulatorConfig
from xapi.hypervisor.simulator.timers import Sleep
from xapi.hypervisor.simulator.words import SimulatedGuest
from xapi.system.clock import Clock, SystemClock

PREFIX = "simulator:"
FAULT, GUEST = "fault:", "guest:"


def open_driver(state_directory: Path, settings: Mapping[str, str]) -> HypervisorDriver:
    """The simulator whose machine lives in this directory; raises InvalidConfiguration or StateUnusable."""
    return Simulator(state_directory, SimulatorConfig.from_mapping(settings))


class Simulator:
    """The HypervisorDriver protocol.

    ``sleep`` is for tests with a fake clock: its ``advance``. Then there is no thread, and time passes only when
    something waits, or in ``run_due`` after the clock was moved.
    """

    def __init__(
        self,
        directory: Path,
        config: SimulatorConfig | None = None,
        clock: Clock | None = None,
        sleep: Sleep | None = None,
        journal_limit: int = SMALLEST_LIMIT,
    ) -> None:
        self._configured = config or SimulatorConfig()
        self.machine = Machine(directory, self._configured, clock or SystemClock(), sleep, journal_limit)
        self.guests = Guests(self.machine)
        self.host = SimulatedHost(self.machine)
        self.domains = SimulatedDomains(self.machine, self.guests)
        self.devices = SimulatedDevices(self.machine, self.guests)
        self.resizing = SimulatedResizing(self.machine, self.guests)
        self.suspending = SimulatedSuspending(self.machine, self.guests, self.domains)
        self.migrating = SimulatedMigrating(self.machine, self.guests, self.domains)
        self.guest = SimulatedGuest(self.machine, self.guests)
        self.consoles = SimulatedConsoles(self.machine)
        self.watching = SimulatedWatching(self.machine)
        self.metering = SimulatedMetering(self.machine)
        self._apply(self.machine.keys, frozenset())

    @property
    def features(self) -> Features:
        """What this driver can do: everything, unless it was told not to read VHD files."""
        return frozenset(Feature) if self._configured.vhd_files else frozenset(Feature) - {Feature.VHD_FILES}

    def configure(self, keys: Mapping[str, str]) -> None:
        """Take all run-time keys (of host.other_config) at each call; raises InvalidConfiguration.

        Read are ``simulator:fault:OPERATION[.STEP]`` = kind[,times=N][,after=N][,seconds=S][,vm=UUID],
        ``simulator:guest:UUID`` = crash, reboot, softreboot, halt (at once, when new), hang or no-agent (while the key
        is there), and ``simulator:`` with boot-seconds, shutdown-seconds, migrate-seconds, os or agent.
        """
        mine = {key: value for key, value in keys.items() if key.startswith(PREFIX)}
        _check(mine, self._configured)
        before = self.machine.keys
        if mine == before:
            return
        fresh = frozenset(
            key[len(PREFIX + GUEST) :]
            for key, value in mine.items()
            if key.startswith(PREFIX + GUEST) and before.get(key) != value
        )
        with self.machine.changing():
            self.machine.remember_keys(mine)
        self._apply(mine, fresh)

    def run_due(self) -> None:
        """Let guests do what their time has come for; needed only with a fake clock."""
        self.machine.timers.run_due()

    def close(self) -> None:
        """Let go of threads and files; domains live on."""
        self.consoles.close()
        self.machine.close()

    def _apply(self, keys: Mapping[str, str], fresh: frozenset[str]) -> None:
        faults, guests, settings = _sorted(keys)
        self.machine.faults.set(faults)
        with self.machine.changing():
            self.machine.config = self._configured.with_settings(settings)
            self.guests.forget_states()
            self.guests.wish(guests, fresh)


class SimulatedWatching:
    """The Watching protocol."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def subscribe(self, callback: Callable[[DomainEvent], None]) -> Callable[[], None]:
        """Call back with each event from now on, one at a time and in order; the answer ends the subscription."""
        return self._machine.events.subscribe(callback)

    def sequence(self) -> int:
        """The sequence number of the latest event; it grows for as long as the machine lives."""
        return self._machine.sequence


def _sorted(keys: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Faults by operation, wishes by VM, and settings."""
    faults: dict[str, str] = {}
    guests: dict[str, str] = {}
    settings: dict[str, str] = {}
    for key, value in keys.items():
        name = key.removeprefix(PREFIX)
        if name.startswith(FAULT):
            faults[name.removeprefix(FAULT)] = value
        elif name.startswith(GUEST):
            guests[name.removeprefix(GUEST)] = value
        else:
            settings[name] = value
    return faults, guests, settings


def _check(keys: Mapping[str, str], config: SimulatorConfig) -> None:
    faults, guests, settings = _sorted(keys)
    for operation, text in faults.items():
        if operation not in OPERATIONS:
            raise InvalidConfiguration(PREFIX + FAULT + operation, "is no operation or step of the simulator")
        parse_fault(text)
    for uuid, behaviour in guests.items():
        if behaviour not in BEHAVIOURS:
            raise InvalidConfiguration(PREFIX + GUEST + uuid, f"{behaviour!r} is none of {sorted(BEHAVIOURS)}")
    for name in settings:
        if name.replace("-", "_") not in CHANGEABLE:
            raise InvalidConfiguration(PREFIX + name, "cannot be changed while the machine runs")
    config.with_settings(settings)
