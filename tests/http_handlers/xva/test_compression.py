from __future__ import annotations

import gzip
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.http_handlers.doors import noise
from tests.http_handlers.xva.test_archive import Bytes
from xapi.http_handlers.xva.compression import GZIP, ZSTD, compressor, plain_source
from xapi.http_handlers.xva.errors import BadArchive, EndedEarly


def drained(data: bytes, at_once: int = 1 << 30, size: int = 1000) -> bytes:
    source = plain_source(Bytes(data, at_once))
    found, view = bytearray(), memoryview(bytearray(size))
    while count := source.readinto(view):
        found += view[:count]
    return bytes(found)


def squeezed(method: str, *parts: bytes) -> bytes:
    data = bytearray()
    made = compressor(method, data.extend)
    for part in parts[:-1]:
        made.write(part)
    return bytes(data) + made.finish(parts[-1])


@given(st.lists(st.binary(max_size=3000), min_size=1), st.integers(1, 500), st.integers(1, 5000))
def test_gzip_there_and_back(parts, at_once, size):
    data = squeezed(GZIP, *parts)
    assert gzip.decompress(data) == b"".join(parts)
    assert drained(data, at_once, size) == b"".join(parts)


@given(st.binary(max_size=2000).filter(lambda data: data[:2] != b"\x1f\x8b" and data[:4] != b"\x28\xb5\x2f\xfd"))
def test_what_is_not_compressed_stays_as_it_is(data):
    assert drained(data, 3) == data == squeezed("", data)


def test_members_one_behind_the_other_and_padding():
    assert drained(gzip.compress(b"one") + gzip.compress(b"two"), 7) == b"onetwo"
    assert drained(gzip.compress(b"one") + bytes(5000)) == b"one"
    assert drained(gzip.compress(b"one") + b"\x1f") == b"one"


@given(st.integers(4, 100))
def test_compressed_data_that_breaks_off(cut):
    with pytest.raises(EndedEarly):
        drained(gzip.compress(bytes(100_000))[:-cut])


def test_compressed_data_that_is_damaged():
    with pytest.raises(BadArchive):
        drained(b"\x1f\x8b\xff" + bytes(100))


def test_a_bomb_takes_no_memory():
    bomb = gzip.compress(bytes(200 << 20), 9)
    source = plain_source(Bytes(bomb))
    view = memoryview(bytearray(65536))
    tracemalloc.start()
    try:
        for _ in range(500):
            assert source.readinto(view)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@given(st.lists(st.binary(max_size=3000), min_size=1), st.integers(1, 500), st.integers(1, 5000))
def test_zstandard_there_and_back(parts, at_once, size):
    assert drained(squeezed(ZSTD, *parts), at_once, size) == b"".join(parts)


def test_zstandard_frames_one_behind_the_other():
    assert drained(zstandard.compress(b"one") + zstandard.compress(b"two"), 3) == b"onetwo"


@given(st.integers(5, 60))
def test_zstandard_that_breaks_off_ends_early_for_the_reader_of_the_archive(cut):
    content = noise(1000)
    found = drained(zstandard.compress(content)[:-cut])
    assert len(found) < len(content) and content.startswith(found)


def test_zstandard_that_is_damaged_or_wants_too_much_memory():
    with pytest.raises(BadArchive):
        drained(b"\x28\xb5\x2f\xfd\xff" + bytes(100))
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    large = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(BadArchive):
        drained(large.compress(b"x") + large.flush())
