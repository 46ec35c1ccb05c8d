"""What most tests stand on: a toolstack in memory of its own, and a client that calls through the whole journey."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.fakes.clock import FakeClock
from tests.fakes.house import Caller, House
from tests.fakes.places import state_directory

settings.register_profile("untimed", deadline=None)  # a busy machine is no error
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has said or logged goes to another process, which takes only what can be encoded."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose name is short enough for a Unix socket in it."""
    with state_directory() as directory:
        yield Path(directory)


@pytest.fixture
def house(short_path: Path, clock: FakeClock) -> Iterator[House]:
    """A ready host on the simulator, with its doors shut: calls go in process."""
    opened = House(short_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def toolstack(house: House) -> Any:
    return house.toolstack


@pytest.fixture
def client(house: House) -> Caller:
    """The superuser: `client.VM.get_record(ref)` answers Python values or raises Failure."""
    return house.client


@pytest.fixture(scope="module")
def lasting_house() -> Iterator[House]:
    """A house for all tests of a module, for those that ask it many small questions."""
    with state_directory() as directory:
        opened = House(Path(directory), FakeClock())
        yield opened
        opened.close()
