from dataclasses import replace

import pytest

from xapi.storage.vhd.check import check, repair
from xapi.storage.vhd.create import create_child, create_dynamic, create_fixed
from xapi.storage.vhd.errors import CorruptBlockTable, NotVhd
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import timestamp
from xapi.storage.vhd.parents import Parent

from .disks import Store

BLOCK = 8192


@pytest.fixture
def vhd():
    made = create_dynamic(Store().create("/sr/disk"), 6 * BLOCK, block_size=BLOCK)
    made.write(0, b"b" * 3 * BLOCK)
    made.flush()
    return made


def with_footer(vhd, **changes):
    vhd.write_footer(replace(vhd.footer, **changes))
    return check(vhd.file)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": 0}, "invalid 'reserved' feature"),
        ({"features": 6}, "invalid extra features"),
        ({"timestamp": timestamp() + 100_000}, "creation time in future"),
        ({"creator_version": 0x00020000}, "unsupported tap creator version"),
        ({"geometry": 0xFFFFFFFF}, "geometry too large"),
        ({"saved_state": 2}, "invalid 'saved' state"),
        ({"hidden": 2}, "invalid 'hidden' state"),
        ({"reserved": b"\1" * 426}, "invalid 'reserved' bits"),
    ],
)
def test_what_is_wrong_with_a_footer_is_said(vhd, changes, reason):
    assert f"primary footer invalid: {reason}" in with_footer(vhd, **changes)


def test_a_good_disk_has_no_problems(vhd):
    assert check(vhd.file) == []
    assert check(create_fixed(Store().create("/sr/f"), BLOCK).file) == []


def test_a_footer_that_hyper_v_took_away_is_forgiven_on_request(vhd):
    vhd.file.pwrite(b"\xc7" * 512, vhd.data_end)
    assert check(vhd.file) != []
    assert check(vhd.file, ignore_missing_footer=True) == []


def test_blocks_that_lie_on_the_footer_or_the_locators(vhd):
    vhd.file.truncate(vhd.data_end)
    vhd.file.pwrite(vhd.footer.pack(), vhd.data_end - 512)
    assert [problem for problem in check(vhd.file) if "clobbers footer" in problem]
    store = Store()
    child = create_child(store.create("/sr/c"), Parent("/sr/p", 6 * BLOCK), block_size=BLOCK)
    child.write(0, b"c" * BLOCK)
    child.write_entries({0: 7})
    child.forget()
    assert [problem for problem in check(child.file) if "clobbers headers" in problem]


def test_a_batmap_that_does_not_match(vhd):
    vhd.batmap.set(5)
    vhd.flush()
    assert check(vhd.file) == ["batmap shows unallocated block 5 full"]
    vhd.batmap.clear(5)
    vhd.write(5 * BLOCK, bytes(512))
    vhd.batmap.set(5)
    vhd.flush()
    assert check(vhd.file) == ["batmap shows block 5 full, its bitmap does not"]


def test_locators_that_name_something_else():
    child = create_child(Store().create("/sr/c"), Parent("/sr/p", 6 * BLOCK), block_size=BLOCK)
    child.file.pwrite(b"file://./q", child.header.locators[0].offset)
    assert check(child.file) == ["parent locator 0 name (q) does not match header name (p)"]


def test_a_dynamic_disk_with_a_parent_name(vhd):
    vhd.file.pwrite(replace(vhd.header, parent_timestamp=1).pack(), 512)
    assert check(vhd.file) == ["header is invalid: non-zero parent timestamp"]


@pytest.mark.parametrize("torn", [b"", b"\xee" * 512, b"\xee" * 300, b"conectix" * 64, b"\0" * 5000])
def test_a_lost_last_footer_is_mended(vhd, torn):
    good = bytes(vhd.file.data)
    del vhd.file.data[-512:]
    vhd.file.data.extend(torn)
    assert check(vhd.file) != []
    repair(vhd.file)
    assert vhd.file.data == good


def test_a_lost_front_footer_is_mended(vhd):
    good = bytes(vhd.file.data)
    vhd.file.data[:512] = bytes(512)
    assert check(vhd.file)[0].startswith("backup footer invalid")
    repair(vhd.file)
    assert vhd.file.data == good


def test_a_torn_batmap_is_mended(vhd):
    vhd.file.pwrite(b"\x80", vhd.batmap.header.offset)
    assert check(vhd.file) == ["batmap is invalid: invalid checksum"]
    repair(vhd.file)
    assert check(vhd.file) == []
    assert [Vhd.open(vhd.file).batmap.test(block) for block in range(4)] == [True, True, True, False]


def test_nothing_is_written_where_nothing_good_is_left(vhd):
    vhd.file.pwrite(b"\0\0\0\1", vhd.header.table_offset)
    before = bytes(vhd.file.data)
    with pytest.raises(CorruptBlockTable):
        repair(vhd.file)
    assert vhd.file.data == before
    raw = Store().create("/sr/raw", 4096)
    with pytest.raises(NotVhd):
        repair(raw)
    assert not any(raw.data)
