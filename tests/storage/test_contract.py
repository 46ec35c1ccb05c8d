from collections.abc import Callable
from pathlib import Path

import pytest

from xapi.storage.contract import CHECKS, Subject
from xapi.storage.file.driver import ExtDriver, FileDriver
from xapi.storage.simulator.driver import DummyDriver


def file_sr(tmp_path: Path) -> Subject:
    return Subject(FileDriver(), {"location": str(tmp_path / "sr")})


def ext_in_directory(tmp_path: Path) -> Subject:
    return Subject(ExtDriver(str(tmp_path / "mounts")), {"location": str(tmp_path / "sr")})


def dummy(tmp_path: Path) -> Subject:
    return Subject(DummyDriver(str(tmp_path / "state")), {})


SUBJECTS = [dummy, file_sr, ext_in_directory]


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_driver_satisfies(subject: Callable[[Path], Subject], check: Callable[[Subject], None], tmp_path: Path) -> None:
    check(subject(tmp_path))
