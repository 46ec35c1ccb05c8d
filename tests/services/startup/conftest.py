from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.startup.installations import Home, empty_database


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_database(tmp_path_factory.mktemp("database"))


@pytest.fixture
def home(tmp_path: Path, empty: Path) -> Iterator[Home]:
    made = Home(tmp_path, empty)
    yield made
    made.close()
