import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.contract import bits
from xapi.storage.interface import NoChangeTracking
from xapi.storage.tracking import GRANULE, ChangeLog, bits_from, changes_between, union

SETS = st.sets(st.integers(0, 30))


def bitmap(blocks: set[int]) -> bytes:
    flags = bytearray(4)
    for block in blocks:
        flags[block // 8] |= 0x80 >> block % 8
    return bytes(flags)


@given(SETS, SETS)
def test_union_is_the_union_of_the_sets(one: set[int], other: set[int]) -> None:
    assert bits(union(bitmap(one), bitmap(other))) == one | other


@given(st.integers(0, 40), st.integers(1, 40))
def test_bits_from_are_those_behind_a_place(first: int, count: int) -> None:
    assert bits(bits_from(first * GRANULE, count * GRANULE)) == set(range(first, count))


@given(st.lists(SETS, min_size=2, max_size=6), st.data())
def test_changes_are_the_union_of_the_logs_between(changes: list[set[int]], data: st.DataObject) -> None:
    size = 31 * GRANULE
    logs = {
        str(number): ChangeLog(size, str(number - 1) if number else "", bitmap(blocks))
        for number, blocks in enumerate(changes)
    }
    last = len(changes) - 1
    base = data.draw(st.integers(0, last - 1))
    expected = set().union(*changes[base + 1 :])
    assert bits(changes_between(logs.get, str(base), str(last), b"")) == expected
    gone = data.draw(st.integers(1, last)) if last > 1 else last
    if base < gone < last:
        logs[str(gone + 1)] = logs[str(gone + 1)].absorb(logs.pop(str(gone)))
        assert bits(changes_between(logs.get, str(base), str(last), b"")) == expected


def test_what_was_grown_has_changed() -> None:
    log = ChangeLog(2 * GRANULE, "base", b"\x80").grown(5 * GRANULE)
    assert bits(log.bitmap) == {0, 2, 3, 4}
    logs = {"base": ChangeLog(2 * GRANULE), "now": ChangeLog(4 * GRANULE, "base")}
    assert bits(changes_between(logs.get, "base", "now", b"")) == {2, 3}


def test_loops_and_gaps_are_not_followed() -> None:
    logs = {"a": ChangeLog(GRANULE, "b"), "b": ChangeLog(GRANULE, "a"), "c": ChangeLog(GRANULE, "gone")}
    for base, target in (("x", "a"), ("x", "c"), ("a", "none"), ("gone", "c")):
        with pytest.raises(NoChangeTracking):
            changes_between(logs.get, base, target, b"")


@given(st.binary(max_size=200))
def test_any_file_is_a_log_or_none(data: bytes) -> None:
    ChangeLog.decode(data)
    ChangeLog.decode(b"xapi-cbt-1\n" + data)


@given(st.integers(0, 1 << 20), st.text(max_size=40), SETS)
def test_log_survives_its_file(size: int, parent: str, blocks: set[int]) -> None:
    log = ChangeLog(size, parent, b"")
    assert ChangeLog.decode(log.encode()) == log
    full = ChangeLog(31 * GRANULE, parent, bitmap(blocks))
    assert ChangeLog.decode(full.encode()) == full
