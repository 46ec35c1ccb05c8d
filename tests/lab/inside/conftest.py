from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.inside.filer import Filer, daemon
from tests.lab.inside.samba import Samba
from tests.lab.inside.shell import disk, sh, wipe

LVM_SETTINGS = Path("/etc/lvm/lvmlocal.conf")
# Elsewhere these tests would write to whatever disks they find.
collect_ignore_glob = [] if "XAPI_LAB" in os.environ else ["test_*"]


@pytest.fixture(scope="session")
def store() -> Path:
    """A file system for images and exports."""
    path = Path("/srv/store")
    path.mkdir(parents=True)
    sh("mkfs.ext4", "-q", "-F", disk("store"))
    sh("mount", disk("store"), str(path))
    return path


@pytest.fixture
def lvm_disk() -> Iterator[str]:
    device = disk("lvm")
    wipe(device)
    yield device
    wipe(device)


@pytest.fixture
def small_disk() -> Iterator[str]:
    device = disk("small")
    wipe(device)
    yield device
    wipe(device)


@pytest.fixture
def lvm_with_udev() -> Iterator[None]:
    """LVM waits for udev to make the devices of volumes, as it does on most hosts; it takes twice the time."""
    kept = LVM_SETTINGS.read_bytes() if LVM_SETTINGS.exists() else b""
    LVM_SETTINGS.unlink(missing_ok=True)
    yield
    LVM_SETTINGS.write_bytes(kept)


@pytest.fixture(scope="session")
def initiator() -> None:
    """The daemon that keeps iSCSI sessions."""
    daemon("iscsid")


@pytest.fixture(scope="session")
def filer(store: Path) -> Filer:
    return Filer(store)


@pytest.fixture(scope="session")
def smb(store: Path) -> Samba:
    return Samba(store / "smb")
