from __future__ import annotations

from pathlib import Path

import pytest

from xapi.storage.errors import StorageFailure
from xapi.storage.lvm.ledger import Ledger


def test_the_last_to_let_go_ends_what_was_begun(tmp_path: Path) -> None:
    ledger, told = Ledger(tmp_path / "ledger"), list[str]()
    for there in (False, True):
        ledger.hold("a", lambda there=there: there, lambda: told.append("begun"))  # type: ignore[misc]
    ledger.let_go("a", lambda: told.append("ended"))
    assert told == ["begun"]
    ledger.let_go("a", lambda: told.append("ended"))
    assert told == ["begun", "ended"]
    assert not ledger.is_ours("a")


def test_what_has_gone_meanwhile_is_begun_again(tmp_path: Path) -> None:
    ledger, told = Ledger(tmp_path / "ledger"), list[str]()
    for _ in range(2):
        ledger.hold("a", lambda: False, lambda: told.append("begun"))
    assert told == ["begun", "begun"]


def test_what_cannot_be_begun_is_not_ours(tmp_path: Path) -> None:
    def fail() -> None:
        raise StorageFailure("no")

    ledger, ended = Ledger(tmp_path / "ledger"), list[str]()
    with pytest.raises(StorageFailure):
        ledger.hold("a", lambda: False, fail)
    assert not ledger.is_ours("a")
    ledger.hold("a", lambda: True, fail)
    ledger.let_go("a", lambda: ended.append("a"))
    assert ended == []


def test_what_cannot_be_ended_stays_ours(tmp_path: Path) -> None:
    def fail() -> None:
        raise StorageFailure("no")

    ledger, ended = Ledger(tmp_path / "ledger"), list[str]()
    ledger.hold("a", lambda: False, lambda: None)
    with pytest.raises(StorageFailure):
        ledger.let_go("a", fail)
    assert ledger.is_ours("a")
    ledger.hold("a", lambda: True, fail)
    ledger.let_go("a", lambda: ended.append("a"))
    assert ended == ["a"]


def test_after_a_boot_nothing_is_ours(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.write_text("first")
    ledger = Ledger(tmp_path / "ledger", boot)
    ledger.hold("a/b c", lambda: False, lambda: None)
    assert ledger.is_ours("a/b c")
    assert Ledger(tmp_path / "ledger", boot).is_ours("a/b c")
    boot.write_text("second")
    later, ended = Ledger(tmp_path / "ledger", boot), list[str]()
    assert not later.is_ours("a/b c")
    later.hold("a/b c", lambda: True, lambda: None)
    later.adopt("a/b c")
    later.let_go("a/b c", lambda: ended.append("a/b c"))
    assert ended == []


def test_what_cannot_be_noted_is_not_begun(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("in the way")
    begun: list[int] = []
    with pytest.raises(StorageFailure):
        Ledger(tmp_path / "ledger").hold("a", lambda: False, lambda: begun.append(1))
    assert begun == []
