"""On a real block device, where the machine lets us have one."""

import os
import shutil
import subprocess

import pytest

from xapi.cli.vhd_util import main
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.errors import NoSpace
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import Footer

MIB = 1 << 20


@pytest.fixture
def device(tmp_path):
    losetup = shutil.which("losetup") or "/usr/sbin/losetup"
    backing = tmp_path / "backing"
    with open(backing, "wb") as file:
        file.truncate(8 * MIB)
    try:
        found = subprocess.run([losetup, "--find", "--show", backing], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no loop device: {error}")
    yield found.stdout.strip()
    subprocess.run([losetup, "--detach", found.stdout.strip()], check=True)


def test_a_vhd_on_a_device(device, capsys):
    file = RealFile.create(device)
    assert file.fixed_size and file.size() == 8 * MIB
    vhd = create_dynamic(file, 64 * MIB)
    vhd.write(10 * MIB, b"d" * 3 * MIB)
    with pytest.raises(NoSpace):
        vhd.write(20 * MIB, b"e" * 3 * MIB)
    vhd.close()
    file = RealFile.open(device)
    assert file.size() == 8 * MIB
    assert Footer.parse(file.pread(512, 8 * MIB - 512), device) == vhd.footer
    with Chain(Vhd.open(file, strict=True)) as chain:
        assert chain.read(9 * MIB, 5 * MIB) == bytes(MIB) + b"d" * 3 * MIB + bytes(MIB)
    assert main(["set", "-n", device, "-f", "hidden", "-v", "1"]) == 0
    assert main(["create", "-n", device, "-s", "9999999"]) == 22
    assert os.path.exists(device)
    assert main(["check", "-n", device]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{device} is valid"
