from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from xapi.cli.vhd_util import listing
from xapi.cli.vhd_util.program import build_parser
from xapi.storage.errors import StorageFailure
from xapi.storage.lvm.extents import VolumesAtRest
from xapi.storage.lvm.volumes import EXTENT
from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.errors import ReadOnly
from xapi.storage.vhd.file import MemoryFile
from xapi.storage.vhd.parents import Parent
from xapi.system.command import CommandFailed, Completed, run

MIB = 1 << 20
UUID = "5a000000-0000-4000-8000-00000000000b"
GROUP = f"VG_XenStorage-{UUID}"
BASE, LEAF = "VHD-00000000-0000-4000-8000-000000000001", "VHD-00000000-0000-4000-8000-000000000002"
LACKING = (
    "only root may make loop devices"
    if os.geteuid() != 0
    else "LVM is not installed (Debian package lvm2)"
    if shutil.which("vgcreate") is None
    else ""
)


def lvm(argv: Sequence[str]) -> Completed:
    """LVM without the device mapper: it knows where volumes lie, and activates none."""
    return run([argv[0], "--driverloaded", "n", *argv[1:]], timeout=60)


def first_extent(device: str) -> int:
    return int(lvm(["pvs", "--noheadings", "--units", "b", "-o", "pe_start", device]).text.strip().removesuffix("B"))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    if LACKING:
        pytest.skip(LACKING)
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(512 * MIB)
    command = ["losetup", "--find", "--show", str(image)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"no loop device can be made: {found.stderr.strip()}")
    path = found.stdout.strip()
    yield path
    subprocess.run(["losetup", "--detach", path], check=True)


@pytest.fixture
def group(device: str) -> str:
    """Two volumes, the second in two pieces around the first, with VHDs on them and nothing active."""
    lvm(["vgcreate", "--yes", "--metadatasize", "10M", "--physicalextentsize", "4M", GROUP, device])
    for name in (LEAF, BASE):
        lvm(["lvcreate", "--yes", "--name", name, "--size", "4M", "--activate", "n", "--zero", "n", GROUP])
    lvm(["lvresize", "--size", "12M", f"{GROUP}/{LEAF}"])
    base = MemoryFile(bytes(EXTENT), f"/dev/{GROUP}/{BASE}", fixed_size=True)
    made = create_dynamic(base, 2 * MIB, hidden=True)
    leaf = MemoryFile(bytes(3 * EXTENT), f"/dev/{GROUP}/{LEAF}", fixed_size=True)
    create_child(leaf, Parent(base.path, 2 * MIB, made.footer.unique_id)).write(0, b"x" * 2 * MIB)
    start = first_extent(device)
    with open(device, "r+b") as file:
        for place, data in ((0, leaf.data[:EXTENT]), (1, base.data), (2, leaf.data[EXTENT:])):
            file.seek(start + place * EXTENT)
            file.write(data)
    return GROUP


def test_a_volume_in_pieces_is_read_as_one(group: str) -> None:
    found = VolumesAtRest(group, lvm)
    assert [(volume.name, volume.size) for volume in found.volumes] == [(BASE, EXTENT), (LEAF, 3 * EXTENT)]
    file = found.open(f"/dev/{group}/{LEAF}")
    assert file.size() == 3 * EXTENT
    whole = file.pread(file.size() + 5, 0)
    assert len(whole) == 3 * EXTENT
    assert b"x" * 512 in whole
    buffer = bytearray(1024)
    assert file.pread_into(memoryview(buffer), EXTENT - 512) == 1024
    assert buffer == whole[EXTENT - 512 : EXTENT + 512]
    assert whole[-512:-504] == b"conectix"
    with pytest.raises(ReadOnly):
        file.pwrite(b"x", 0)
    file.close()


def test_a_scan_shows_volumes_that_are_not_active(
    group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listing, "VolumesAtRest", lambda name: VolumesAtRest(name, lvm))
    for options in ("-m VHD-* -f -c -p -a -v", "-m VHD-* -c -p -a -v"):
        listing.show(build_parser().parse_args(["scan", *options.split(), "-l", group]))
        assert capsys.readouterr().out.splitlines() == [
            f"vhd={BASE} capacity=2097152 size=4194304 hidden=1 parent=none",
            f"   vhd={LEAF} capacity=2097152 size=12582912 hidden=0 parent={BASE}",
        ]


def test_a_group_that_is_not_there_is_said(device: str) -> None:
    with pytest.raises(StorageFailure):
        VolumesAtRest("no-such-group", lvm)


def test_without_lvm_the_active_volumes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(argv: Sequence[str]) -> Completed:
        raise CommandFailed(argv, 127, b"", "no such program")

    monkeypatch.setattr(listing, "VolumesAtRest", lambda name: VolumesAtRest(name, absent))
    with pytest.raises(FileNotFoundError):
        listing.volumes_of("no-such-group")
