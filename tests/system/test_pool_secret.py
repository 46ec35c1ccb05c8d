from __future__ import annotations

from pathlib import Path

from xapi.system.pool_secret import PoolSecret


def test_a_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "pool.secret"
    made = PoolSecret(path).value()
    assert len(made) == 64 and path.stat().st_mode & 0o777 == 0o600
    assert PoolSecret(path).value() == made
    assert PoolSecret(tmp_path / "other").value() != made


def test_only_the_secret_itself_matches(tmp_path: Path) -> None:
    secret = PoolSecret(tmp_path / "pool.secret")
    assert secret.matches(secret.value())
    for other in ("", secret.value()[:-1], secret.value() + "0", secret.value().upper() + "é", "\n"):
        assert not secret.matches(other)


def test_an_empty_file_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "pool.secret").write_text("")
    assert not PoolSecret(tmp_path / "pool.secret").matches("")


def test_a_changed_secret_counts_at_once(tmp_path: Path) -> None:
    secret = PoolSecret(tmp_path / "pool.secret")
    old = secret.value()
    (tmp_path / "pool.secret").write_text("another\n")
    assert secret.matches("another") and not secret.matches(old)
