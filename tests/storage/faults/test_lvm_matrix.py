"""Each operation on LVM meets each fault of its device at each of its steps: once, and until its handle is dropped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.storage.coalesce.farm import SR, Killed, LvmFarm, ThinLvmFarm, killed_after
from tests.storage.faults.devices import DEVICE_FAULTS, DeviceFault, device_fault
from tests.storage.faults.operations import OPERATIONS, Operation, furnish, furnish_chain
from tests.storage.faults.state import State, assert_clean_group, assert_mixture, state, unnamed
from tests.storage.lvm.fake import FakeLvm
from xapi.storage.interface import SrExists, StorageFailure

MOST_STEPS = 2000
NOT_ON_LVM = {"resize beyond its table", "resize online"}
CALLS = [operation for operation in OPERATIONS if operation.name not in NOT_ON_LVM]
MEMORY = Path("/dev/shm")
LASTING = ("once", "for the operation", "until the handle is dropped")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory in memory, where there is one: thousands of SRs are made there."""
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def thick(place: Path) -> LvmFarm:
    farm = LvmFarm(place / "thick")
    furnish(farm.sr)
    furnish_chain(farm.sr)
    return farm


@pytest.fixture(scope="module")
def thin(place: Path) -> LvmFarm:
    farm = ThinLvmFarm(place / "thin")
    furnish(farm.sr)
    furnish_chain(farm.sr)
    return farm


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written has to last as long as a test."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def named(failure: StorageFailure, fault: DeviceFault) -> bool:
    """Whether a failure says what is wrong, to a client too: each kind has its number."""
    right = isinstance(failure, fault.expected) and failure.number == type(failure).number
    return right and any(word in failure.text for word in fault.words)


class Trial:
    """One operation and one fault, on copies of the furnished SR."""

    def __init__(self, furnished: LvmFarm, operation: Operation, fault: DeviceFault) -> None:
        self.furnished = furnished
        self.path = furnished.path.with_name("sr")
        self.operation = operation
        self.fault = fault
        self.before = self._state_after(lambda sr: None)
        self.after = self._state_after(operation.do)
        self.old, self.new = unnamed(self.before), unnamed(self.after)

    def _copy(self) -> LvmFarm:
        if self.path.exists():
            shutil.rmtree(self.path)
        return self.furnished.copy(self.path)

    def _state_after(self, do: Callable[..., object]) -> State:
        farm = self._copy()
        do(farm.sr)
        return state(farm.sr)

    def at(self, step: int, lasting: str) -> bool:
        """Let the fault begin at a step; return whether the operation came that far."""
        farm = self._copy()
        failure: StorageFailure | None = None
        with device_fault(self.fault, farm.lvm, step, once=lasting == LASTING[0]) as injection:
            try:
                self.operation.do(farm.sr)
            except StorageFailure as raised:
                failure = raised
        where = f"{self.operation.name}, {self.fault.name} at step {step} {lasting} ({injection.began_at})"
        if not injection.active:
            assert failure is None, f"{where}: {failure!r} without a fault"
            return False
        try:
            if failure is not None:
                self._check_told(failure)
            if lasting == LASTING[2]:
                farm.attach()
            self._check_whole(farm, failure)
            self._check_works_again(farm)
        except (AssertionError, StorageFailure) as wrong:
            raise AssertionError(f"{where}: {wrong!r}") from wrong
        return True

    def _check_told(self, failure: StorageFailure) -> None:
        assert named(failure, self.fault), f"told {failure!r}"

    def _check_whole(self, farm: LvmFarm, failure: StorageFailure | None) -> None:
        """What there is is the old or the new, as this handle sees it and as the next one does."""
        for number in range(2):
            now = state(farm.sr)
            if self.operation.written:
                assert_mixture(now, self.before, self.after)
            else:
                allowed = (self.old, self.new) if failure is not None else (self.new,)
                allowed = (self.old,) if self.operation.silent else allowed
                assert unnamed(now) in allowed, f"neither old nor new as handle {number} sees it"
            # While a handle collects, children may be on their way from image to image.
            if number or not any(name.startswith("relink_") for name in farm.volumes):
                assert_clean_group(farm, torn=self.operation.name.startswith("resize"))
            farm.attach()

    def _check_works_again(self, farm: LvmFarm) -> None:
        try:
            self.operation.do(farm.sr)
        except StorageFailure as wrong:
            if not self.operation.name.startswith("destroy"):  # that may have been done already
                raise AssertionError(f"does not work again: {wrong!r}") from wrong
        state(farm.sr)
        assert_clean_group(farm)
        farm.sr.detach_sr()


