import os

import pytest

from xapi.storage.vhd.chain import BlockState, Chain, RawDisk, open_parent
from xapi.storage.vhd.create import create_child, create_dynamic, create_fixed
from xapi.storage.vhd.errors import (
    ChainLoop,
    ChainTooDeep,
    CorruptFooter,
    InvalidSize,
    NotVhd,
    OutOfRange,
    ParentMismatch,
    ParentMissing,
    ReadOnly,
    Unaligned,
)
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.modify import set_parent
from xapi.storage.vhd.parents import Parent, describe_parent

from .disks import Store

BLOCK = 32768


def describe(store, path):
    vhd = Vhd.open(store.open(path))
    return Parent(path, vhd.size, vhd.footer.unique_id)


@pytest.fixture
def store():
    """base <- middle <- leaf, each with a block of its own."""
    store = Store()
    base = create_dynamic(store.create("/sr/base"), 4 * BLOCK, block_size=BLOCK)
    base.write(0, b"b" * 2 * BLOCK)
    middle = create_child(store.create("/sr/middle"), describe(store, "/sr/base"), block_size=BLOCK)
    middle.write(BLOCK, b"m" * BLOCK)
    leaf = create_child(store.create("/sr/leaf"), describe(store, "/sr/middle"), size=6 * BLOCK, block_size=BLOCK)
    leaf.write(BLOCK + 512, b"l" * 512)
    return store


def test_each_sector_comes_from_the_first_link_that_has_it(store):
    chain = store.chain("/sr/leaf")
    expected = b"b" * BLOCK + b"m" * 512 + b"l" * 512 + b"m" * (BLOCK - 1024) + bytes(4 * BLOCK)
    assert chain.read(0, chain.size) == expected
    for offset, length in ((0, 0), (0, 1), (BLOCK - 1, 2), (BLOCK + 500, 600), (6 * BLOCK - 3, 3), (7, 5 * BLOCK)):
        assert chain.read(offset, length) == expected[offset : offset + length]


def test_extents_say_where_the_bytes_lie(store):
    chain = store.chain("/sr/leaf")
    extents = list(chain.extents())
    assert [(extent.length, extent.depth, extent.file is None) for extent in extents] == [
        (BLOCK, 2, False),
        (512, 1, False),
        (512, 0, False),
        (BLOCK - 1024, 1, False),
        (4 * BLOCK, 3, True),
    ]
    for extent in extents:
        if extent.file is not None:
            data = extent.file.pread(extent.length, extent.file_offset)
            assert data == chain.read(extent.offset, extent.length)


def test_block_status_joins_neighbours(store):
    chain = store.chain("/sr/leaf")
    assert list(chain.block_status()) == [(0, 2 * BLOCK, BlockState.DATA), (2 * BLOCK, 4 * BLOCK, BlockState.ZERO)]
    assert list(chain.block_status(BLOCK, BLOCK + 512)) == [
        (BLOCK, BLOCK, BlockState.DATA),
        (2 * BLOCK, 512, BlockState.ZERO),
    ]
    assert list(chain.block_status(5, 0)) == []


def test_parents_are_opened_when_a_read_comes_to_them(store):
    opened = []

    def opener(path, writable):
        opened.append((path, writable))
        return store.open(path, writable)

    chain = Chain.open("/sr/leaf", writable=True, opener=opener)
    chain.write(0, b"x" * BLOCK)
    assert chain.read(0, BLOCK) == b"x" * BLOCK
    assert opened == [("/sr/leaf", True)]
    chain.read(BLOCK, 512)
    assert opened[1:] == [("/sr/middle", False)]
    chain.read(2 * BLOCK, 512)
    assert opened[2:] == [("/sr/base", False)]
    chain.read(0, chain.size)
    assert len(opened) == 3


