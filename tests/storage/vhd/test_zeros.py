"""Zeros are neither stored nor told of as data, on real files."""

import os

import pytest

from xapi.storage.vhd.chain import BlockState, Chain
from xapi.storage.vhd.check import check
from xapi.storage.vhd.coalesce import coalesce
from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.errors import OutOfRange, ReadOnly, Unaligned
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import describe_parent

from .disks import Store

MIB = 1 << 20
SIZE = 16 * MIB


@pytest.fixture
def base(tmp_path):
    """A disk full of data."""
    path = str(tmp_path / "base.vhd")
    vhd = create_dynamic(RealFile.create(path), SIZE)
    vhd.write(0, b"b" * SIZE)
    vhd.close()
    return path


@pytest.fixture
def leaf(base, tmp_path):
    path = str(tmp_path / "leaf.vhd")
    create_child(RealFile.create(path), describe_parent(base)).close()
    return path


def room(path):
    return os.stat(path).st_blocks * 512


def damage(path):
    file = RealFile.open(path)
    found = check(file)
    file.close()
    return found


def test_zeros_over_a_parents_data_take_no_room(leaf):
    before = room(leaf)
    with Chain.open(leaf, writable=True) as chain:
        chain.write_zeros(MIB + 512, 12 * MIB)
        chain.flush()
        assert chain.read(0, SIZE) == b"b" * (MIB + 512) + bytes(12 * MIB) + b"b" * (3 * MIB - 512)
        states = list(chain.block_status())
    assert room(leaf) < before + 3 * MIB  # the two blocks at the ends are written in part
    assert damage(leaf) == []
    zeros = sum(length for _, length, state in states if state is BlockState.ZERO)
    assert zeros >= 10 * MIB
    with Chain.open(leaf) as chain:
        assert chain.read(0, SIZE) == b"b" * (MIB + 512) + bytes(12 * MIB) + b"b" * (3 * MIB - 512)


def test_zeros_over_the_leafs_own_data_give_its_room_up(base):
    with Chain.open(base, writable=True) as chain:
        chain.write_zeros(512, SIZE - 1024)
        chain.flush()
        assert chain.read(0, SIZE) == b"b" * 512 + bytes(SIZE - 1024) + b"b" * 512
        assert sum(length for _, length, state in chain.block_status() if state is BlockState.DATA) < 64 << 10
        assert [extent.file is None for extent in chain.extents(4096, SIZE - 8192)] == [True]
    assert room(base) < MIB
    assert damage(base) == []


def test_room_is_kept_where_it_is_wanted(base):
    before = room(base)
    with Chain.open(base, writable=True) as chain:
        chain.write_zeros(0, SIZE, keep_room=True)
        chain.flush()
        assert chain.read(0, SIZE) == bytes(SIZE)
    assert room(base) >= before


def test_what_reads_as_zeros_gets_no_block(tmp_path):
    vhd = create_dynamic(RealFile.create(str(tmp_path / "x.vhd")), SIZE)
    vhd.write_zeros(0, SIZE)
    vhd.write_zeros(512, 4 * MIB)
    assert vhd.table.count() == 0
    vhd.close()


def test_a_raw_disk_gets_holes(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(b"r" * SIZE)
    with Chain.open(str(path), writable=True, raw=True) as chain:
        chain.write_zeros(512, SIZE - 512)
        chain.flush()
        assert chain.read(0, SIZE) == b"r" * 512 + bytes(SIZE - 512)
    assert room(path) < MIB


def test_zeros_that_a_child_holds_are_not_stored_in_its_parent(leaf, base):
    with Chain.open(leaf, writable=True) as chain:
        chain.write_zeros(0, 4 * MIB)  # without data
        chain.write(4 * MIB, bytes(4 * MIB))  # as data
        chain.write(8 * MIB, b"l" * MIB)
        chain.flush()
    child = Vhd.open(RealFile.open(leaf))
    parent = Vhd.open(RealFile.open(base, writable=True), writable=True)
    assert coalesce(child, parent) == 9 * MIB
    parent.close()
    child.close()
    with Chain.open(base) as chain:
        assert chain.read(0, SIZE) == bytes(8 * MIB) + b"l" * MIB + b"b" * (7 * MIB)
    assert room(base) <= 9 * MIB
    assert damage(base) == []


def test_on_a_device_zeros_are_written():
    """What lay there before must not be seen."""
    store = Store()
    create_dynamic(store.create("/sr/base"), SIZE).write(0, b"b" * SIZE)
    device = store.create("/sr/leaf", fixed_size=20 * MIB)
    device.pwrite(b"?" * (20 * MIB), 0)
    child = create_child(device, describe_parent("/sr/base", opener=store.open))
    child.write_zeros(0, 4 * MIB)
    assert Chain(child, store.open).read(0, SIZE) == bytes(4 * MIB) + b"b" * (12 * MIB)


def test_nonsense_is_refused(base):
    vhd = Vhd.open(RealFile.open(base, writable=True), writable=True)
    with pytest.raises(Unaligned):
        vhd.write_zeros(1, 512)
    with pytest.raises(OutOfRange):
        vhd.write_zeros(SIZE - 512, 1024)
    vhd.close()
    vhd = Vhd.open(RealFile.open(base))
    with pytest.raises(ReadOnly):
        vhd.write_zeros(0, 512)
    vhd.close()
