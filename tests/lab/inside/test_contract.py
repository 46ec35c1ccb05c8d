from __future__ import annotations

from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path

import pytest

from tests.lab.inside.filer import Filer
from tests.lab.inside.lvm_library import LvmLibrary
from tests.lab.inside.samba import KNOWN, Samba
from tests.lab.inside.shell import active_volumes, disk, eventually, settled, sh, wipe
from tests.lab.inside.target import backstore, local_adapter, target
from xapi.storage.contract import CHECKS, Subject, new_uuid
from xapi.storage.file.driver import ExtDriver
from xapi.storage.iso.driver import IsoDriver
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.san import LvmOverHba, LvmOverIscsi
from xapi.storage.nfs.driver import NfsDriver

IQN = "iqn.2026-11.lab:contract"
CHAP = {"userid": "lab-user", "password": "lab-password-1"}
LOCAL_DISK = "/dev/disk/by-id/scsi-36001405*"


@pytest.fixture
def library() -> Iterator[LvmLibrary]:
    with LvmLibrary() as runner:
        yield runner


@pytest.fixture
def lvm(library: LvmLibrary, lvm_disk: str, tmp_path: Path) -> Subject:
    return Subject(LvmDriver(str(tmp_path / "state"), library), {"device": lvm_disk})


@pytest.fixture
def lvm_by_programs(lvm_with_udev: None, lvm_disk: str, tmp_path: Path) -> Subject:
    return Subject(LvmDriver(str(tmp_path / "state")), {"device": lvm_disk})


@pytest.fixture
def thin_lvm(library: LvmLibrary, lvm_disk: str, tmp_path: Path) -> Subject:
    return Subject(LvmDriver(str(tmp_path / "state"), library), {"device": lvm_disk, "allocation": "thin"})


@pytest.fixture
def lvmoiscsi(library: LvmLibrary, initiator: None, store: Path, tmp_path: Path) -> Iterator[Subject]:
    with backstore("contract", store / "contract.img", 16 << 30) as place, target(IQN, [place], CHAP):
        driver = LvmOverIscsi(str(tmp_path / "state"), library)
        config = {"target": "127.0.0.1", "targetIQN": IQN}
        config |= {"chapuser": CHAP["userid"], "chappassword": CHAP["password"]}
        (found,) = driver.probe_ext(config, {})
        yield Subject(driver, found.configuration)
        assert sh("iscsiadm", "-m", "session", check=False) == ""


@pytest.fixture
def lvmohba(library: LvmLibrary, store: Path, tmp_path: Path) -> Iterator[Subject]:
    eventually(lambda: not glob(LOCAL_DISK))  # the link of an earlier disk, which had the same number
    with backstore("adapter", store / "adapter.img", 16 << 30) as place, local_adapter(place):
        eventually(lambda: bool(glob(LOCAL_DISK)))
        settled()
        (path,) = glob(LOCAL_DISK)
        yield Subject(LvmOverHba(str(tmp_path / "state"), library), {"SCSIid": path.rpartition("/scsi-")[2]})


@pytest.fixture(params=["3", "4.2"])
def nfs(request: pytest.FixtureRequest, filer: Filer, tmp_path: Path) -> Subject:
    path = filer.export("contract", version=request.param)
    config = {"server": "127.0.0.1", "serverpath": path, "nfsversion": request.param}
    return Subject(NfsDriver(str(tmp_path / "mounts")), config)


@pytest.fixture(params=["nfs", "smb"])
def iso(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    name = f"iso-{new_uuid()}"
    if request.param == "smb":
        server: Samba = request.getfixturevalue("smb")
        server.directory(name)
        config = {"location": "\\\\127.0.0.1\\images", "type": "cifs", "iso_path": name, **KNOWN}
    else:
        filer: Filer = request.getfixturevalue("filer")
        config = {"location": f"127.0.0.1:{filer.export(name)}", "type": "nfs_iso"}
    return Subject(IsoDriver(str(tmp_path / "mounts")), config)


@pytest.fixture
def ext(tmp_path: Path) -> Iterator[Subject]:
    device = disk("ext")
    wipe(device)
    yield Subject(ExtDriver(str(tmp_path / "mounts")), {"device": device})
    wipe(device)


CHECKS_BY_PROGRAMS = [
    check for check in CHECKS if check.__name__ in ("check_attach", "check_resize", "check_snapshot_while_attached")
]
each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@each_check
def test_lvm(lvm: Subject, check: Callable[[Subject], None]) -> None:
    check(lvm)
    assert active_volumes() == []


@pytest.mark.parametrize("check", CHECKS_BY_PROGRAMS, ids=lambda check: check.__name__)
def test_lvm_by_programs_and_udev(lvm_by_programs: Subject, check: Callable[[Subject], None]) -> None:
    check(lvm_by_programs)
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


@each_check
def test_iso(iso: Subject, check: Callable[[Subject], None]) -> None:
    check(iso)
