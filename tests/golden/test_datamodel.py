from tests.golden.datamodel import dump
from tests.golden.write import DATAMODEL


def test_the_contract_is_as_it_was():
    assert dump() == DATAMODEL.read_text(), "if the contract is meant to change: make docs, and read the difference"
