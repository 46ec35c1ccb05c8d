from __future__ import annotations

import pytest

from tests.lifecycle.golden import GOLDEN, render


@pytest.mark.parametrize("name", ["lifecycle-vm.txt", "lifecycle-devices.txt", "lifecycle-storage.txt"])
def test_the_tables_are_as_committed(name: str) -> None:
    assert render()[name] == (GOLDEN / name).read_text(encoding="utf-8")
