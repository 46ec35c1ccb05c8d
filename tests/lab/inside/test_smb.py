"""CD images on an SMB server: users, passwords, versions, and a server that goes away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.inside.samba import KNOWN, PASSWORD, Samba
from tests.lab.inside.shell import command_lines, eventually, sh
from xapi.storage.contract import MIB, new_uuid, refuses, write
from xapi.storage.errors import SrUnavailable, StorageFailure, VdiReadOnly
from xapi.storage.existing_disks import ExistingDisksSr
from xapi.storage.interface import CreateVdi, FileBackend, SrHealth
from xapi.storage.iso.driver import MOUNT_FAILED, IsoDriver
from xapi.storage.mounts import mount_table

IMAGES = {"location": "\\\\127.0.0.1\\images", "type": "cifs"}
NAMES = {"debian.iso", "naïve ☃.iso", "UPPER.ISO"}


@pytest.fixture(scope="module")
def server(smb: Samba) -> Samba:
    for name in NAMES:
        (smb.images / name).write_bytes(name.encode() * 1024)
    (smb.images / "notes.txt").write_text("mine")
    (smb.images / "below").mkdir()
    (smb.images / "below" / "inner.iso").write_bytes(b"i" * 2048)
    (smb.images / "leak.iso").symlink_to("/etc/passwd")
    return smb


@pytest.fixture
def driver(server: Samba, tmp_path: Path) -> Iterator[IsoDriver]:
    yield IsoDriver(str(tmp_path / "mounts"))
    left = [entry.target for entry in mount_table() if entry.kind == "cifs"]
    for target in left:  # of a test that has failed
        sh("umount", "--lazy", target)
    assert left == []


def attached(driver: IsoDriver, config: dict[str, str]) -> ExistingDisksSr:
    uuid = new_uuid()
    driver.create(uuid, config, 0, "iso", {})
    return driver.attach(uuid, config, {})


def test_images_on_a_share_are_disks_that_are_only_read(driver: IsoDriver, server: Samba) -> None:
    sr = attached(driver, {**IMAGES, **KNOWN})
    assert [entry.source for entry in mount_table() if entry.kind == "cifs"] == ["//127.0.0.1/images"]
    found = {vdi.location: vdi for vdi in sr.scan().vdis}
    assert found.keys() == NAMES
    assert all(vdi.read_only for vdi in found.values())
    assert found["debian.iso"].virtual_size == (server.images / "debian.iso").stat().st_size
    assert sr.stat().total > 0
    refuses(VdiReadOnly, lambda: sr.attach("debian.iso", False))
    backend = sr.attach("debian.iso", True)
    assert isinstance(backend, FileBackend)
    assert Path(backend.path).read_bytes() == (server.images / "debian.iso").read_bytes()
    refuses(StorageFailure, sr.detach_sr)
    sr.detach("debian.iso")
    with sr.open_for_reading("naïve ☃.iso") as disk:
        assert disk.pread(0, 16) == "naïve ☃.iso".encode() + b"na"
    sr.detach_sr()


def test_an_image_can_be_made_on_a_share_and_goes(driver: IsoDriver, server: Samba) -> None:
    sr = attached(driver, {**IMAGES, **KNOWN})
    made = sr.create(CreateVdi(new_uuid(), MIB, sm_config={"path": "uploaded.iso"})).location
    write(sr, made, 4096, b"sent" * 128)
    assert (server.images / made).read_bytes()[4096 : 4096 + 512] == b"sent" * 128
    sr.destroy(made)
    assert {vdi.location for vdi in sr.scan().vdis} == NAMES
    sr.detach_sr()


def test_a_share_that_may_only_be_read_refuses_to_have_an_image_made(driver: IsoDriver) -> None:
    sr = attached(driver, {"location": "//127.0.0.1/sealed", **KNOWN})
    assert {vdi.location for vdi in sr.scan().vdis} == NAMES
    refuses(StorageFailure, lambda: sr.create(CreateVdi(new_uuid(), MIB)))
    sr.detach_sr()


def test_a_directory_below_a_share(driver: IsoDriver) -> None:
    sr = attached(driver, {**IMAGES, **KNOWN, "iso_path": "/below"})
    assert [vdi.location for vdi in sr.scan().vdis] == ["inner.iso"]
    sr.detach_sr()


def test_who_names_no_user_is_a_guest(driver: IsoDriver) -> None:
    sr = attached(driver, {"location": "//127.0.0.1/open"})
    assert {vdi.location for vdi in sr.scan().vdis} == NAMES
    sr.detach_sr()


@pytest.mark.parametrize(
    "wrong",
    [
        {**KNOWN, "cifspassword": "another"},
        {**KNOWN, "cifspassword": ""},
        {**KNOWN, "username": "nobody-here"},
        {**KNOWN, "location": "\\\\127.0.0.1\\nowhere"},
        {},
    ],
    ids=["password", "no password", "user", "share", "guest"],
)
def test_what_is_wrong_is_told_without_the_password(driver: IsoDriver, wrong: dict[str, str]) -> None:
    failure = refuses(SrUnavailable, lambda: attached(driver, {**IMAGES, **wrong}))
    assert failure.number == MOUNT_FAILED
    for password in (PASSWORD, "another"):
        assert not any(password in str(each) for each in (failure, *failure.params))


@pytest.mark.parametrize("version", ["2.0", "2.1", "3.0", "3.1.1"])
def test_the_version_is_the_one_that_was_asked_for(driver: IsoDriver, version: str) -> None:
    sr = attached(driver, {**IMAGES, **KNOWN, "vers": version})
    (line,) = (line for line in Path("/proc/self/mounts").read_text().splitlines() if " cifs " in line)
    assert f"vers={version}" in line.split()[3].split(",")
    assert len(sr.scan().vdis) == len(NAMES)
    sr.detach_sr()


def test_a_version_that_the_server_does_not_speak_is_refused(driver: IsoDriver, server: Samba) -> None:
    assert refuses(SrUnavailable, lambda: attached(driver, {**IMAGES, **KNOWN, "vers": "1.0"})).number == MOUNT_FAILED
    server.stop()
    server.start(server_min_protocol="SMB3_00")
    try:
        refuses(SrUnavailable, lambda: attached(driver, {**IMAGES, **KNOWN, "vers": "2.1"}))
        attached(driver, {**IMAGES, **KNOWN, "vers": "3.1.1"}).detach_sr()
    finally:
        server.stop()
        server.start()


def test_nobody_sees_the_password_in_the_list_of_processes(driver: IsoDriver) -> None:
    with command_lines() as seen:
        attached(driver, {**IMAGES, **KNOWN}).detach_sr()
    assert any(b"mount.cifs" in each or b"//127.0.0.1/images" in each for each in seen)
    assert not any(PASSWORD.encode() in each or b"lab,,pass" in each for each in seen)
    assert PASSWORD not in Path("/proc/self/mounts").read_text()


def test_a_server_that_goes_is_told_and_its_images_are_there_again_when_it_is_back(
    driver: IsoDriver, server: Samba
) -> None:
    sr = attached(driver, {**IMAGES, **KNOWN})
    server.stop()
    try:
        assert sr.stat().health is SrHealth.UNREACHABLE
        refuses(StorageFailure, sr.scan)
        refuses(StorageFailure, lambda: sr.attach("debian.iso", True))
        refuses(SrUnavailable, lambda: attached(driver, {**IMAGES, **KNOWN}))
    finally:
        server.start()
    eventually(lambda: sr.stat().health is SrHealth.HEALTHY)
    assert {vdi.location for vdi in sr.scan().vdis} == NAMES
    with sr.open_for_reading("debian.iso") as disk:
        assert disk.pread(0, 10) == b"debian.iso"
    sr.detach_sr()
