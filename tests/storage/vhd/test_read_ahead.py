import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xapi.storage.vhd.chain import CHUNK, HOLE, Extent
from xapi.storage.vhd.file import MemoryFile, RealFile
from xapi.storage.vhd.read_ahead import BUFFERS, read_data

MIB = 1 << 20
FILES = {name: MemoryFile(bytes([number + 1]) * (3 * CHUNK)) for number, name in enumerate(("one", "other"))}
LENGTHS = st.one_of(st.integers(1, 4096), st.integers(CHUNK - 512, 2 * CHUNK + 512))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["one", "other", "hole"]), LENGTHS), max_size=5))
def test_every_byte_comes_once_and_in_order(pieces):
    extents, model, offset = [], {}, 0
    for name, length in pieces:
        if name == "hole":
            extents.append(Extent(offset, length, None, HOLE, 0))
        else:
            extents.append(Extent(offset, length, FILES[name], 7, 0))
            model[offset] = FILES[name].data[7 : 7 + length].ljust(length, b"\0")
        offset += length
    disk = bytearray(offset)
    for at, data in model.items():
        disk[at : at + len(data)] = data
    found, last = bytearray(offset), 0
    for at, data in read_data(extents):
        assert at >= last
        assert 0 < len(data) <= CHUNK - at % CHUNK
        found[at : at + len(data)] = data
        last = at + len(data)
    assert found == disk


def test_neighbours_of_different_files_come_as_one():
    one, other = MemoryFile(b"1" * 4096), MemoryFile(b"2" * 4096)
    extents = [Extent(at * 512, 512, (one, other)[at % 2], at * 512, at % 2) for at in range(8)]
    assert [(at, bytes(data)) for at, data in read_data(extents)] == [(0, (b"1" * 512 + b"2" * 512) * 4)]


def test_what_is_behind_the_end_of_a_file_is_zeros():
    assert [bytes(data) for _, data in read_data([Extent(0, 1024, MemoryFile(b"x" * 700), 0, 0)])] == [
        b"x" * 700 + bytes(324)
    ]


def test_more_than_fits_into_the_buffers(tmp_path):
    path = tmp_path / "f"
    content = random.Random(1).randbytes(2 * MIB) * (BUFFERS + 3)
    path.write_bytes(content)
    file = RealFile.open(str(path))
    assert b"".join(bytes(data) for _, data in read_data([Extent(0, len(content), file, 0, 0)])) == content
    file.close()


def test_errors_of_reading_are_raised_where_the_data_is_wanted(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * MIB)
    file, gone = RealFile.open(str(path)), RealFile.open(str(path))
    gone.close()
    pieces = read_data([Extent(0, MIB, file, 0, 0), Extent(CHUNK, MIB, gone, 0, 0)])
    assert bytes(next(pieces)[1]) == b"x" * MIB
    with pytest.raises(OSError, match="Bad file descriptor"):
        next(pieces)
    file.close()


def test_nobody_reads_on_when_the_rest_is_not_wanted(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(bytes(64 * MIB))
    file = RealFile.open(str(path))
    pieces = read_data([Extent(0, 64 * MIB, file, 0, 0)])
    next(pieces)
    pieces.close()
    file.close()
