"""One host with its doors open, for the tests of a module."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_handlers.doors import Doors


@pytest.fixture(scope="package")
def doors() -> Iterator[Doors]:
    with tempfile.TemporaryDirectory(prefix="xapi-") as directory:
        opened = Doors(Path(directory))
        yield opened
        opened.close()
