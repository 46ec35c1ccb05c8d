import os
import random

import pytest

from xapi.storage.vhd.chain import Chain, RawDisk
from xapi.storage.vhd.check import check
from xapi.storage.vhd.copying import copy_disk
from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.errors import InvalidSize
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import describe_parent

MIB = 1 << 20


@pytest.fixture
def leaf(tmp_path):
    """A child of 32 MiB with data here and there, and in its parent."""
    base = create_dynamic(RealFile.create(str(tmp_path / "base.vhd")), 32 * MIB)
    random_bytes = random.Random(7).randbytes
    base.write(3 * MIB, random_bytes(3 * MIB))
    base.close()
    parent = describe_parent(str(tmp_path / "base.vhd"))
    child = create_child(RealFile.create(str(tmp_path / "leaf.vhd")), parent)
    child.write(5 * MIB - 512, random_bytes(1024))
    child.write(20 * MIB, bytes(2 * MIB))
    child.close()
    return str(tmp_path / "leaf.vhd")


def test_to_a_raw_file_the_holes_stay(leaf, tmp_path):
    target = RealFile.create(str(tmp_path / "raw"))
    target.truncate(32 * MIB)
    with Chain.open(leaf) as chain:
        reports = []
        copied = copy_disk(chain, RawDisk(target, writable=True), lambda done, total: reports.append(done))
        assert copied == 5 * MIB
        assert reports == sorted(reports)
        assert (tmp_path / "raw").read_bytes() == chain.read(0, chain.size)
    assert os.stat(tmp_path / "raw").st_blocks * 512 <= 6 * MIB
    target.close()


def test_to_a_vhd_blocks_of_zeros_are_left_out(leaf, tmp_path):
    target = create_dynamic(RealFile.create(str(tmp_path / "flat.vhd")), 34 * MIB)
    with Chain.open(leaf) as chain:
        copy_disk(chain, target)
        assert target.table.count() == 2
        target.close()
        with Chain.open(str(tmp_path / "flat.vhd")) as flat:
            assert flat.read(0, 32 * MIB) == chain.read(0, chain.size)
    file = RealFile.open(str(tmp_path / "flat.vhd"))
    assert check(file) == []
    assert Vhd.open(file).batmap.test(2)
    file.close()


def test_a_target_that_is_too_small(leaf, tmp_path):
    target = create_dynamic(RealFile.create(str(tmp_path / "small.vhd")), 2 * MIB)
    with Chain.open(leaf) as chain, pytest.raises(InvalidSize):
        copy_disk(chain, target)
    target.close()
