"""What most tests stand on: a toolstack in memory of its own, and a client that calls through the whole journey."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.house import Caller, House


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose name is short enough for a Unix socket in it."""
    with tempfile.TemporaryDirectory(prefix="xapi-") as directory:
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
    with tempfile.TemporaryDirectory(prefix="xapi-") as directory:
        opened = House(Path(directory), FakeClock())
        yield opened
        opened.close()
