from __future__ import annotations

from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path

import pytest

from tests.lab.inside.filer import Filer
from tests.lab.inside.shell import active_volumes, disk, eventually, sh, wipe
from tests.lab.inside.target import backstore, local_adapter, target
from xapi.storage.contract import CHECKS, Subject
from xapi.storage.file.driver import ExtDriver
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.san import LvmOverHba, LvmOverIscsi
from xapi.storage.nfs.driver import NfsDriver

IQN = "iqn.2026-11.lab:contract"
CHAP = {"userid": "lab-user", "password": "lab-password-1"}
LOCAL_DISK = "/dev/disk/by-id/scsi-36001405*"


@pytest.fixture
def lvm(lvm_disk: str, tmp_path: Path) -> Subject:
    return Subject(LvmDriver(str(tmp_path / "state")), {"device": lvm_disk})


@pytest.fixture
def thin_lvm(lvm_disk: str, tmp_path: Path) -> Subject:
    return Subject(LvmDriver(str(tmp_path / "state")), {"device": lvm_disk, "allocation": "thin"})


@pytest.fixture
def lvmoiscsi(initiator: None, store: Path, tmp_path: Path) -> Iterator[Subject]:
    with backstore("contract", store / "contract.img", 16 << 30) as place, target(IQN, [place], CHAP):
        driver = LvmOverIscsi(str(tmp_path / "state"))
        config = {"target": "127.0.0.1", "targetIQN": IQN}
        config |= {"chapuser": CHAP["userid"], "chappassword": CHAP["password"]}
        (found,) = driver.probe_ext(config, {})
        yield Subject(driver, found.configuration)
        assert sh("iscsiadm", "-m", "session", check=False) == ""


@pytest.fixture
def lvmohba(store: Path, tmp_path: Path) -> Iterator[Subject]:
    with backstore("adapter", store / "adapter.img", 16 << 30) as place, local_adapter(place):
        eventually(lambda: bool(glob(LOCAL_DISK)))
        (path,) = glob(LOCAL_DISK)
        yield Subject(LvmOverHba(str(tmp_path / "state")), {"SCSIid": path.rpartition("/scsi-")[2]})


@pytest.fixture(params=["3", "4.2"])
def nfs(request: pytest.FixtureRequest, filer: Filer, tmp_path: Path) -> Subject:
    path = filer.export("contract", version=request.param)
    config = {"server": "127.0.0.1", "serverpath": path, "nfsversion": request.param}
    return Subject(NfsDriver(str(tmp_path / "mounts")), config)


@pytest.fixture
def ext(tmp_path: Path) -> Iterator[Subject]:
    device = disk("ext")
    wipe(device)
    yield Subject(ExtDriver(str(tmp_path / "mounts")), {"device": device})
    wipe(device)


each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@each_check
def test_lvm(lvm: Subject, check: Callable[[Subject], None]) -> None:
    check(lvm)
    assert active_volumes() == []


@each_check
def test_thin_lvm(thin_lvm: Subject, check: Callable[[Subject], None]) -> None:
    check(thin_lvm)
    assert active_volumes() == []


@each_check
def test_lvmoiscsi(lvmoiscsi: Subject, check: Callable[[Subject], None]) -> None:
    check(lvmoiscsi)
    assert active_volumes() == []


@each_check
def test_lvmohba(lvmohba: Subject, check: Callable[[Subject], None]) -> None:
    check(lvmohba)
    assert active_volumes() == []


@each_check
def test_nfs(nfs: Subject, check: Callable[[Subject], None]) -> None:
    check(nfs)


@each_check
def test_ext(ext: Subject, check: Callable[[Subject], None]) -> None:
    check(ext)
