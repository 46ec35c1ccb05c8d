from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.datamodel.catalog import CATALOG, empty
from xapi.datamodel.failure import Failure
from xapi.db import query

VM = CATALOG.entities["VM"]
HOST_CPU = CATALOG.entities["host_cpu"]


def make(entity, **members):
    return entity(("OpaqueRef:1", *(members.get(field.name, empty(field.type)) for field in entity.fields)))


PROBE = make(
    VM,
    uuid="u-1",
    name_label="probe-vm",
    power_state=CATALOG.enums["vm_power_state"]("Running"),
    memory_static_max=134217728,
    HVM_shadow_multiplier=1.0,
    is_a_template=False,
    tags=("a", "it's"),
    other_config=MappingProxyType({"k": "v", 'b\\"': ""}),
    snapshot_time=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    VCPUs_max=2,
)


def holds(text: str, row=PROBE) -> bool:
    return query.compile(text, type(row))(row)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("true", True),
        ("false", False),
        ("not true", False),
        ("not not true", True),
        ("(true)", True),
        ('"a" = "a"', True),
        ('"a" = "b"', False),
        ('"" = ""', True),
        ('"a"="a"and"b"="b"', True),
        ("true and false", False),
        ("false or true", True),
        ("\n\t true ", True),
        # one level, from left to right
        ("true or true and false", False),
        ("false and false or true", True),
        ("true or (true and false)", True),
        # not takes the whole rest
        ('not (field "name__label" = "probe-vm") and false', True),
        ("not true or true", False),
        ("(not true) or true", True),
        ("false and not false or true", False),
        ("notfalse", True),
    ],
)
def test_precedence_is_that_of_the_original(text, result):
    assert holds(text) is result


@pytest.mark.parametrize(
    "text",
    [
        'field "name__label" = "probe-vm"',
        '"probe-vm" = field "name__label"',
        'field "name__label" = field "name__label"',
        'field "uuid" = "u-1"',
        'field "ref" = "OpaqueRef:1"',
        'field "_ref" = "OpaqueRef:1"',
        'field "power_state" = "Running"',
        'field "memory__static_max" = "134217728" and field "name__label" = "probe-vm"',
        'field "is_a_template" = "false" and field "name__label" = "probe-vm"',
        'field "HVM__shadow_multiplier" = "1"',
        'field "snapshot_time" = "20240102T03:04:05Z"',
        'field "resident_on" = "OpaqueRef:NULL"',
        r"""field "tags" = "('a' 'it\'s')" """,
        'field "VBDs" = "()"',
        'not field "tags" = "z"',
        'not field "power_state" = field "name__label"',
    ],
)
def test_fields_compare_by_their_stored_text(text):
    assert holds(text)


def test_maps_are_stored_as_pairs():
    row = make(VM, other_config={"k": "v", "l": ""})
    assert holds("""field "other_config" = "(('k' 'v') ('l' ''))" """, row)
    assert holds("""field "current_operations" = "()" """, row)
    assert not holds("""field "other_config" = "()" """, row)


def test_every_field_of_every_class_may_be_asked_for():
    for entity in CATALOG.stored():
        row = make(entity)
        for field in entity.fields:
            assert holds(f'not field "{field.path}" = "nothing like it"', row)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "junk",
        "true and",
        "and true",
        "true true",
        "truefalse",
        "(true",
        "true)",
        "()",
        "not",
        'FIELD "name__label" = "probe-vm"',
        'field = "a"',
        'field "a"',
        '"a" =',
        '"a" "b"',
        '= "a"',
        'true = "a"',
        '"a" = true',
        '"a" = field',
        '"unclosed',
        "'a' = 'a'",
        "true\r",
        "true\0",
        "(" * 100_000,
        "(" * 100_000 + "true" + ")" * 100_000,
        "true and not " * 5000 + "true",
    ],
)
def test_what_is_no_query_is_refused_with_its_text_and_a_reason(text):
    with pytest.raises(Failure) as caught:
        query.compile(text, VM)
    assert caught.value.code == "INVALID_VALUE"
    assert caught.value.params[0] == text
    assert 0 < len(caught.value.params[1]) < 200


@pytest.mark.parametrize("name", ["name_label", "name/label", "", "nosuch", "Uuid"])
def test_a_missing_field_is_told_when_a_row_needs_it(name):
    predicate = query.compile(f'field "{name}" = "x"', VM)
    with pytest.raises(Failure) as caught:
        predicate(PROBE)
    assert caught.value.description == ["INTERNAL_ERROR", "missing field", name, ""]
    assert holds(f'true or field "{name}" = "x"')
    assert not holds(f'false and field "{name}" = "x"')


def test_long_and_deep_queries_within_the_limits_are_answered():
    assert holds(" and ".join(['field "uuid" = "u-1"'] * 20_000))
    assert holds("not " * 100_000 + "true")
    assert holds("(" * (query.MAX_DEPTH - 1) + "true" + ")" * (query.MAX_DEPTH - 1))
    assert holds("(true and not " * 49 + "false" + ")" * 49)


EXPRESSIONS = st.recursive(
    st.sampled_from([("true", True), ("false", False), ('field "uuid" = "u-1"', True), ('"a" = "b"', False)]),
    lambda inner: (
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) and ({two[1][0]})", two[0][1] and two[1][1]))
        | st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) or ({two[1][0]})", two[0][1] or two[1][1]))
        | inner.map(lambda one: (f"not ({one[0]})", not one[1]))
    ),
    max_leaves=20,
)


@given(EXPRESSIONS)
def test_nested_queries_mean_what_logic_says(pair):
    text, result = pair
    assert holds(text) is result


PIECES = st.lists(
    st.sampled_from(
        [
            "true",
            "false",
            "and",
            "or",
            "not",
            "(",
            ")",
            "field",
            "=",
            " ",
            '"',
            '"uuid"',
            '"u-1"',
            '"nosuch"',
            "x",
            "\\",
        ]
    ),
    max_size=25,
).map("".join)


@given(st.text() | PIECES)
def test_whatever_comes_is_a_query_or_refused(text):
    try:
        assert holds(text) in (True, False)
    except Failure as failure:
        assert failure.code in ("INVALID_VALUE", "INTERNAL_ERROR")
        assert (failure.code == "INTERNAL_ERROR") <= (failure.params[0] == "missing field")
