import os
import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.check import check
from xapi.storage.vhd.create import create_child, create_dynamic, create_fixed
from xapi.storage.vhd.errors import (
    CorruptBlockTable,
    CorruptFooter,
    CorruptHeader,
    JournalPending,
    NoSpace,
    NotVhd,
    OutOfRange,
    ReadOnly,
    Unaligned,
    UnsupportedVhd,
    VhdError,
)
from xapi.storage.vhd.file import MemoryFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import UNUSED, Footer, Header
from xapi.storage.vhd.parents import Parent

from .disks import Store

BLOCK = 32768
KIB = 1024


def dynamic(blocks=8, fixed_size=0, block_size=BLOCK):
    file = Store().create("/sr/disk", fixed_size)
    return create_dynamic(file, blocks * block_size, block_size=block_size)


def reopened(vhd, **options):
    return Vhd.open(vhd.file, writable=True, **options)


class TestWriting:
    def test_a_fresh_piece_of_a_block_that_is_there_costs_two_writes(self):
        vhd = dynamic()
        vhd.write(0, bytes(4 * KIB))
        store = vhd.file.store
        store.writes = 0
        vhd.write(8 * KIB, b"x" * 4 * KIB)
        assert store.writes == 2
        vhd.write(8 * KIB, b"y" * 4 * KIB)
        assert store.writes == 3

    def test_a_new_disk_costs_one_write(self):
        store = Store()
        create_dynamic(store.create("/sr/a"), 100 << 30)
        assert store.writes == 1
        create_child(store.create("/sr/b"), Parent("/sr/a", 100 << 30))
        assert store.writes == 2

    def test_many_new_blocks_cost_a_footer_their_data_and_one_table_write(self):
        vhd = dynamic()
        vhd.file.store.writes = 0
        vhd.write(0, bytes(8 * BLOCK))
        assert vhd.file.store.writes == 10

    def test_sectors_written_one_by_one_fill_a_block(self):
        vhd = dynamic(blocks=1)
        order = [sector * 37 % 64 for sector in range(64)]
        for number, sector in enumerate(order):
            assert not vhd.block_is_full(0)
            vhd.write(sector * 512, bytes([sector + 1]) * 512)
            assert bin(vhd.block_bitmap(0)).count("1") == number + 1
        assert vhd.block_is_full(0)
        vhd.flush()
        again = reopened(vhd, strict=True)
        assert again.batmap.test(0) and again.batmap.valid
        assert again.bitmap_is_full(0)
        assert Chain(again).read(0, BLOCK) == b"".join(bytes([sector + 1]) * 512 for sector in range(64))

    def test_the_bitmap_on_disk_has_its_first_sector_highest(self):
        vhd = dynamic()
        vhd.write(0, bytes(512))
        vhd.write(9 * 512, bytes(512))
        assert vhd.file.pread(3, vhd.table[0] * 512) == bytes([0x80, 0x40, 0])

    def test_data_of_a_block_begins_on_a_page(self):
        vhd = dynamic()
        for block in range(8):
            vhd.write(block * BLOCK, bytes(512))
            assert (vhd.table[block] + 1) % 8 == 0

    def test_a_full_block_is_not_known_to_the_batmap_before_flush(self):
        vhd = dynamic()
        vhd.write(0, b"z" * BLOCK)
        assert not reopened(vhd).batmap.test(0)
        vhd.flush(sync=False)
        assert reopened(vhd).batmap.test(0)

    @pytest.mark.parametrize(("offset", "length"), [(1, 512), (0, 511), (256, 256)])
    def test_unaligned_writes_are_refused(self, offset, length):
        with pytest.raises(Unaligned):
            dynamic().write(offset, bytes(length))

    @pytest.mark.parametrize(("offset", "length"), [(8 * BLOCK, 512), (8 * BLOCK - 512, 1024), (-512, 512)])
    def test_writes_outside_are_refused(self, offset, length):
        with pytest.raises(OutOfRange):
            dynamic().write(offset, bytes(length))
        with pytest.raises(OutOfRange):
            Chain(dynamic()).read(offset, length)

    def test_a_reader_cannot_write(self):
        vhd = Vhd.open(dynamic().file)
        for change in (lambda: vhd.write(0, bytes(512)), lambda: vhd.set_hidden(True), lambda: vhd.allocate(0, 1)):
            with pytest.raises(ReadOnly):
                change()

    def test_what_a_killed_write_left_behind_is_not_seen_and_is_cut_off(self):
        vhd = dynamic()
        end = vhd.data_end
        vhd.file.pwrite(b"\xee" * 3 * BLOCK, end)
        vhd.file.pwrite(vhd.footer.pack(), end + 3 * BLOCK)
        again = reopened(vhd)
        again.write(512, b"a" * 512)
        assert Chain(again).read(0, BLOCK) == bytes(512) + b"a" * 512 + bytes(BLOCK - 1024)
        # Tools that ignore bitmaps read the block as it lies there
        assert again.file.pread(BLOCK, (again.table[0] + 1) * 512) == bytes(512) + b"a" * 512 + bytes(BLOCK - 1024)
        assert check(again.file) == []

    def test_addresses_beyond_two_tebibytes_are_refused(self):
        vhd = dynamic()
        last = UNUSED - vhd.block_sectors - 8
        assert vhd.place_blocks(1, last * 512)[0][0] < UNUSED
        with pytest.raises(NoSpace):
            vhd.place_blocks(2, last * 512)

    def test_barriers_flush_between_data_and_what_points_at_it(self):
        events = []

        class Watched(MemoryFile):
            def pwrite(self, data, offset):
                events.append(offset)
                super().pwrite(data, offset)

            def flush(self):
                events.append("flush")

        vhd = create_dynamic(Watched(), 4 * BLOCK, block_size=BLOCK)
        vhd.barriers = True
        events.clear()
        vhd.write(512, bytes(512))
        assert events[-2:] == ["flush", vhd.header.table_offset]
        events.clear()
        vhd.write(8192, bytes(512))
        assert events[-2:] == ["flush", vhd.table[0] * 512]


