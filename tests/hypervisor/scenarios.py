"""Every plan, each with the state of the world in which it begins."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.hypervisor.bench import Books, SimulatorBench, config_of
from xapi.hypervisor import plan
from xapi.hypervisor.interface import (
    Disk,
    DiskKind,
    DiskMode,
    EmptyDrive,
    LockingMode,
    Memory,
    Nic,
    Volume,
)
from xapi.hypervisor.plan import Plan
from xapi.hypervisor.run import Crew, run
from xapi.hypervisor.simulator.settings import MIB
from xapi.hypervisor.steps import Step

ROOT = Disk("xvda", 0, Volume("root"), bootable=True)
DATA = Disk("xvdb", 1, Volume("data"))
DRIVE = Disk("xvdd", 3, EmptyDrive(), DiskMode.READ_ONLY, DiskKind.CD)
ISO = replace(DRIVE, source=Volume("iso"))
NICS = (Nic(0, "02:00:00:00:00:01", "xenbr0"), Nic(1, "02:00:00:00:00:02", "xapi1"))
VM = config_of(1, disks=(ROOT, DATA, DRIVE), nics=NICS)
AFTER = replace(VM, disks=(ROOT, ISO, replace(DATA, device="xvdc", number=2, source=Volume("other"))), nics=NICS[:1])
READ_ONLY = replace(VM, disks=(ROOT, replace(DATA, mode=DiskMode.READ_ONLY), DRIVE))
IMAGE = Volume("image")
HALF = Memory(256 * MIB, 128 * MIB, 128 * MIB, 128 * MIB)


def unexpected(step: Step, error: Exception) -> None:
    raise AssertionError(f"{step} was not to fail") from error


@dataclass
class World:
    bench: SimulatorBench
    books: Books
    calls: list[str] = field(default_factory=list)
    stream: io.BytesIO = field(default_factory=io.BytesIO)
    failing_call: str = ""

    def crew(self) -> Crew:
        def call(name: str) -> Callable[[], None]:
            def act() -> None:
                if name == self.failing_call:
                    self.failing_call = ""
                    raise ConnectionError(name)
                self.calls.append(name)

            return act

        names = (plan.SNAPSHOT_DISKS, plan.DISCARD_SNAPSHOTS, plan.HAND_OVER, plan.TAKE_OVER, plan.CONFIRM)
        return self.books.crew(
            self.bench.driver, calls={name: call(name) for name in names}, sink=self.stream, source=self.stream
        )

    def run(self, wanted: Plan) -> None:
        run(wanted, self.crew(), unexpected)

    def photograph(self) -> object:
        driver = self.bench.driver
        states = [
            replace(state, agent=replace(state.agent, updated=None) if state.agent else None)
            for state in driver.domains.list()
        ]
        return (states, driver.host.memory_free(), self.books.photograph())


def nothing(world: World) -> None:
    pass


def started(world: World) -> None:
    world.run(plan.start(VM))


def started_paused(world: World) -> None:
    world.run(plan.start(VM, paused=True))


def suspended(world: World) -> None:
    world.run(plan.start(VM))
    world.run(plan.suspend(VM, IMAGE, 60))


def with_medium(world: World) -> None:
    started(world)
    world.run(plan.insert_media(VM.uuid, ISO))


def sent(world: World) -> None:
    started(world)
    world.run(plan.migrate_out(VM))
    world.stream.seek(0)


@dataclass(frozen=True)
class Scenario:
    name: str
    prepare: Callable[[World], None]
    plan: Plan


UUID = VM.uuid
FRESH = replace(VM, disks=tuple(replace(disk, fresh=disk.kind is DiskKind.DISK) for disk in VM.disks))
REVERSIBLE = [
    Scenario("start", nothing, plan.start(VM)),
    Scenario("start-paused", nothing, plan.start(VM, paused=True)),
    Scenario("start-fresh", nothing, plan.start(FRESH)),
    Scenario("stop-hard", started, plan.stop_hard(VM)),
    Scenario("pause", started, plan.pause(UUID)),
    Scenario("unpause", started_paused, plan.unpause(UUID)),
    Scenario("suspend", started, plan.suspend(VM, IMAGE, 60)),
    Scenario("resume", suspended, plan.resume(VM, IMAGE)),
    Scenario("checkpoint", started, plan.checkpoint(VM, IMAGE, 60)),
    Scenario("migrate-out", started, plan.migrate_out(VM)),
    Scenario("migrate-in", sent, plan.migrate_in(VM)),
    Scenario("plug-disk", started, plan.plug_disk(UUID, Disk("xvde", 4, Volume("extra")))),
    Scenario("unplug-disk", started, plan.unplug_disk(UUID, DATA)),
    Scenario("insert-media", started, plan.insert_media(UUID, ISO)),
    Scenario("eject-media", with_medium, plan.eject_media(UUID, ISO)),
    Scenario("plug-nic", started, plan.plug_nic(UUID, Nic(2, "02:00:00:00:00:03", "xenbr0"))),
    Scenario("unplug-nic", started, plan.unplug_nic(UUID, NICS[1], force=True)),
    Scenario("move-nic", started, plan.move_nic(UUID, NICS[0], replace(NICS[0], bridge="xapi9"))),
    Scenario(
        "lock-nic",
        started,
        plan.lock_nic(UUID, NICS[0], replace(NICS[0], locking=LockingMode.LOCKED, allowed_ipv4=("10.0.0.1",))),
    ),
    Scenario("set-memory", started, plan.set_memory(UUID, VM.memory, HALF)),
    Scenario("set-vcpus", started, plan.set_vcpus(UUID, 1, 3)),
]
IRREVERSIBLE = [
    Scenario("stop-clean", started, plan.stop_clean(VM, 60)),
    Scenario("reboot-clean", started, plan.reboot_clean(VM, AFTER, 60)),
    Scenario("reboot-hard", started, plan.reboot_hard(VM, AFTER)),
    Scenario("reboot-fresh", started, plan.reboot_hard(VM, FRESH)),
    Scenario("reboot-read-only", started, plan.reboot_hard(VM, READ_ONLY)),
]
SCENARIOS = REVERSIBLE + IRREVERSIBLE
