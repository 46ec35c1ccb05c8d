import struct
from dataclasses import replace

import pytest

from xapi.storage.vhd.batmap import Batmap, covered_bytes
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.image import Vhd

from .disks import Store

BLOCK = 4096
MIB = 1 << 20


@pytest.fixture
def vhd():
    made = create_dynamic(Store().create("/sr/disk"), 40 * BLOCK, block_size=BLOCK)
    made.write(0, b"f" * 9 * BLOCK)
    made.flush()
    return made


def test_the_first_block_is_the_highest_bit(vhd):
    assert vhd.file.pread(3, vhd.batmap.header.offset) == b"\xff\x80\0"


def test_what_the_checksum_covers_is_what_blktap_covers():
    assert covered_bytes(2 * MIB, 2 * MIB) == 512
    assert covered_bytes(8 << 30, 2 * MIB) == 512
    assert covered_bytes((8 << 30) + 2 * MIB, 2 * MIB) == 512  # divided before it is rounded up
    assert covered_bytes((8 << 30) + 16 * MIB, 2 * MIB) == 1024
    assert covered_bytes(2040 << 30, 2 * MIB) == 2040 * 64


def test_a_block_beyond_what_is_covered_is_never_full(vhd):
    batmap = vhd.batmap
    batmap.dirty = False
    batmap.set(512 * 8)
    batmap.clear(512 * 8)
    assert not batmap.test(512 * 8)
    assert not batmap.dirty


def test_checksums_of_signed_bytes_are_understood_and_mended(vhd):
    header = vhd.batmap.header
    signed = ~(sum(struct.unpack("512b", vhd.batmap.bits))) & 0xFFFFFFFF
    assert signed != header.total
    vhd.file.pwrite(replace(header, version=0x00010001, total=signed).pack(), vhd.header.batmap_header_offset)
    batmap = Batmap.load(vhd.file, vhd.header, vhd.size)
    assert batmap.valid and batmap.test(8)
    batmap.write(vhd.file)
    assert Batmap.load(vhd.file, vhd.header, vhd.size).header == header


@pytest.mark.parametrize("changes", [{"offset": 1}, {"offset": 1 << 50}, {"sectors": 0}, {"version": 0x00010003}])
def test_headers_that_lead_nowhere_are_no_batmap(vhd, changes):
    vhd.file.pwrite(replace(vhd.batmap.header, **changes).pack(), vhd.header.batmap_header_offset)
    assert Vhd.open(vhd.file).batmap is None


def test_the_first_tools_marked_only_the_copy_at_the_front_hidden(vhd):
    footer = replace(vhd.footer, creator_version=0x00010001)
    vhd.write_footer(footer)
    vhd.file.pwrite(replace(footer, hidden=1).pack(), 0)
    assert Vhd.open(vhd.file).hidden == 1
