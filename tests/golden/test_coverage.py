"""What is not implemented is known, named, and only ever less."""

from __future__ import annotations

import re

import pytest

from tests.golden import coverage
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.failure import Failure


def test_nothing_more_is_missing_than_is_listed():
    assert sorted(set(coverage.missing()) - set(coverage.listed())) == []


def test_nothing_is_listed_that_is_done():
    assert sorted(set(coverage.listed()) - set(coverage.missing())) == [], "make docs takes them out"


def test_the_page_tells_the_state_of_every_message_of_its_own():
    page = coverage.COVERAGE.read_text()
    entity, told = "", {}
    for line in page.splitlines():
        if line.startswith("## "):
            entity = line[3:]
        row = re.fullmatch(r"\| (\w+) \| ([a-z ]+) \| .*\|", line)
        if row and row[1] != "message":
            told[f"{entity}.{row[1]}"] = row[2]
    known = coverage.states()
    assert set(told) <= set(known)
    wrong = {name: (said, str(known[name])) for name, said in told.items() if said != known[name]}
    assert not wrong, "make docs"
    assert {name for name, one in known.items() if one is coverage.State.MISSING} <= set(told)


def test_what_is_missing_says_so_itself(client):
    """Only messages without a reference get so far with made-up parameters; the others name the reference first."""
    for name in coverage.missing():
        method = CATALOG.methods[name]
        if method.params or not method.session or method.pool_internal:
            continue
        with pytest.raises(Failure) as refused:
            client(name)
        assert refused.value.description == ["NOT_IMPLEMENTED", name]
