from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.hypervisor.bench import SimulatorBench, config_of
from xapi.hypervisor.interface import (
    Disk,
    DomainEvent,
    FileBackend,
    HypervisorError,
    Memory,
    Nic,
    Power,
    ShutdownReason,
)
from xapi.hypervisor.simulator.settings import GIB, MIB

NUMBERS = st.integers(1, 5)
SIZES = st.sampled_from([64 * MIB, GIB, 3 * GIB, 7 * GIB])
REASONS = st.sampled_from([ShutdownReason.POWEROFF, ShutdownReason.REBOOT, ShutdownReason.SUSPEND])


class AnyLife(RuleBasedStateMachine):
    """Whatever is done in whatever order, the books balance, and a restart changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.bench = SimulatorBench(Path(self.directory.name), memory=16 * GIB, boot_seconds=3.0, shutdown_seconds=2.0)
        self.events: list[DomainEvent] = []
        self.bench.driver.watching.subscribe(self.events.append)

    def teardown(self) -> None:
        self.bench.driver.close()
        self.directory.cleanup()

    def attempt(self, act: str, *arguments: object) -> None:
        part, _, name = act.partition(".")
        with suppress(HypervisorError):
            getattr(getattr(self.bench.driver, part), name)(*arguments)

    @rule(number=NUMBERS, maximum=SIZES, minimum=SIZES)
    def create(self, number: int, maximum: int, minimum: int) -> None:
        memory = Memory(maximum, maximum, min(minimum, maximum), maximum)
        self.attempt("domains.create", config_of(number, memory=memory))

    @rule(number=NUMBERS, act=st.sampled_from(["destroy", "pause", "unpause", "unpause"]))
    def move(self, number: int, act: str) -> None:
        self.attempt(f"domains.{act}", config_of(number).uuid)

    @rule(number=NUMBERS, reason=REASONS)
    def ask(self, number: int, reason: ShutdownReason) -> None:
        self.attempt("domains.request_shutdown", config_of(number).uuid, reason)

    @rule(number=NUMBERS)
    def resume(self, number: int) -> None:
        self.attempt("suspending.resume_in_place", config_of(number).uuid)

    @rule(number=NUMBERS, other=NUMBERS)
    def save_and_restore(self, number: int, other: int) -> None:
        image = self.bench.directory / "image"
        self.attempt("suspending.save", config_of(number).uuid, image)
        self.attempt("suspending.restore", config_of(other), image)

    @rule(number=NUMBERS, wanted=SIZES)
    def balloon(self, number: int, wanted: int) -> None:
        self.attempt("resizing.set_memory_target", config_of(number).uuid, wanted)

    @rule(number=NUMBERS, minimum=SIZES, maximum=SIZES)
    def set_range(self, number: int, minimum: int, maximum: int) -> None:
        self.attempt("resizing.set_memory_dynamic_range", config_of(number).uuid, minimum, maximum)

    @rule(number=NUMBERS, device=st.integers(0, 3), plug=st.booleans())
    def change_devices(self, number: int, device: int, plug: bool) -> None:
        uuid = config_of(number).uuid
        if plug:
            self.attempt("devices.plug_disk", uuid, Disk(f"xvd{device}", device, FileBackend("/x")))
            self.attempt("devices.plug_nic", uuid, Nic(device, "02:00:00:00:00:01", "b"))
        else:
            self.attempt("devices.unplug_disk", uuid, f"xvd{device}")
            self.attempt("devices.unplug_nic", uuid, device)

    @rule(seconds=st.sampled_from([1.0, 2.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.bench.pass_time(seconds)

    @rule()
    def restart(self) -> None:
        before = self.photograph()
        self.bench.reopen()
        self.bench.driver.watching.subscribe(self.events.append)
        assert self.photograph() == before

    def photograph(self) -> object:
        states = [
            replace(state, agent=replace(state.agent, updated=None) if state.agent else None)
            for state in self.bench.driver.domains.list()
        ]
        return states, self.bench.driver.host.memory_free(), self.bench.driver.watching.sequence()

    @invariant()
    def memory_balances(self) -> None:
        driver = self.bench.driver
        used = sum(state.memory_actual + state.memory_overhead for state in driver.domains.list())
        assert driver.host.memory_free() >= 0
        assert driver.host.memory_free() + used == driver.machine.capacity

    @invariant()
    def states_make_sense(self) -> None:
        states = self.bench.driver.domains.list()
        assert [state.domid for state in states] == sorted({state.domid for state in states})
        for state in states:
            memory = self.bench.driver.machine.domain(state.uuid).memory
            assert memory.dynamic_min <= state.memory_actual <= state.memory_target <= memory.static_max
            assert (state.shutdown_reason is None) == (state.power in (Power.RUNNING, Power.PAUSED))
            assert state.power is not Power.STOPPED or state.agent is None

    @invariant()
    def events_are_complete(self) -> None:
        assert [event.sequence for event in self.events] == list(range(1, self.bench.driver.watching.sequence() + 1))


AnyLife.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestAnyLife = AnyLife.TestCase
