from __future__ import annotations

import ctypes
import ctypes.util
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.http_handlers.xva import digests

# From the specification's own test programs: XXH64 with seed 0.
KNOWN = {
    b"": "EF46DB3751D8E999",
    b"a": "D24EC4F1A98C6E5B",
    b"abc": "44BC2CF5AD770999",
    b"Nobody inspects the spammish repetition": "FBCEA83C8A378BF1",
}


@pytest.mark.parametrize("data", KNOWN)
def test_xxh64_of_known_texts(data):
    assert digests.xxh64(data) == KNOWN[data]


@pytest.mark.skipif(ctypes.util.find_library("xxhash") is None, reason="libxxhash is not installed")
@given(st.binary(max_size=300))
def test_it_is_what_the_library_computes(data):
    library = ctypes.CDLL(ctypes.util.find_library("xxhash"))
    library.XXH64.restype = ctypes.c_uint64
    library.XXH64.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64)
    assert digests.xxh64(data) == f"{library.XXH64(data, len(data), 0):016X}"


def test_exports_have_what_todays_hosts_write():
    assert digests.WRITTEN == ".xxhash"


def test_sha1_and_the_case_of_digits():
    assert digests.sha1(b"x") == hashlib.sha1(b"x").hexdigest()
    assert digests.matches(digests.SHA1, b"x", hashlib.sha1(b"x").hexdigest().upper().encode() + b"\n")
    assert digests.matches(digests.XXH64, b"abc", b"44bc2cf5ad770999")
    assert not digests.matches(digests.SHA1, b"x", b"")
    assert [digests.kind_of(name) for name in ("a.checksum", "a.xxhash", "a")] == [digests.SHA1, digests.XXH64, ""]
