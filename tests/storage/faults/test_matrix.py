"""Each operation meets each fault at each of its steps: disks stay whole, the error tells, and then it works again."""

from __future__ import annotations

import inspect
import shutil
from functools import cached_property
from pathlib import Path

import pytest

from tests.storage.faults.injected import FAULTS, Death, Fault, injected
from tests.storage.faults.operations import OPERATIONS, SR, Operation, furnish, furnish_chain
from tests.storage.faults.state import State, assert_clean, assert_mixture, state, unnamed
from xapi.storage.file.driver import FileDriver
from xapi.storage.file.repository import FileSr
from xapi.storage.interface import AttachedSr, StorageFailure

MOST_STEPS = 2000


def attached(path: Path) -> FileSr:
    return FileDriver().attach(SR, {"location": str(path)}, {})


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("furnished") / "sr"
    FileDriver().create(SR, {"location": str(path)}, 0, "user", {})
    sr = attached(path)
    furnish(sr)
    furnish_chain(sr)
    sr.detach_sr()
    return path


class Trial:
    """One operation and one fault, on copies of the furnished SR."""

    def __init__(self, furnished: Path, tmp_path: Path, operation: Operation, kind: type[Fault]) -> None:
        self.furnished = furnished
        self.path = tmp_path / "sr"
        self.operation = operation
        self.kind = kind
        self.old = unnamed(self._state_after(lambda sr: None))
        self.new = unnamed(self._state_after(operation.do))

    def _copy(self) -> FileSr:
        if self.path.exists():
            shutil.rmtree(self.path)
        shutil.copytree(self.furnished, self.path)
        return attached(self.path)

    def _state_after(self, do: object) -> State:
        sr = self._copy()
        do(sr)  # type: ignore[operator]
        return state(sr)

    def at(self, step: int) -> bool:
        """Let the fault begin at a step; return whether the operation came that far."""
        sr = self._copy()
        where = f"{self.operation.name}, {self.kind.name} at step {step}"
        failure: BaseException | None = None
        with injected(self.kind(), self.path, step) as injection:
            try:
                self.operation.do(sr)
            except (StorageFailure, Death) as raised:
                failure = raised
        if not injection.active:
            assert failure is None, f"{where}: {failure!r} without a fault"
            return False
        if isinstance(failure, Death):
            sr = attached(self.path)
        elif isinstance(failure, StorageFailure):
            self._check_told(failure, where)
        elif self.operation.changes and step == 0:
            raise AssertionError(f"{where}: nothing was said")
        self._check_whole(sr, failure, where)
        self._check_works_again(sr, where)
        return True

    def _check_told(self, failure: StorageFailure, where: str) -> None:
        if type(failure) is not StorageFailure:
            assert isinstance(failure, self.kind.expected), f"{where}: {failure!r}"
        assert any(word in failure.text for word in self.kind.words), f"{where}: {failure.text}"

    def _check_whole(self, sr: FileSr, failure: BaseException | None, where: str) -> None:
        """What there is is the old or the new, as this handle sees it and as the next one does."""
        for seen in (sr, attached(self.path)):
            try:
                now = state(seen)
            except (AssertionError, StorageFailure) as wrong:
                raise AssertionError(f"{where}: afterwards {wrong}") from wrong
            if self.operation.written:
                try:
                    assert_mixture(now, *self.before_and_after)
                except AssertionError as wrong:
                    raise AssertionError(f"{where}: {wrong}") from wrong
                continue
            allowed = (self.old, self.new) if failure is not None else (self.new,)
            if self.operation.silent:
                allowed = (self.old,)
            assert unnamed(now) in allowed, f"{where}: neither old nor new"
        try:
            assert_clean(self.path, torn=isinstance(failure, Death) and bool(self.operation.written))
        except AssertionError as wrong:
            raise AssertionError(f"{where}: {wrong}") from wrong

    @cached_property
    def before_and_after(self) -> tuple[State, State]:
        kept = self.path
        self.path = kept.with_name("compared")
        try:
            return self._state_after(lambda sr: None), self._state_after(self.operation.do)
        finally:
            self.path = kept

    def _check_works_again(self, sr: FileSr, where: str) -> None:
        try:
            self.operation.do(sr)
            now = state(sr)
        except (AssertionError, StorageFailure) as wrong:
            gone = self.operation.name.startswith("destroy")  # it may have been done already
            if not gone:
                raise AssertionError(f"{where}: does not work again: {wrong}") from wrong
            now = state(sr)
        for location in now[1]:
            assert now[1][location].size
        sr.detach_sr()
        attached(self.path).detach_sr()
        assert_clean(self.path, torn=bool(self.operation.written))


def sweep(operation: Operation, kind: type[Fault], furnished: Path, tmp_path: Path, stride: int) -> None:
    """Try the steps, every one or some spread over all, and tell of all that went wrong together."""
    trial = Trial(furnished, tmp_path, operation, kind)
    wrong = []
    for step in range(0, MOST_STEPS, stride):
        try:
            if not trial.at(step):
                break
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0])
    assert not wrong, "\n".join(wrong)


each = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name.replace(" ", "-"))
any_fault = pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [(operation, FAULTS[number % len(FAULTS)]) for number, operation in enumerate(OPERATIONS)],
    ids=lambda value: value.name.replace(" ", "-"),
)
def test_fault_at_some_steps(operation: Operation, kind: type[Fault], furnished: Path, tmp_path: Path) -> None:
    sweep(operation, kind, furnished, tmp_path, 31)


@pytest.mark.slow
@any_fault
@each
def test_every_fault_at_some_steps(operation: Operation, kind: type[Fault], furnished: Path, tmp_path: Path) -> None:
    sweep(operation, kind, furnished, tmp_path, 17)


@pytest.mark.thorough
@any_fault
@each
def test_fault_at_each_step(operation: Operation, kind: type[Fault], furnished: Path, tmp_path: Path) -> None:
    sweep(operation, kind, furnished, tmp_path, 1)


def test_every_operation_of_a_handle_is_in_the_list() -> None:
    here = {method for operation in OPERATIONS for method in operation.methods}
    elsewhere = {"uuid", "detach_sr", "destroy_sr"}
    declared = {name for name, _ in inspect.getmembers(AttachedSr) if not name.startswith("_")}
    assert declared - elsewhere <= here
