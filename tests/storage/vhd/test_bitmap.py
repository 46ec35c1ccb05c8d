import itertools

from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.vhd import bitmap

flags = st.lists(st.booleans(), min_size=8, max_size=128).map(lambda bits: bits[: len(bits) // 8 * 8])


def value(bits):
    return int("".join("01"[bit] for bit in bits), 2)


@given(flags, st.data())
def test_runs_cover_the_range_and_tell_the_bits(bits, data):
    start = data.draw(st.integers(0, len(bits)))
    stop = data.draw(st.integers(start, len(bits)))
    found = list(bitmap.runs(value(bits), len(bits), start, stop))
    assert [bit for _, count, present in found for bit in [present] * count] == bits[start:stop]
    assert all(first[2] != second[2] for first, second in itertools.pairwise(found))
    assert not found or found[0][0] == start


@given(flags)
def test_bytes_and_back(bits):
    packed = bitmap.to_bytes(value(bits), len(bits), 512)
    assert len(packed) == 512
    assert bitmap.from_bytes(packed, len(bits)) == value(bits)
    assert [bool(packed[at // 8] & 0x80 >> at % 8) for at in range(len(bits))] == bits


@given(st.integers(0, 63), st.data())
def test_a_mask_has_just_its_sectors(start, data):
    count = data.draw(st.integers(0, 64 - start))
    bits = [start <= at < start + count for at in range(64)]
    assert bitmap.mask(64, start, count) == value(bits)
    assert bitmap.full(64) == value([True] * 64)
