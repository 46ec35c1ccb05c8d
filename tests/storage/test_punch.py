from __future__ import annotations

from pathlib import Path

import pytest

from xapi.storage.punch import GRAIN, punch


def test_only_whole_pages_become_holes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10 * GRAIN)
    with open(path, "rb+") as file:
        assert punch(file.fileno(), 100, GRAIN) == (100, 100)
        assert punch(file.fileno(), 100, 3 * GRAIN) == (GRAIN, 3 * GRAIN)
        with pytest.raises(OSError, match="Bad file"):
            punch(-1, 0, GRAIN)
    assert path.read_bytes() == b"x" * GRAIN + bytes(2 * GRAIN) + b"x" * 7 * GRAIN