def test_changed_runs_are_those_of_the_links_above(store):
    chain = store.chain("/sr/leaf")
    assert list(chain.changed_runs(0)) == []
    assert list(chain.changed_runs(1)) == [(BLOCK + 512, 512)]
    assert list(chain.changed_runs(2)) == [(BLOCK, BLOCK)]
    assert list(chain.changed_runs(3)) == [(0, 2 * BLOCK)]
    assert chain.changed_blocks(1, granule=512 * 32).hex() == "2000"
    assert chain.changed_blocks(2, granule=512 * 32).hex() == "3000"
    assert chain.changed_blocks(3, granule=BLOCK).hex() == "c0"
    assert chain.changed_blocks(0, granule=BLOCK).hex() == "00"


def test_changed_runs_do_not_need_the_base(store):
    del store.files["/sr/base"]
    assert list(store.chain("/sr/leaf").changed_runs(2)) == [(BLOCK, BLOCK)]


def test_zeros_are_written_only_where_they_are_not_read_already(store):
    chain = store.chain("/sr/leaf", writable=True)
    before = store.writes
    chain.write_zeros(2 * BLOCK, 4 * BLOCK)
    assert store.writes == before
    chain.write_zeros(512, 2 * BLOCK)
    assert chain.read(0, 3 * BLOCK) == b"b" * 512 + bytes(2 * BLOCK) + b"m" * 0 + bytes(BLOCK - 512)
    with pytest.raises(Unaligned):
        chain.write_zeros(1, 512)


def test_missing_parents_are_named_with_what_was_tried(store):
    del store.files["/sr/middle"]
    with pytest.raises(ParentMissing) as caught:
        store.chain("/sr/leaf").read(0, 1)
    assert caught.value.path == "/sr/leaf"
    assert caught.value.candidates == ("/sr/middle",)


def test_a_parent_with_another_uuid_is_refused(store):
    create_dynamic(store.create("/sr/middle"), 4 * BLOCK, block_size=BLOCK)
    with pytest.raises(ParentMismatch) as caught:
        store.chain("/sr/leaf").read(0, 1)
    assert caught.value.parent == "/sr/middle"


def test_what_is_wrong_with_a_parent_is_said_of_the_parent(store):
    store.files["/sr/middle"][:] = b"\0" * 5000
    with pytest.raises(NotVhd) as caught:
        store.chain("/sr/leaf").read(0, 1)
    assert caught.value.path == "/sr/middle"


def test_a_parent_that_was_moved_with_its_child_is_found(store):
    for path in ("/sr/base", "/sr/middle", "/sr/leaf"):
        store.files[path.replace("/sr/", "/elsewhere/")] = store.files.pop(path)
    assert store.chain("/elsewhere/leaf").read(BLOCK, 1) == b"m"


def test_loops_are_found(store):
    base = create_child(store.create("/sr/base"), describe(store, "/sr/leaf"), block_size=BLOCK)
    middle = Vhd.open(store.open("/sr/middle"), writable=True)
    set_parent(middle, Parent("/sr/base", base.size, base.footer.unique_id))
    with pytest.raises(ChainLoop):
        store.chain("/sr/leaf").read(3 * BLOCK, 1)
    with pytest.raises(ChainLoop):
        store.chain("/sr/leaf").open_all()


def test_a_disk_that_is_its_own_parent(store):
    leaf = Vhd.open(store.open("/sr/leaf"), writable=True)
    set_parent(leaf, describe(store, "/sr/leaf"))
    with pytest.raises(ChainLoop):
        store.chain("/sr/leaf").read(0, 1)


def test_a_copy_of_a_link_below_itself_is_a_loop(store):
    store.files["/sr/base"] = bytearray(store.files["/sr/leaf"])
    middle = Vhd.open(store.open("/sr/middle"), writable=True)
    set_parent(middle, describe(store, "/sr/base"))
    with pytest.raises(ChainLoop):
        store.chain("/sr/leaf").open_all()


