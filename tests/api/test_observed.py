"""Our answers beside those of the original service, wherever its record is at hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.observed import difference, load, not_yet
from tests.api.observed_replays import Place, find
from tests.fakes.served import Served

RECORDED = load()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    served = Served()
    yield Place(served)
    served.close()


@pytest.mark.skipif(not RECORDED, reason="the records are not beside this checkout")
@pytest.mark.parametrize("label", RECORDED or ["none"])
def test_equal_but_for_what_is_listed(place, label):
    again = find(label)
    assert again is not None or label in not_yet(), "no request is known for this label"
    if again is None:
        return
    found = difference(label, RECORDED[label], again(place))
    if label in not_yet():
        assert found, f"{label!r} is equal now: take it out of not_yet_equal.txt (make docs does)"
    else:
        assert not found


def test_the_list_of_differences_names_only_what_was_recorded():
    if RECORDED:
        assert set(not_yet()) <= set(RECORDED)
    assert all(not_yet().values())
