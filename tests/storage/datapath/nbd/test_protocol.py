from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.datapath.nbd import protocol
from xapi.storage.datapath.nbd.protocol import Malformed, Request

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def counted(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">I", len(encoded)) + encoded


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused_by_name(data: bytes) -> None:
    for parse in (protocol.parse_wanted, protocol.parse_contexts, protocol.parse_name):
        try:
            parse(data)
        except ValueError:
            continue


@given(names, st.lists(st.integers(0, 65535), max_size=9))
def test_a_wanted_export_comes_back(name: str, infos: list[int]) -> None:
    data = counted(name) + struct.pack(f">H{len(infos)}H", len(infos), *infos)
    assert protocol.parse_wanted(data) == protocol.Wanted(name, tuple(infos))
    with pytest.raises(ValueError):
        protocol.parse_wanted(data + b"x")
    with pytest.raises(ValueError):
        protocol.parse_wanted(data[:-1])


@given(names, st.lists(names, max_size=6))
def test_contexts_come_back(name: str, queries: list[str]) -> None:
    data = counted(name) + struct.pack(">I", len(queries)) + b"".join(map(counted, queries))
    assert protocol.parse_contexts(data) == (name, tuple(queries))
    with pytest.raises(ValueError):
        protocol.parse_contexts(data + b"x")


def test_a_count_of_queries_that_are_not_there_ends_at_once() -> None:
    with pytest.raises(ValueError):
        protocol.parse_contexts(counted("") + struct.pack(">I", 0xFFFFFFFF))


u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))


@given(u16, u16, u64, u64, u32)
def test_a_request_comes_back(flags: int, command: int, cookie: int, offset: int, length: int) -> None:
    data = struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length)
    assert protocol.parse_request(b"xy" + data, 2) == Request(flags, command, cookie, offset, length)


@given(st.binary(min_size=28, max_size=28).filter(lambda data: data[:4] != b"\x25\x60\x95\x13"))
def test_another_beginning_is_no_request(data: bytes) -> None:
    with pytest.raises(Malformed):
        protocol.parse_request(data)


@given(st.binary(min_size=16, max_size=16))
def test_an_option_is_short_or_none(data: bytes) -> None:
    try:
        code, length = protocol.parse_option(data)
    except Malformed:
        return
    assert data[:8] == b"IHAVEOPT"
    assert (code, length) == struct.unpack(">II", data[8:])
    assert length <= protocol.LONGEST_OPTION


@given(st.lists(st.tuples(st.integers(1, 1 << 31), st.booleans()), max_size=20))
def test_joined_pieces_cover_the_same(pieces: list[tuple[int, bool]]) -> None:
    joined = protocol.joined_pieces(pieces)
    for kind in (True, False):
        assert sum(n for n, zero in joined if zero is kind) == sum(n for n, zero in pieces if zero is kind)
    assert all(length < 1 << 32 for length, _ in joined)
