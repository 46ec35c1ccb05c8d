from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.system.inventory import inventory_text, write_inventory


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]*", fullmatch=True), st.text().filter(str.isprintable)))
def test_a_shell_reads_back_what_was_written(values):
    words = shlex.split(inventory_text(values))
    assert dict(word.split("=", 1) for word in words) == values


@pytest.mark.parametrize("values", [{"A B": "x"}, {"": "x"}, {"A": "x\ny"}, {"1A": ""}])
def test_what_would_break_a_reader_is_refused(values):
    with pytest.raises(ValueError, match="inventory entry"):
        inventory_text(values)


def test_everybody_may_read_the_file(tmp_path):
    write_inventory(tmp_path / "inventory", {"INSTALLATION_UUID": "1-2", "PRODUCT_VERSION": "8.3.0"})
    assert (tmp_path / "inventory").read_text() == "INSTALLATION_UUID='1-2'\nPRODUCT_VERSION='8.3.0'\n"
    assert (tmp_path / "inventory").stat().st_mode & 0o777 == 0o644
