from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hypervisor.bench import Books, SimulatorBench
from tests.hypervisor.scenarios import (
    AFTER,
    IMAGE,
    IRREVERSIBLE,
    READ_ONLY,
    REVERSIBLE,
    SCENARIOS,
    VM,
    Scenario,
    World,
    unexpected,
)
from xapi.hypervisor import plan
from xapi.hypervisor.interface import (
    DomainConfig,
    DomainCrashed,
    GuestTimeout,
    InjectedFault,
    OperationCancelled,
    Power,
    ShutdownReason,
    UnexpectedShutdown,
)
from xapi.hypervisor.run import run
from xapi.hypervisor.steps import Call, OnFailure, Step

DRIVER_OPERATION = {
    "CreateDomain": "create.devices",
    "DestroyDomain": "destroy",
    "PauseDomain": "pause",
    "UnpauseDomain": "unpause",
    "RequestShutdown": "request_shutdown",
    "AwaitShutdown": "await_shutdown",
    "SuspendGuest": "await_shutdown",
    "ResumeGuest": "resume_in_place",
    "SaveImage": "save.write",
    "RestoreDomain": "restore.devices",
    "SendDomain": "send.suspended",
    "ReceiveDomain": "receive.devices",
    "PlugDisk": "plug_disk",
    "UnplugDisk": "unplug_disk",
    "InsertMedia": "insert_media",
    "EjectMedia": "eject_media",
    "PlugNic": "plug_nic",
    "UnplugNic": "unplug_nic",
    "MoveNic": "move_nic",
    "SetNicLocking": "set_nic_locking",
    "SetMemory": "set_memory_dynamic_range",
    "SetVcpus": "set_vcpus",
}
STORAGE_OPERATION = {
    "AttachVolume": "attach",
    "DetachVolume": "detach",
    "ActivateVolume": "activate",
    "DeactivateVolume": "deactivate",
    "ResetVolume": "reset",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    bench = SimulatorBench(tmp_path)
    yield World(bench, Books(bench.directory))
    bench.driver.close()


def break_step(world: World, steps: tuple[Step, ...], number: int) -> bool:
    """Make this step of the plan fail once; False for a step that cannot fail."""
    step = steps[number]
    kind = type(step).__name__
    if isinstance(step, OnFailure):
        return False
    if isinstance(step, Call):
        world.failing_call = step.name
    elif kind in DRIVER_OPERATION:
        earlier = sum(DRIVER_OPERATION.get(type(each).__name__) == DRIVER_OPERATION[kind] for each in steps[:number])
        world.bench.driver.configure({f"simulator:fault:{DRIVER_OPERATION[kind]}": f"error,times=1,after={earlier}"})
    else:
        wanted = (
            f"{STORAGE_OPERATION[kind]} {step.volume.key}"  # type: ignore[union-attr]
            if kind in STORAGE_OPERATION
            else f"{'connect' if kind == 'ConnectNic' else 'disconnect'} {step.nic.device}"  # type: ignore[union-attr]
        )
        told: list[str] = []

        def fail_once(what: str) -> None:
            if what == wanted and not told:
                told.append(what)
                raise OSError(what)

        world.books.failing = fail_once
    return True


def each_step(scenarios: list[Scenario], part: str) -> list[object]:
    return [
        pytest.param(scenario, number, id=f"{scenario.name}-{number}-{type(step).__name__}")
        for scenario in scenarios
        for number, step in enumerate(getattr(scenario.plan, part))
    ]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_every_plan_runs_and_tells_its_progress(world: World, scenario: Scenario) -> None:
    scenario.prepare(world)
    heard: list[tuple[int, int]] = []
    run(scenario.plan, world.crew(), unexpected, lambda done, total, _step: heard.append((done, total)))
    total = len(scenario.plan.steps) + len(scenario.plan.cleanup)
    assert heard == [(done, total) for done in range(1, total + 1)]


@pytest.mark.parametrize(("scenario", "number"), each_step(REVERSIBLE, "steps"))
def test_a_failure_at_any_step_leaves_all_as_it_was(world: World, scenario: Scenario, number: int) -> None:
    scenario.prepare(world)
    before = world.photograph()
    assert break_step(world, scenario.plan.steps, number)
    with pytest.raises((InjectedFault, OSError)):
        run(scenario.plan, world.crew(), unexpected)
    assert world.photograph() == before
    world.stream.seek(0)
    if scenario.name == "migrate-out":
        world.stream.truncate()
    world.run(scenario.plan)  # and nothing is left that would hinder a second attempt


@pytest.mark.parametrize(("scenario", "number"), each_step(REVERSIBLE, "steps"))
def test_cancelling_before_any_step_leaves_all_as_it_was(world: World, scenario: Scenario, number: int) -> None:
    scenario.prepare(world)
    before = world.photograph()
    done: list[int] = []
    with pytest.raises(OperationCancelled):
        run(
            scenario.plan,
            world.crew(),
            unexpected,
            lambda count, _total, _step: done.append(count),
            lambda: len(done) >= number,
        )
    assert world.photograph() == before


@pytest.mark.parametrize(("scenario", "number"), each_step(IRREVERSIBLE, "steps"))
def test_a_failure_never_parts_a_domain_from_what_it_has(world: World, scenario: Scenario, number: int) -> None:
    scenario.prepare(world)
    before = world.books.photograph()
    if not break_step(world, scenario.plan.steps, number):
        return
    with pytest.raises((InjectedFault, OSError)):
        run(scenario.plan, world.crew(), unexpected)
    if world.bench.driver.domains.list():
        assert world.books.photograph() == before
    else:
        assert world.books.photograph() == ({}, set(), [])


@pytest.mark.parametrize(("scenario", "number"), each_step(SCENARIOS, "cleanup"))
def test_a_failure_in_cleanup_stops_no_other_cleanup(world: World, scenario: Scenario, number: int) -> None:
    scenario.prepare(world)
    steps = scenario.plan.steps + scenario.plan.cleanup
    assert break_step(world, steps, len(scenario.plan.steps) + number)
    heard: list[int] = []
    others: list[Step] = []
    with pytest.raises((InjectedFault, OSError)):
        run(
            scenario.plan,
            world.crew(),
            lambda step, _error: others.append(step),
            lambda done, _total, _step: heard.append(done),
        )
    assert heard[-1] == len(steps)
    assert len(others) <= 1  # detaching what could not be deactivated


@pytest.mark.parametrize(("before", "after"), [(VM, AFTER), (VM, READ_ONLY), (AFTER, VM)])
def test_after_a_reboot_the_vm_has_what_it_should_and_no_more(
    world: World, before: DomainConfig, after: DomainConfig
) -> None:
    world.run(plan.start(before))
    world.run(plan.reboot_clean(before, after, 60))
    rebooted = world.books.photograph()
    assert len(world.bench.driver.domains.get(VM.uuid).disks) == len(after.disks)
    world.run(plan.stop_hard(after))
    world.run(plan.start(after))
    assert world.books.photograph() == rebooted
    assert world.bench.driver.domains.get(VM.uuid).power is Power.RUNNING


def test_an_error_while_undoing_is_reported_and_hides_nothing(world: World) -> None:
    world.bench.driver.configure({"simulator:fault:create": "out_of_memory"})

    def fail(what: str) -> None:
        if what == "deactivate data":
            raise OSError(what)

    world.books.failing = fail
    reported: list[str] = []
    with pytest.raises(Exception, match="bytes of memory are needed"):
        run(plan.start(VM), world.crew(), lambda step, error: reported.append(f"{step}: {error}"))
    assert reported[0] == "deactivate volume data: deactivate data"
    assert [key.key for key in world.books.attached] == ["data"]


def test_waiting_for_a_guest_can_be_cancelled(world: World) -> None:
    world.run(plan.start(VM))
    world.bench.driver.configure({f"simulator:guest:{VM.uuid}": "hang"})
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(OperationCancelled):
        run(plan.stop_clean(VM, 600), world.crew(), unexpected, cancelled=cancelled)
    assert world.bench.driver.domains.get(VM.uuid).power is Power.RUNNING


def test_a_stop_is_not_abandoned_once_the_guest_has_stopped(world: World) -> None:
    world.run(plan.start(VM))
    done: list[int] = []
    run(
        plan.stop_clean(VM, 60),
        world.crew(),
        unexpected,
        lambda count, _total, _step: done.append(count),
        lambda: len(done) >= 2,
    )
    assert world.bench.driver.domains.list() == ()
    assert world.books.attached == {}


@pytest.mark.parametrize(
    ("behaviour", "error"), [("crash", DomainCrashed), ("reboot", UnexpectedShutdown), ("hang", GuestTimeout)]
)
def test_a_guest_that_does_something_else_is_noticed(world: World, behaviour: str, error: type[Exception]) -> None:
    world.run(plan.start(VM))
    world.bench.settings = world.bench.settings.with_settings({"shutdown-seconds": "10"})
    world.bench.reopen()
    if behaviour == "hang":
        world.bench.driver.configure({f"simulator:guest:{VM.uuid}": behaviour})
    else:
        timers = world.bench.driver.machine.timers
        timers.after(5, lambda: world.bench.driver.configure({f"simulator:guest:{VM.uuid}": behaviour}))
    with pytest.raises(error):
        world.run(plan.stop_clean(VM, 60))


def test_a_guest_that_suspends_too_late_is_woken(world: World) -> None:
    world.run(plan.start(VM))
    world.bench.driver.configure({"simulator:fault:await_shutdown": "timeout,times=1"})
    with pytest.raises(GuestTimeout):
        world.run(plan.suspend(VM, IMAGE, 60))
    state = world.bench.driver.domains.get(VM.uuid)
    assert (state.power, state.shutdown_reason) == (Power.RUNNING, None)


def test_a_stop_of_any_fitting_reason_is_a_stop(world: World) -> None:
    world.run(plan.start(VM))
    world.bench.driver.guest.send_sysrq(VM.uuid, "o")
    assert world.bench.driver.domains.get(VM.uuid).shutdown_reason is ShutdownReason.HALT
    world.run(plan.stop_hard(VM))
    assert world.books.photograph() == ({}, set(), [])