class TestDevices:
    def test_the_footer_stays_at_the_end(self):
        vhd = dynamic(fixed_size=BLOCK * 12)
        vhd.write(0, b"q" * BLOCK * 4)
        vhd.flush()
        assert len(vhd.file.data) == BLOCK * 12
        assert Footer.parse(bytes(vhd.file.data[-512:]), "x") == vhd.footer
        assert Chain(reopened(vhd, strict=True)).read(0, BLOCK * 8) == b"q" * BLOCK * 4 + bytes(BLOCK * 4)

    def test_a_full_device_refuses_the_next_block_and_keeps_the_rest(self):
        vhd = dynamic(fixed_size=BLOCK * 4)
        vhd.write(0, b"q" * BLOCK * 3)
        with pytest.raises(NoSpace):
            vhd.write(BLOCK * 3, b"r" * BLOCK)
        vhd.flush()
        assert Chain(reopened(vhd, strict=True)).read(0, BLOCK * 8) == b"q" * BLOCK * 3 + bytes(BLOCK * 5)

    def test_stale_data_of_a_device_is_not_seen(self):
        store = Store()
        file = store.create("/dev/x/y", BLOCK * 12)
        file.data[:] = os.urandom(BLOCK * 12)
        vhd = create_dynamic(file, BLOCK * 8, block_size=BLOCK)
        vhd.write(1024, b"q" * 512)
        assert Chain(reopened(vhd)).read(0, BLOCK) == bytes(1024) + b"q" * 512 + bytes(BLOCK - 1536)

    def test_a_device_that_was_grown_onto_a_strangers_footer_is_still_its_own(self):
        vhd = dynamic(fixed_size=BLOCK * 12)
        vhd.write(0, b"q" * 512)
        stranger = dynamic(blocks=3).footer.pack()
        grown = MemoryFile(bytes(vhd.file.data) + bytes(512) + stranger, fixed_size=True)
        assert Vhd.open(grown).footer.unique_id == vhd.footer.unique_id

    def test_too_small_devices(self):
        for create in (create_dynamic, create_fixed):
            with pytest.raises(NoSpace):
                create(Store().create("/dev/x/y", 2048), BLOCK)


