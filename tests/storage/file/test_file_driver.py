import errno
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from xapi.storage.contract import CHECKS, MIB, Subject, content, new_uuid, write
from xapi.storage.errors import DataDamaged
from xapi.storage.file.directory import Directory
from xapi.storage.file.driver import ExtDriver, FileDriver
from xapi.storage.file.repository import FileSr
from xapi.storage.interface import CreateVdi, InvalidConfiguration, SrInUse, SrUnavailable, StorageFailure
from xapi.storage.mounts import SystemMounter, mount_table
from xapi.system.command import CommandFailed, run

SR = "5a000000-0000-4000-8000-000000000007"


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> None:
    image = tmp_path_factory.mktemp("loops") / "image"
    with image.open("wb") as file:
        file.truncate(16 * MIB)
    try:
        run(["mkfs.ext4", "-F", "-q", "--", str(image)])
        mounter = SystemMounter()
        mounter.mount("ext4", str(image), str(image.parent / "mounted"), ("loop",))
        mounter.unmount(str(image.parent / "mounted"))
    except CommandFailed as error:
        pytest.skip(f"needs to mount images: {error}")


@pytest.fixture
def image(loops: None, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "device.img"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    yield path
    for entry in mount_table():
        if entry.target.startswith(str(tmp_path)):
            SystemMounter().unmount(entry.target)


@pytest.fixture
def loop(image: Path) -> Iterator[str]:
    """The image as a block device."""
    device = run(["losetup", "-f", "--show", str(image)]).text.strip()
    yield device
    for entry in mount_table():
        if entry.source == device:
            SystemMounter().unmount(entry.target)
    run(["losetup", "-d", device])


every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@pytest.mark.slow
@every_check
def test_ext_in_an_image_file_satisfies(check, image: Path, tmp_path: Path) -> None:
    check(Subject(ExtDriver(str(tmp_path / "mounts")), {"device": str(image)}))


@pytest.mark.slow
@every_check
def test_ext_on_a_loop_device_satisfies(check, loop: str, tmp_path: Path) -> None:
    check(Subject(ExtDriver(str(tmp_path / "mounts")), {"device": loop}))


@pytest.mark.slow
@every_check
@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "xfs", "btrfs"])
def test_file_satisfies_on(check, kind: str, loop: str, tmp_path: Path) -> None:
    target = tmp_path / "mounted"
    target.mkdir()
    try:
        if kind != "tmpfs":
            run([f"mkfs.{kind}", *(["-q"] if kind != "btrfs" else []), loop])
        source = loop if kind != "tmpfs" else "none"
        run(["mount", "-t", kind, *(["-o", "size=1g"] if kind == "tmpfs" else []), source, str(target)])
    except CommandFailed as error:
        package = {"xfs": "xfsprogs", "btrfs": "btrfs-progs"}.get(kind, "e2fsprogs")
        pytest.skip(f"needs to make and mount {kind} (Debian: {package}): {error}")
    check(Subject(FileDriver(), {"location": str(target / "sr")}))


def test_ext_is_mounted_while_attached(image: Path, tmp_path: Path) -> None:
    driver = ExtDriver(str(tmp_path / "mounts"))
    driver.create(SR, {"device": str(image)}, 0, "user", {})
    (found,) = driver.probe_ext({"device": str(image)}, {})
    assert found.sr is not None
    assert found.sr.uuid == SR
    assert SR in driver.probe({"device": str(image)}, {})
    sr = driver.attach(SR, {"device": str(image)}, {})
    again = driver.attach(SR, {"device": str(image)}, {})  # a toolstack that was restarted
    assert again.path == sr.path == str(tmp_path / "mounts" / SR)
    disk = sr.create(CreateVdi(new_uuid(), 4 * MIB)).location
    assert again.find(disk).virtual_size == 4 * MIB
    loop = next(entry.source for entry in mount_table() if SR in entry.target)
    with pytest.raises(SrInUse):
        driver.create(new_uuid(), {"device": loop}, 0, "user", {})
    sr.detach_sr()
    assert not SystemMounter().is_mounted(str(tmp_path / "mounts" / SR))
    assert not (tmp_path / "mounts" / SR).exists()


def test_unmounted_behind_its_back_is_unavailable(image: Path, tmp_path: Path) -> None:
    driver = ExtDriver(str(tmp_path / "mounts"))
    driver.create(SR, {"device": str(image)}, 0, "user", {})
    sr = driver.attach(SR, {"device": str(image)}, {})
    run(["umount", sr.path])
    with pytest.raises(SrUnavailable):
        sr.create(CreateVdi(new_uuid(), MIB))
    with pytest.raises(SrUnavailable):
        sr.scan()
    assert os.listdir(sr.path) == []
    sr.detach_sr()


