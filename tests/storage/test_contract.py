import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from xapi.storage.contract import CHECKS, Subject, new_uuid
from xapi.storage.file.driver import ExtDriver, FileDriver
from xapi.storage.iso.driver import IsoDriver
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.san import LvmOverHba, LvmOverIscsi
from xapi.storage.nfs.driver import NfsDriver
from xapi.storage.simulator.driver import DummyDriver
from xapi.storage.udev.driver import UdevDriver

from .lvm.fake import FakeLvm
from .lvm.san import IQN, LUNS, FakeSan


class LinkMounter:
    """Mounts by symbolic links: a server's directories are directories below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def mount(
        self, kind: str, source: str, target: str, options: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(self.root / source.partition(":")[2].lstrip("/"), target)

    def unmount(self, target: str) -> None:
        if os.path.islink(target):
            os.unlink(target)

    def is_mounted(self, target: str) -> bool:
        return os.path.islink(target)


def dummy(tmp_path: Path) -> Subject:
    return Subject(DummyDriver(str(tmp_path / "state")), {})


def file_sr(tmp_path: Path) -> Subject:
    return Subject(FileDriver(), {"location": str(tmp_path / "sr")})


def ext_in_directory(tmp_path: Path) -> Subject:
    return Subject(ExtDriver(str(tmp_path / "mounts")), {"location": str(tmp_path / "sr")})


def nfs(tmp_path: Path) -> Subject:
    (tmp_path / "server" / "exports").mkdir(parents=True)
    driver = NfsDriver(str(tmp_path / "mounts"), LinkMounter(tmp_path / "server"))
    return Subject(driver, {"server": "filer.example.org", "serverpath": "/exports"})


def iso(tmp_path: Path) -> Subject:
    (tmp_path / "images").mkdir()
    config = {"location": str(tmp_path / "images"), "legacy_mode": "true"}
    return Subject(IsoDriver(str(tmp_path / "mounts")), config)


def udev(tmp_path: Path) -> Subject:
    def prepare() -> str:
        path = tmp_path / "devices" / new_uuid()
        path.write_bytes(b"device" * 4096)
        return str(path)

    (tmp_path / "devices").mkdir()
    return Subject(UdevDriver(), {"location": str(tmp_path / "devices")}, prepare=prepare)


def lvm(tmp_path: Path) -> Subject:
    fake = FakeLvm(tmp_path)
    return Subject(LvmDriver(str(tmp_path / "state"), fake, str(fake.devices)), {"device": fake.device("sdb")})


def thin_lvm(tmp_path: Path) -> Subject:
    subject = lvm(tmp_path)
    return Subject(subject.driver, {**subject.device_config, "allocation": "thin"})


def lvm_over_iscsi(tmp_path: Path) -> Subject:
    san = FakeSan(tmp_path)
    config = {"target": "192.0.2.9", "targetIQN": IQN, "SCSIid": LUNS[0]}
    return Subject(LvmOverIscsi(str(tmp_path / "state"), san, str(san.devices)), config)


def lvm_over_hba(tmp_path: Path) -> Subject:
    san = FakeSan(tmp_path)
    san.appear()
    return Subject(LvmOverHba(str(tmp_path / "state"), san, str(san.devices)), {"SCSIid": LUNS[0]})


@pytest.mark.parametrize(
    "subject", [dummy, file_sr, ext_in_directory, nfs, iso, udev, lvm, thin_lvm, lvm_over_iscsi, lvm_over_hba]
)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_driver_satisfies(subject: Callable[[Path], Subject], check: Callable[[Subject], None], tmp_path: Path) -> None:
    check(subject(tmp_path))