class TestOpening:
    @pytest.mark.parametrize("damage", [b"", b"x" * 512, b"conectix" + bytes(504)])
    def test_a_torn_last_footer_is_tolerated_unless_strict(self, damage):
        vhd = dynamic()
        vhd.write(0, b"q" * 512)
        del vhd.file.data[-512:]
        vhd.file.data.extend(damage)
        assert Chain(reopened(vhd)).read(0, 512) == b"q" * 512
        with pytest.raises(CorruptFooter):
            reopened(vhd, strict=True)
        reopened(vhd).write(BLOCK, b"r" * BLOCK)
        assert check(vhd.file) == []

    def test_a_footer_of_511_bytes_is_read(self):
        vhd = dynamic()
        del vhd.file.data[-1:]
        assert Vhd.open(vhd.file).footers.end == vhd.footer
        assert check(vhd.file) == []

    def test_strict_wants_the_footers_equal(self):
        vhd = dynamic()
        vhd.file.pwrite(Footer.new(vhd.size, 3, vhd.footer.unique_id, hidden=True).pack(), 0)
        assert not Vhd.open(vhd.file).hidden
        with pytest.raises(CorruptFooter):
            Vhd.open(vhd.file, strict=True)

    def test_a_fixed_disk_that_holds_a_vhd_is_the_fixed_disk(self):
        inner = dynamic()
        outer = create_fixed(MemoryFile(), 64 * BLOCK)
        outer.write(0, bytes(inner.file.data))
        assert Vhd.open(outer.file).footer == outer.footer

    def test_what_is_no_vhd(self):
        for data in (b"", b"x", bytes(511), bytes(512), bytes(4096), os.urandom(5000)):
            file = MemoryFile(data)
            with pytest.raises(NotVhd) as caught:
                Vhd.open(file)
            assert caught.value.path == "memory"
            assert file.data == data

    def test_a_fixed_disk_cut_short(self):
        vhd = create_fixed(MemoryFile(), 8 * BLOCK)
        del vhd.file.data[:BLOCK]
        with pytest.raises(CorruptFooter):
            Vhd.open(vhd.file)

    @pytest.mark.parametrize("keep", [512, 600, 1024, 1535, 1536, 2000])
    def test_files_cut_inside_their_metadata(self, keep):
        vhd = dynamic(blocks=4000, block_size=4096)
        del vhd.file.data[keep:]
        with pytest.raises(VhdError):
            _ = Vhd.open(vhd.file).table

    def test_a_disabled_file_opens_only_for_looking(self):
        vhd = dynamic()
        vhd.file.data[-512:-504] = b"v_poison"
        data = bytearray(vhd.file.data[-512:])
        data[64:68] = bytes(4)
        struct.pack_into(">I", data, 64, ~sum(data) & 0xFFFFFFFF)
        vhd.file.data[-512:] = data
        with pytest.raises(JournalPending):
            Vhd.open(vhd.file)
        assert Vhd.open(vhd.file, allow_disabled=True).footer.disabled


def with_header(vhd, **changes):
    """The disk's file with a header that says something else and adds up."""
    from dataclasses import replace

    vhd.file.pwrite(replace(vhd.header, **changes).pack(), 512)
    return vhd.file


class TestLies:
    @pytest.mark.parametrize(
        "changes",
        [
            {"table_entries": 0},
            {"table_entries": 7},
            {"table_entries": 0xFFFFFFFF},
            {"table_entries": 4 << 20},
            {"table_offset": 0},
            {"table_offset": 1},
            {"table_offset": 512},
            {"table_offset": 1 << 40},
            {"table_offset": (1 << 64) - 512},
            {"block_size": 0},
            {"block_size": 3 << 20},
            {"block_size": 512},
            {"block_size": 1 << 31},
        ],
    )
    def test_headers_that_lie(self, changes):
        file = with_header(dynamic(), **changes)
        before = bytes(file.data)
        with pytest.raises(CorruptHeader):
            Vhd.open(file)
        assert check(file) != []
        assert file.data == before

    @pytest.mark.parametrize("offset", [0, 1, 100, 1 << 40, (1 << 64) - 1])
    def test_footers_that_point_nowhere(self, offset):
        from dataclasses import replace

        vhd = dynamic()
        packed = replace(vhd.footer, data_offset=offset).pack()
        vhd.file.pwrite(packed, 0)
        vhd.file.pwrite(packed, len(vhd.file.data) - 512)
        with pytest.raises(CorruptHeader):
            Vhd.open(vhd.file)

    @pytest.mark.parametrize("entries", [[0], [2], [3], [1 << 31], [0xFFFFFFFE], [15, 15], [15, 20], [15, 79]])
    def test_tables_that_lie(self, entries):
        vhd = dynamic()
        vhd.write(0, bytes(2 * BLOCK))
        vhd.file.pwrite(struct.pack(f">{len(entries)}I", *entries), vhd.header.table_offset)
        before = bytes(vhd.file.data)
        again = reopened(vhd)
        with pytest.raises(CorruptBlockTable):
            _ = again.table
        with pytest.raises(CorruptBlockTable):
            again.write(4 * BLOCK, bytes(512))
        with pytest.raises(CorruptBlockTable):
            reopened(vhd, strict=True)
        assert vhd.file.data == before

    def test_a_batmap_that_lies_is_ignored(self):
        vhd = dynamic()
        vhd.write(0, b"q" * 512)
        vhd.file.pwrite(b"\xff", vhd.batmap.header.offset)
        again = reopened(vhd)
        assert not again.batmap.valid
        assert Chain(again).read(0, 1024) == b"q" * 512 + bytes(512)

    def test_metadata_that_claims_to_be_far_away_does_not_stretch_the_file(self):
        from dataclasses import replace

        child = create_child(Store().create("/sr/c"), Parent("/sr/p", 8 * BLOCK), block_size=BLOCK)
        far = replace(child.header.locators[2], offset=1 << 40)
        with_header(child, locators=(*child.header.locators[:2], far, *child.header.locators[3:]))
        batmap = replace(child.batmap.header, sectors=1 << 31)
        child.file.pwrite(batmap.pack(), child.header.batmap_header_offset)
        again = reopened(child)
        again.write(0, b"q" * 512)
        again.flush()
        assert len(again.file.data) < 4 * BLOCK
        assert Chain(reopened(child)).read(0, 512) == b"q" * 512

    def test_bitmaps_of_the_very_first_tools_are_refused(self):
        from dataclasses import replace

        vhd = dynamic()
        vhd.write_footer(replace(vhd.footer, creator_version=1))
        with pytest.raises(UnsupportedVhd):
            Vhd.open(vhd.file)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8), st.booleans())
    def test_damage_is_named_or_harmless(self, damage, mend):
        vhd = dynamic(blocks=3, block_size=4096)
        vhd.write(0, bytes(5120))
        data = vhd.file.data
        for at, value in damage:
            data[at % len(data)] = value
        if mend:
            data[512:1536] = mended(data[512:1536], 36)
            data[-512:] = mended(data[-512:], 64)
        try:
            opened = Vhd.open(vhd.file)
            Chain(opened, opener=Store().open).read(0, min(opened.size, 1 << 20))
        except VhdError as error:
            assert error.path == "/sr/disk"
        assert isinstance(check(vhd.file), list)