@pytest.mark.parametrize(
    ("device", "number"),
    [("", 90), ("sda", 91), ("/dev/null", 91), ("/no/such/device", 91), ("/dev/../etc/passwd", 91)],
)
def test_device_that_is_none_is_refused(tmp_path: Path, device: str, number: int) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        ExtDriver(str(tmp_path)).create(SR, {"device": device}, 0, "user", {})
    assert caught.value.number == number


def test_image_without_a_file_system_cannot_be_attached(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(MIB))
    with pytest.raises(SrUnavailable) as caught:
        ExtDriver(str(tmp_path / "mounts")).attach(SR, {"device": str(tmp_path / "image")}, {})
    assert caught.value.number == 52
    with pytest.raises(StorageFailure):
        ExtDriver(str(tmp_path / "mounts")).attach("../x", {"device": str(tmp_path / "image")}, {})


def shared_sr(path: Path) -> FileSr:
    return FileSr(Directory(str(path), SR), "nfs", {}, shared=True)


def test_hosts_that_share_a_directory_see_what_each_other_does(tmp_path: Path) -> None:
    FileDriver().create(SR, {"location": str(tmp_path / "sr")}, 0, "user", {})
    one, other = shared_sr(tmp_path / "sr"), shared_sr(tmp_path / "sr")
    disk = one.create(CreateVdi(new_uuid(), 2 * MIB)).location
    write(other, disk, 0, b"x" * 512)
    clone = one.clone(disk, new_uuid()).location
    second = other.clone(disk, new_uuid()).location
    one.destroy(disk)
    one.destroy(clone)
    assert content(other, second)[:512] == b"x" * 512
    assert content(one, second)[:512] == b"x" * 512


def test_processes_that_share_a_directory_wait_for_one_another(tmp_path: Path) -> None:
    path = tmp_path / "sr"
    FileDriver().create(SR, {"location": str(path)}, 0, "user", {})
    sr = shared_sr(path)
    disk = sr.create(CreateVdi(new_uuid(), 2 * MIB)).location
    write(sr, disk, 0, b"x" * 512)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                mine = shared_sr(path)
                for _ in range(10):
                    clone = mine.clone(disk, str(uuid.uuid4())).location
                    write(mine, clone, 0, b"y" * 512)
                    mine.snapshot(clone, str(uuid.uuid4()))
                    mine.destroy(clone)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    found = [vdi for vdi in sr.scan().vdis if vdi.managed]
    assert len(found) == 31
    assert not any(vdi.missing for vdi in found)
    assert all(content(sr, vdi.location)[:512] == (b"x" if vdi.location == disk else b"y") * 512 for vdi in found)


def test_threads_can_use_one_handle(tmp_path: Path) -> None:
    FileDriver().create(SR, {"location": str(tmp_path / "sr")}, 0, "user", {})
    sr = FileDriver().attach(SR, {"location": str(tmp_path / "sr")}, {})
    disk = sr.create(CreateVdi(new_uuid(), 2 * MIB)).location
    write(sr, disk, 0, b"x" * 512)
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(10):
                clone = sr.clone(disk, new_uuid()).location
                sr.attach(clone, False)
                sr.scan()
                sr.detach(clone)
                assert content(sr, clone)[:512] == b"x" * 512
                sr.destroy(clone)
        except Exception as failure:  # noqa: BLE001 (what it is, is asserted below)
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [vdi.location for vdi in sr.scan().vdis if vdi.managed] == [disk]


def test_a_disk_that_cannot_be_flushed_is_given_up_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, config = FileDriver(), {"location": str(tmp_path / "sr")}
    driver.create(SR, config, 0, "user", {})
    sr = driver.attach(SR, config, {})
    disk = sr.create(CreateVdi(new_uuid(), 8 * MIB)).location
    sr.snapshot(disk, new_uuid())
    before = len(os.listdir("/proc/self/fd"))

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer = sr.open_for_writing(disk)
    writer.pwrite(0, b"x" * 4 * MIB)  # whole blocks, which the batmap is to tell of
    with monkeypatch.context() as patched:
        for name in ("fsync", "fdatasync"):
            patched.setattr(os, name, broken)
        with pytest.raises(DataDamaged):
            writer.close()
    assert len(os.listdir("/proc/self/fd")) == before
    write(sr, disk, 0, b"y" * 512)
    assert content(sr, disk)[:512] == b"y" * 512
    sr.detach_sr()
