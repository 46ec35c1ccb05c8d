from __future__ import annotations

from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.monitoring.ring import Ring


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 30))
def test_the_newest_rows_are_kept_in_order(width: int, capacity: int, pushes: int) -> None:
    ring = Ring(width, capacity)
    for number in range(pushes):
        ring.push([float(number * 10 + column) for column in range(width)])
    kept = min(pushes, capacity)
    assert ring.count == kept
    for age in range(kept):
        assert list(ring.row(age)) == [(pushes - 1 - age) * 10.0 + column for column in range(width)]
    assert all(map(isnan, ring.row(kept)))
    oldest_first = [value for age in range(kept - 1, -1, -1) for value in ring.row(age)]
    assert list(ring.oldest_first()) == oldest_first
    for rows in range(kept + 2):
        newest = ring.newest(rows)
        assert list(newest) == oldest_first[len(oldest_first) - min(rows, kept) * width :]


@given(st.integers(1, 3), st.integers(1, 6), st.integers(0, 20), st.integers(0, 5))
def test_a_loaded_ring_goes_on_as_the_one_it_came_from(width: int, capacity: int, before: int, after: int) -> None:
    ring, copy = Ring(width, capacity), Ring(width, capacity)
    for number in range(before):
        ring.push([float(number)] * width)
    copy.load(ring.oldest_first())
    for number in range(after):
        for one in (ring, copy):
            one.push([-float(number)] * width)
    assert list(copy.oldest_first()) == list(ring.oldest_first())
    assert copy.count == ring.count


def test_more_rows_than_there_is_room_for_lose_the_oldest() -> None:
    ring = Ring(1, 3)
    ring.load([1.0, 2.0, 3.0, 4.0])
    assert list(ring.oldest_first()) == [2.0, 3.0, 4.0]
    ring.push([5.0])
    assert list(ring.oldest_first()) == [3.0, 4.0, 5.0]


def test_columns_are_moved_added_and_left_out() -> None:
    ring = Ring(2, 4)
    for number in range(6):
        ring.push([float(number), float(number * 10)])
    moved = ring.rearranged([1, -1, 0])
    assert list(moved.row(0))[::2] == [50.0, 5.0]
    assert isnan(moved.row(0)[1])
    assert list(moved.row(3))[::2] == [20.0, 2.0]
    moved.push([1.0, 2.0, 3.0])
    assert list(moved.row(0)) == [1.0, 2.0, 3.0]
    assert moved.count == 4


def test_a_ring_without_columns_takes_columns_later() -> None:
    ring = Ring(0, 4)
    ring.push([])
    assert isnan(ring.rearranged([-1]).row(0)[0])


@pytest.mark.parametrize(("rows", "count"), [(2, 3), (3, 0), (400, 0)])
def test_rows_of_which_nothing_is_known(rows: int, count: int) -> None:
    ring = Ring(1, 3)
    ring.push([1.0])
    ring.push([2.0])
    ring.push_unknown(rows)
    assert ring.count == count
    assert isnan(ring.row(0)[0])
    assert isnan(ring.row(1)[0])
    assert ring.row(2)[0] == 2.0 if count else isnan(ring.row(2)[0])


def test_nan_is_a_value_like_others() -> None:
    ring = Ring(1, 2)
    ring.push([nan])
    assert ring.count == 1
