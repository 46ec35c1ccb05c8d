"""One host with its doors open, for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.places import state_directory
from tests.http_handlers.doors import Doors


@pytest.fixture(scope="package")
def doors() -> Iterator[Doors]:
    with state_directory() as directory:
        opened = Doors(Path(directory))
        yield opened
        opened.close()
