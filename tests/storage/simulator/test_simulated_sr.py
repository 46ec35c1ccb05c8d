import os
from pathlib import Path

import pytest

from xapi.storage.contract import MIB, content, new_uuid, write
from xapi.storage.interface import (
    CreateVdi,
    FileBackend,
    InvalidConfiguration,
    SrFull,
    SrHealth,
    SrUnavailable,
    StorageFailure,
    VdiInUse,
)
from xapi.storage.simulator.driver import DummyDriver
from xapi.storage.simulator.repository import SimulatedSr

SR = "5a000000-0000-4000-8000-000000000003"


def attach(tmp_path: Path, **device_config: str) -> SimulatedSr:
    driver = DummyDriver(str(tmp_path))
    config = {key.replace("_", "-", 1): value for key, value in device_config.items()}
    if not (tmp_path / SR).exists():
        driver.create(SR, {}, 0, "user", {})
    return driver.attach(SR, config, {})


def new_disk(sr: SimulatedSr, **sm_config: str) -> str:
    config = {key.replace("_", "-", 1): value for key, value in sm_config.items()}
    return sr.create(CreateVdi(new_uuid(), MIB, sm_config=config)).location


def test_disk_takes_no_file_until_it_is_opened(tmp_path: Path) -> None:
    sr = attach(tmp_path)
    disk = sr.create(CreateVdi(new_uuid(), 1 << 43)).location
    sr.snapshot(disk, new_uuid())
    assert os.listdir(tmp_path / SR) == ["journal.jsonl"]
    backend = sr.attach(disk, False)
    assert isinstance(backend, FileBackend)
    assert os.stat(backend.path).st_size == 1 << 43
    assert sr.find(disk).physical_utilisation == 0


def test_writing_counts_as_used_space(tmp_path: Path) -> None:
    sr = attach(tmp_path)
    disk = new_disk(sr)
    write(sr, disk, 0, os.urandom(65536))
    assert sr.find(disk).physical_utilisation == 65536 == sr.scan().used


def test_fault_of_the_sr_happens_as_often_as_asked(tmp_path: Path) -> None:
    sr = attach(tmp_path, fault_create="44:2")
    for _ in range(2):
        with pytest.raises(SrFull):
            new_disk(sr)
    new_disk(sr)
    assert len(sr.scan().vdis) == 1


def test_fault_of_one_disk_leaves_others_alone(tmp_path: Path) -> None:
    sr = attach(tmp_path)
    bad, good = new_disk(sr, fault_attach="24"), new_disk(sr)
    sr.attach(good, False)
    with pytest.raises(VdiInUse):
        sr.attach(bad, False)


def test_any_number_can_be_asked_for(tmp_path: Path) -> None:
    sr = attach(tmp_path, fault_snapshot="82")
    disk = new_disk(sr)
    with pytest.raises(StorageFailure) as caught:
        sr.snapshot(disk, new_uuid())
    assert (caught.value.code, caught.value.params[0]) == ("SR_BACKEND_FAILURE_82", "")


def test_unreachable_sr_says_so(tmp_path: Path) -> None:
    sr = attach(tmp_path, fault_scan="47")
    with pytest.raises(SrUnavailable):
        sr.scan()
    assert sr.stat().health is SrHealth.UNREACHABLE


@pytest.mark.parametrize("value", ["", "x", "-1", "1:", "1:x", "²", "1:2:3"])
def test_fault_in_another_form_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidConfiguration):
        attach(tmp_path, fault_scan=value)


def test_size_of_the_sr_is_the_end_of_it(tmp_path: Path) -> None:
    sr = attach(tmp_path, size=str(2 * MIB))
    new_disk(sr)
    disk = new_disk(sr)
    with pytest.raises(SrFull) as caught:
        new_disk(sr)
    assert (caught.value.requested, caught.value.available) == (MIB, 0)
    with pytest.raises(SrFull):
        sr.resize(disk, 2 * MIB)


def test_killed_process_loses_nothing_but_a_line_cut_short(tmp_path: Path) -> None:
    sr = attach(tmp_path)
    disk = new_disk(sr)
    write(sr, disk, 0, b"x" * 512)
    gone = new_disk(sr)
    sr.destroy(gone)
    sr.update_sr("name", "text")
    with (tmp_path / SR / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"disk": {"uuid": "half')
    (tmp_path / SR / f"{new_uuid()}.raw").write_bytes(b"left behind")
    again = attach(tmp_path)
    assert [vdi.location for vdi in again.scan().vdis] == [disk]
    assert content(again, disk)[:512] == b"x" * 512
    assert again.stat().name_label == "name"
    assert sorted(os.listdir(tmp_path / SR)) == sorted([f"{disk}.raw", "journal.jsonl"])
    later = new_disk(again)
    assert later in {vdi.location for vdi in attach(tmp_path).scan().vdis}


def test_probe_lists_simulated_srs(tmp_path: Path) -> None:
    attach(tmp_path)
    assert SR in DummyDriver(str(tmp_path)).probe({}, {})
    assert DummyDriver(str(tmp_path / "none")).probe_ext({}, {}) == ()


def test_figures_follow_what_is_written_behind_the_drivers_back(tmp_path: Path) -> None:
    sr = attach(tmp_path)
    disk, other = new_disk(sr), new_disk(sr)
    backend = sr.attach(disk, False)
    assert isinstance(backend, FileBackend)
    total = sr.stat().total
    for written in (1, 2, 3):
        with open(backend.path, "r+b") as file:
            file.write(os.urandom(written * 65536))
        assert total - sr.stat().free == written * 65536
    with open(backend.path, "r+b") as file:
        file.write(os.urandom(4 * 65536))
    sr.detach(disk)
    assert total - sr.stat().free == 4 * 65536
    clone = sr.clone(disk, new_uuid()).location
    assert total - sr.stat().free == sr.scan().used == 8 * 65536
    again = attach(tmp_path)
    assert total - again.stat().free == 8 * 65536
    for gone in (disk, clone, other):
        again.destroy(gone)
    assert (again.stat().free, again.scan().used, again.scan().virtual) == (total, 0, 0)


def test_asking_for_figures_looks_at_no_disk_that_is_not_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sr = attach(tmp_path)
    for _ in range(5):
        write(sr, new_disk(sr), 0, b"x" * 512)
    used = sr.stat().used
    looked: list[str] = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, *rest, **named: looked.append(str(path)) or real(path, *rest, **named))
    assert sr.stat().used == used > 0
    assert not [path for path in looked if path.endswith(".raw")]
