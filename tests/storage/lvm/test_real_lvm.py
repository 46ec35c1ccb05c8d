from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xapi.storage.contract import CHECKS, Subject
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.volumes import group_name


def device_mapper_answers() -> bool:
    """The file alone proves nothing: packages make it wherever they are installed."""
    try:
        os.close(os.open("/dev/mapper/control", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


LACKING = (
    "only root may make devices"
    if os.geteuid() != 0
    else "LVM is not installed"
    if shutil.which("vgcreate") is None
    else "this kernel has no device mapper"
    if not device_mapper_answers()
    else ""
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(LACKING), reason=LACKING or "nothing lacks")]


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(16 << 30)
    command = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    made = Subject(LvmDriver(str(tmp_path / "state")), {"device": device})
    yield made
    subprocess.run(["vgremove", "--force", "--yes", group_name(made.sr_uuid)], check=False, capture_output=True)
    subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_real_volumes_satisfy(subject: Subject, check: Callable[[Subject], None]) -> None:
    check(subject)
