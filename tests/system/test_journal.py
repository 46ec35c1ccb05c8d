from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from xapi.system.journal import Journal


class Unusable(Exception):
    pass


def opened(directory: Path, limit: int = 100) -> Journal:
    return Journal(directory / "lines", directory / "lock", orjson.dumps, orjson.loads, Unusable, limit)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = opened(tmp_path)
    yield found
    found.close()


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    first = opened(tmp_path)
    for number in range(3):
        first.append({"number": number})
    first.close()
    second = opened(tmp_path)
    assert second.read() == [{"number": 0}, {"number": 1}, {"number": 2}]
    second.close()


def test_a_torn_last_line_is_cut_off(journal: Journal, tmp_path: Path) -> None:
    journal.append(1)
    with (tmp_path / "lines").open("ab") as file:
        file.write(b"[2, 3")
    assert journal.read() == [1]
    journal.append(4)
    assert journal.read() == [1, 4]


def test_damage_elsewhere_is_told_with_its_line(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"1\nno value\n3\n")
    with pytest.raises(Unusable, match="line 2"):
        journal.read()


def test_another_may_have_it_only_after_the_end(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="another process"):
        opened(tmp_path)


def test_a_place_that_is_none_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable):
        opened(tmp_path / "file")


def test_it_tells_when_a_rewrite_pays(journal: Journal) -> None:
    for _ in range(60):
        journal.append("x")
    assert journal.is_large
    journal.rewrite(["x"])
    assert not journal.is_large
    journal.append("y")
    assert journal.read() == ["x", "y"]