def mended(data, at):
    data = bytearray(data)
    data[at : at + 4] = bytes(4)
    struct.pack_into(">I", data, at, ~sum(data) & 0xFFFFFFFF)
    return data


def test_a_creator_without_batmap_is_read_and_written():
    from dataclasses import replace

    vhd = dynamic()
    footer = replace(vhd.footer, creator_application=b"vpc ", creator_version=0x00050003)
    vhd.write_footer(footer)
    again = reopened(vhd)
    assert again.batmap is None
    again.write(0, b"w" * BLOCK)
    again.flush()
    assert Chain(reopened(vhd)).read(0, BLOCK) == b"w" * BLOCK
    assert check(vhd.file) == []


def test_header_round_trip():
    header = dynamic().header
    assert Header.parse(header.pack(), "x") == header


def test_allocate_gives_places_without_data():
    vhd = dynamic()
    vhd.write(BLOCK, b"k" * 512)
    vhd.allocate(0, 3)
    again = reopened(vhd, strict=True)
    assert [entry != UNUSED for entry in again.table.entries] == [True] * 4 + [False] * 4
    assert Chain(again).read(0, 8 * BLOCK) == bytes(BLOCK) + b"k" * 512 + bytes(7 * BLOCK - 512)
    assert check(vhd.file) == []


def test_allocate_full_hides_the_parent():
    store = Store()
    base = create_dynamic(store.create("/sr/base"), 4 * BLOCK, block_size=BLOCK)
    base.write(0, b"p" * 4 * BLOCK)
    parent = Parent("/sr/base", base.size, base.footer.unique_id)
    child = create_child(store.create("/sr/child"), parent, block_size=BLOCK)
    child.allocate(1, 2, full=True)
    child.allocate(3, 3)
    assert store.chain("/sr/child").read(0, 4 * BLOCK) == b"p" * BLOCK + bytes(2 * BLOCK) + b"p" * BLOCK


def test_a_reader_does_not_bring_back_a_bitmap_that_a_writer_has_replaced():
    reading, go_on = threading.Event(), threading.Event()

    class Slow(MemoryFile):
        def pread(self, length, offset):
            data = super().pread(length, offset)
            if threading.current_thread().name == "reader":
                reading.set()
                go_on.wait(10)
            return data

    file = Slow()
    made = create_dynamic(file, BLOCK, block_size=BLOCK)
    made.write(0, b"a" * 512)
    vhd = reopened(made)
    _ = vhd.table, vhd.batmap
    reader = threading.Thread(target=lambda: Chain(vhd).read(0, 512), name="reader")
    writer = threading.Thread(target=lambda: vhd.write(512, b"b" * 512))
    reader.start()
    assert reading.wait(10)
    writer.start()
    writer.join(0.05)
    go_on.set()
    reader.join()
    writer.join()
    vhd.write(1024, b"c" * 512)
    assert Chain(reopened(made)).read(0, 2048) == b"a" * 512 + b"b" * 512 + b"c" * 512 + bytes(512)
