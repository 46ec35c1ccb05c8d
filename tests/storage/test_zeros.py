from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.zeros import PIECE, is_zero


@given(st.integers(0, 3 * PIECE), st.data())
def test_one_byte_is_enough(length, data):
    buffer = bytearray(length)
    assert is_zero(memoryview(buffer))
    if length:
        buffer[data.draw(st.integers(0, length - 1))] = data.draw(st.integers(1, 255))
        assert not is_zero(memoryview(buffer))


@pytest.mark.parametrize("length", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_the_first_and_the_last_byte_count(length):
    for place in (0, length - 1):
        buffer = bytearray(length)
        buffer[place] = 1
        assert not is_zero(memoryview(buffer))