def sweep(operation: Operation, fault: DeviceFault, furnished: LvmFarm, stride: int, first: int = 0) -> None:
    """Try the steps, every one or some spread over all, and tell of all that went wrong together."""
    trial = Trial(furnished, operation, fault)
    wrong = []
    for number, step in enumerate(range(first, MOST_STEPS, stride), DEVICE_FAULTS.index(fault)):
        try:
            if not trial.at(step, LASTING[number % len(LASTING)]):
                break
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0])
    assert not wrong, "\n".join(wrong)


each = pytest.mark.parametrize("operation", CALLS, ids=lambda operation: operation.name.replace(" ", "-"))
any_fault = pytest.mark.parametrize("fault", DEVICE_FAULTS, ids=lambda fault: fault.name)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [(operation, DEVICE_FAULTS[number % len(DEVICE_FAULTS)]) for number, operation in enumerate(CALLS)],
    ids=lambda value: value.name.replace(" ", "-"),
)
def test_fault_at_some_steps(operation: Operation, fault: DeviceFault, thick: LvmFarm) -> None:
    sweep(operation, fault, thick, 31)


@pytest.mark.slow
@any_fault
@each
def test_every_fault_at_some_steps(operation: Operation, fault: DeviceFault, thin: LvmFarm) -> None:
    sweep(operation, fault, thin, 43, first=5)


@pytest.mark.thorough
@any_fault
@each
def test_fault_at_each_step(operation: Operation, fault: DeviceFault, thick: LvmFarm) -> None:
    sweep(operation, fault, thick, 1)


@pytest.mark.thorough
@any_fault
@each
def test_fault_at_each_step_of_a_thin_sr(operation: Operation, fault: DeviceFault, thin: LvmFarm) -> None:
    sweep(operation, fault, thin, 3)


# The SR itself


def unattached(path: Path, lvm: FakeLvm) -> LvmFarm:
    """An SR, or a place for one, that nobody has attached."""
    farm = object.__new__(LvmFarm)
    farm.path, farm.data_paths, farm.model, farm.lvm = path, None, {}, lvm
    return farm


@pytest.mark.parametrize("cut", [14, *(pytest.param(each, marks=pytest.mark.thorough) for each in (4, 9, 19, 24, 40))])
@pytest.mark.parametrize("name", ["snapshot tracked", "resize", "destroy data", "coalesce"])
@any_fault
def test_fault_while_what_was_cut_short_is_settled(name: str, cut: int, fault: DeviceFault, thin: LvmFarm) -> None:
    """A toolstack was killed; the device fails while the next one attaches the SR, and then does no longer."""
    (operation,) = (one for one in CALLS if one.name == name)
    trial = Trial(thin, operation, fault)
    cut_short = thin.copy(thin.path.with_name("cut short"))
    with suppress(Killed), killed_after(cut, cut_short.lvm):
        operation.do(cut_short.sr)
    for number, step in enumerate(range(cut % 7, MOST_STEPS, 7)):
        shutil.rmtree(trial.path)
        farm = unattached(trial.path, cut_short.lvm.copy(trial.path))
        with device_fault(fault, farm.lvm, step, once=bool(number % 2)) as injection:
            try:
                farm.attach()
            except StorageFailure as failure:
                assert named(failure, fault), failure
        farm.attach()
        where = f"step {step} ({injection.began_at})"
        assert unnamed(state(farm.sr)) in (trial.old, trial.new), f"{where}: neither old nor new"
        assert_clean_group(farm, torn=name == "resize")
        if not injection.active:
            break
    shutil.rmtree(cut_short.path)


@any_fault
def test_fault_while_an_sr_is_made_and_destroyed(fault: DeviceFault, place: Path) -> None:
    for step in range(MOST_STEPS):
        path = place / "made"
        path.mkdir()
        farm = unattached(path, FakeLvm(path))
        farm.lvm.device("sdb")
        failures = []
        with device_fault(fault, farm.lvm, step // 2, once=bool(step % 2)) as injection:
            try:
                farm.driver.create(SR, farm.config, 0, "user", {})
                farm.attach()
                farm.sr.destroy_sr()
            except StorageFailure as failure:
                failures.append(failure)
        assert all(named(failure, fault) for failure in failures), failures
        assert failures or not farm.lvm.groups
        if not hasattr(farm, "sr"):
            with suppress(SrExists):
                farm.driver.create(SR, farm.config, 0, "user", {})
            farm.attach()
        if farm.lvm.groups:
            farm.sr.destroy_sr()
        assert farm.lvm.groups == {}, injection.began_at
        assert farm.lvm.active() == set()
        shutil.rmtree(path)
        if not injection.active:
            return
