import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.vhd.block_table import BlockTable, ascending
from xapi.storage.vhd.errors import CorruptBlockTable
from xapi.storage.vhd.layout import UNUSED

entries = st.lists(st.one_of(st.just(UNUSED), st.integers(0, UNUSED)), min_size=1, max_size=300)


@given(entries)
def test_a_table_comes_back_as_it_went(values):
    data = struct.pack(f">{len(values)}I", *values)
    table = BlockTable.parse(data + b"rest", len(values))
    assert list(table.entries) == values
    assert table.pack(len(data)) == data
    assert table.count() == sum(value != UNUSED for value in values)
    assert table.highest() == max((value for value in values if value != UNUSED), default=-1)
    for block in range(len(values)):
        later = [at for at in range(block, len(values)) if values[at] != UNUSED]
        assert table.next_allocated(block) == (later[0] if later else len(values))
        stop = min(block + 3, len(values))
        assert table.next_allocated(block, stop) == min([*later[:1], stop])


@given(st.lists(st.integers(0, UNUSED), max_size=50), st.integers(1, 60))
def test_places_are_sorted_in_parts(places, at_once):
    assert list(ascending(array("I", places), at_once)) == sorted(places)


@given(entries, st.data())
def test_sectors_of_a_table_carry_the_changes(values, data):
    table = BlockTable.parse(struct.pack(f">{len(values)}I", *values), len(values))
    first = data.draw(st.integers(0, len(values) - 1))
    last = data.draw(st.integers(first, len(values) - 1))
    changes = {first: 7, last: 9}
    offset, packed = table.sectors(first, last, changes)
    assert offset % 512 == 0 == len(packed) % 512
    whole = bytearray(table.pack(-(-len(values) // 128) * 512))
    whole[offset : offset + len(packed)] = packed
    found = struct.unpack(f">{len(values)}I", whole[: len(values) * 4])
    assert list(found) == [changes.get(at, value) for at, value in enumerate(values)]
    assert list(table.entries) == values


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(3, 20), st.integers(1, 6))
def test_validation_against_the_obvious_way(places, table_start, table_sectors):
    size, file_sectors = 5, 36
    table = BlockTable.parse(struct.pack(f">{len(places)}I", *places), len(places))
    pieces = [range(place, place + size) for place in places] + [range(table_start, table_start + table_sectors)]
    apart = all(not set(one) & set(other) for at, one in enumerate(pieces) for other in pieces[at + 1 :]) and all(
        3 <= place < file_sectors for place in places
    )
    if apart:
        table.validate("x", size, (table_start, table_start + table_sectors), file_sectors)
    else:
        with pytest.raises(CorruptBlockTable):
            table.validate("x", size, (table_start, table_start + table_sectors), file_sectors)
