"""What other programs make of these files, where there are any."""

import random
import shutil
import subprocess

import pytest

from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.check import check
from xapi.storage.vhd.create import create_dynamic, create_fixed
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import DiskType

QEMU_IMG = shutil.which("qemu-img")
MIB = 1 << 20
SIZE = 12 * MIB

pytestmark = pytest.mark.skipif(QEMU_IMG is None, reason="qemu-img is not installed (Debian: qemu-utils)")


def qemu_img(*arguments):
    subprocess.run([str(QEMU_IMG), *arguments], check=True, capture_output=True, timeout=60)


def content():
    data = bytearray(SIZE)
    data[MIB : 3 * MIB] = random.Random(3).randbytes(2 * MIB)
    data[7 * MIB + 512 : 7 * MIB + 1024] = b"x" * 512
    return bytes(data)


@pytest.mark.parametrize("create", [create_dynamic, create_fixed])
def test_qemu_reads_what_we_write(tmp_path, create):
    vhd = create(RealFile.create(str(tmp_path / "ours.vhd")), SIZE)
    data = content()
    vhd.write(MIB, data[MIB : 3 * MIB])
    vhd.write(7 * MIB + 512, data[7 * MIB + 512 : 7 * MIB + 1024])
    vhd.close()
    qemu_img("convert", "-f", "vpc", "-O", "raw", str(tmp_path / "ours.vhd"), str(tmp_path / "raw"))
    assert (tmp_path / "raw").read_bytes() == data


@pytest.mark.parametrize("subformat", ["dynamic", "fixed"])
def test_we_read_what_qemu_writes(tmp_path, subformat):
    (tmp_path / "raw").write_bytes(content())
    options = f"subformat={subformat},force_size=on"
    qemu_img("convert", "-f", "raw", "-O", "vpc", "-o", options, str(tmp_path / "raw"), str(tmp_path / "theirs.vhd"))
    file = RealFile.open(str(tmp_path / "theirs.vhd"), writable=True)
    vhd = Vhd.open(file, writable=True)
    assert vhd.disk_type is (DiskType.DYNAMIC if subformat == "dynamic" else DiskType.FIXED)
    with Chain(vhd) as chain:
        assert chain.read(0, SIZE) == content()
        chain.write(10 * MIB, b"w" * 512)
        chain.flush()
        # With force_size, qemu records the largest geometry there is, which vhd-util's check has always reported.
        assert [problem for problem in check(file) if not problem.endswith("geometry too large")] == []
    qemu_img("convert", "-f", "vpc", "-O", "raw", str(tmp_path / "theirs.vhd"), str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes()[10 * MIB :] == b"w" * 512 + bytes(2 * MIB - 512)