def test_chains_without_end_are_given_up():
    store = Store()
    create_dynamic(store.create("/sr/0"), BLOCK, block_size=BLOCK)
    for number in range(1, 258):
        create_child(store.create(f"/sr/{number}"), describe(store, f"/sr/{number - 1}"), block_size=BLOCK)
    assert store.chain("/sr/255").read(0, 1) == b"\0"
    with pytest.raises(ChainTooDeep):
        store.chain("/sr/257").read(0, 1)


def test_children_are_not_smaller_than_their_parent(store):
    with pytest.raises(InvalidSize):
        create_child(store.create("/sr/small"), describe(store, "/sr/leaf"), size=BLOCK)


def test_a_grandparent_does_not_show_beyond_a_smaller_parent():
    store = Store()
    base = create_dynamic(store.create("/sr/base"), 8 * BLOCK, block_size=BLOCK)
    base.write(0, b"b" * 8 * BLOCK)
    small = Parent("/sr/base", 2 * BLOCK, base.footer.unique_id)
    create_child(store.create("/sr/middle"), small, block_size=BLOCK)
    create_child(store.create("/sr/leaf"), describe(store, "/sr/middle"), size=8 * BLOCK, block_size=BLOCK)
    assert store.chain("/sr/leaf").read(0, 8 * BLOCK) == b"b" * 2 * BLOCK + bytes(6 * BLOCK)


def test_a_raw_disk_by_itself():
    store = Store()
    store.create("/sr/raw").pwrite(b"r" * BLOCK, 0)
    chain = store.chain("/sr/raw", writable=True, raw=True)
    chain.write(512, b"w" * 512)
    assert chain.read(0, 2048) == b"r" * 512 + b"w" * 512 + b"r" * 1024
    with pytest.raises(OutOfRange):
        chain.write(BLOCK, bytes(512))
    with pytest.raises(Unaligned):
        chain.write(0, b"x")
    with pytest.raises(ReadOnly):
        store.chain("/sr/raw", raw=True).write(0, bytes(512))


def test_a_raw_parent_by_its_name(store):
    store.create("/sr/raw").pwrite(b"r" * BLOCK, 0)
    create_child(store.create("/sr/child"), Parent("/sr/raw", BLOCK), block_size=BLOCK)
    vhd = Vhd.open(store.open("/sr/child"))
    assert vhd.parent_is_raw
    assert isinstance(open_parent(vhd, store.open), RawDisk)
    assert store.chain("/sr/child").read(0, BLOCK) == b"r" * BLOCK


def test_real_files_with_holes(tmp_path):
    raw = tmp_path / "raw image"
    with open(raw, "wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"r" * 4096)
    parent = describe_parent(str(raw), raw=True)
    create_child(RealFile.create(str(tmp_path / "ch\u00efld.vhd")), parent).close()
    with Chain.open(str(tmp_path / "ch\u00efld.vhd"), writable=True) as chain:
        status = list(chain.block_status())
        assert (status[0][1], status[0][2]) == (4 << 20, BlockState.ZERO)
        assert status[1][2] is BlockState.DATA
        assert chain.read((4 << 20) - 1, 3) == b"\0rr"
        chain.write(0, b"n" * 512)
        chain.flush()
        assert isinstance(next(chain.extents()).file, RealFile)
    with Chain.open(str(tmp_path / "ch\u00efld.vhd")) as chain:
        assert chain.read(0, 1024) == b"n" * 512 + bytes(512)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("raw image", "ch\u00efld.vhd"):
        os.rename(tmp_path / name, moved / name)
    with Chain.open(str(moved / "ch\u00efld.vhd")) as chain:
        assert chain.read(4 << 20, 1) == b"r"


def test_a_failed_open_closes_the_file(tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(b"conectix" + bytes(600))
    create_fixed(RealFile.create(str(tmp_path / "good")), 1 << 20).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises((NotVhd, CorruptFooter)):
            Chain.open(str(bad))
    assert len(os.listdir("/proc/self/fd")) == before
