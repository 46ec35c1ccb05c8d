from pathlib import Path

from xapi.storage.existing_disks import ExistingDisksSr
from xapi.storage.udev.driver import UdevDriver

SR = "5a000000-0000-4000-8000-000000000006"


def attach(path: Path, **sm_config: str) -> ExistingDisksSr:
    return UdevDriver().attach(SR, {"location": str(path)}, sm_config)


def test_devices_come_and_go(tmp_path: Path) -> None:
    sr = attach(tmp_path / "devices")
    assert sr.scan().vdis == ()
    (tmp_path / "devices").mkdir()
    (tmp_path / "stick").write_bytes(b"x" * 4096)
    (tmp_path / "devices" / "sdb").symlink_to(tmp_path / "stick")
    (vdi,) = sr.scan().vdis
    assert (vdi.location, vdi.virtual_size, vdi.read_only) == (str(tmp_path / "devices" / "sdb"), 4096, False)
    assert vdi.sm_config["hotplugged_at"].endswith("Z")
    assert sr.attach(vdi.location, False).path == str(tmp_path / "stick")  # type: ignore[union-attr]
    (tmp_path / "stick").unlink()
    assert sr.scan().vdis == ()


def test_cd_drives_are_read_only(tmp_path: Path) -> None:
    (tmp_path / "sr0").write_bytes(b"x" * 2048)
    (vdi,) = attach(tmp_path, type="cd").scan().vdis
    assert vdi.read_only


def test_character_devices_are_no_disks(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    assert attach(tmp_path).scan().vdis == ()
