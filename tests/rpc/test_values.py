import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL
from xapi.datamodel.types import Basic, EnumType, MapType, OptionType, RecordType, RefType, SetType, Type
from xapi.rpc import jsonrpc, values, xmlrpc
from xapi.rpc.values import WireDate, decode, json_value, xml_value

VM = CATALOG.entities["VM"]
POWER_STATE = EnumType(CATALOG.enums["vm_power_state"])
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
INTS = st.integers(-(2**63), 2**63 - 1)
DATES = st.datetimes(min_value=datetime(1, 1, 1)).map(lambda moment: moment.replace(microsecond=0, tzinfo=UTC))


def values_of(kind: Type) -> st.SearchStrategy:
    match kind:
        case Basic.STRING | RefType():
            return TEXTS
        case Basic.INT:
            return INTS
        case Basic.FLOAT:
            return st.floats(allow_nan=False, allow_infinity=False)
        case Basic.BOOL:
            return st.booleans()
        case Basic.DATETIME:
            return DATES
        case EnumType(enum):
            return st.sampled_from(list(enum))
        case SetType(of):
            return st.lists(values_of(of), max_size=4).map(tuple)
        case MapType(key, value):
            return st.dictionaries(values_of(key), values_of(value), max_size=4)
        case OptionType(of):
            return st.none() | values_of(of)
        case RecordType(entity):
            shown = {field.name: values_of(field.type) for field in entity.fields if not field.internal}
            return st.fixed_dictionaries(shown)
        case _:
            return st.none()


def declared_types() -> list[Type]:
    kinds: dict[Type, None] = {}
    for entity in CATALOG.entities.values():
        kinds |= {field.type: None for field in entity.fields}
    for method in CATALOG.methods.values():
        kinds |= dict.fromkeys((method.result, *(param.type for param in method.params)))
    return list(kinds)


PLAIN_TYPES = [kind for kind in declared_types() if "record" not in str(kind)]
TYPED_VALUES = st.sampled_from(PLAIN_TYPES).flatmap(lambda kind: st.tuples(st.just(kind), values_of(kind)))
ROWS = st.sampled_from(list(CATALOG.stored())).flatmap(
    lambda entity: st.tuples(*(values_of(field.type) for field in entity.fields)).map(
        lambda fields: entity((NULL, *fields))
    )
)
WIRE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text().map(WireDate)
    | st.sampled_from(["1", "0x10", "true", "20240101T00:00:00Z", "Running", "99999999T99:99:99Z"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def from_xml(rendered: bytes) -> object:
    body = b"<methodCall><methodName>x</methodName><params><param>%b</param></params></methodCall>" % rendered
    (value,) = xmlrpc.parse_call(body)[1]
    return value


def rounded(value: object) -> object:
    """Floats as 16 digits leave them, so that a round trip over XML can be compared."""
    if isinstance(value, float):
        return float(f"{value:.16g}")
    if isinstance(value, tuple):
        return tuple(rounded(item) for item in value)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value


def refused(kind: Type, wire: object) -> bool:
    with pytest.raises(Failure) as caught:
        decode(kind, wire, "the_name")
    return caught.value.description == ["FIELD_TYPE_ERROR", "the_name"]


@given(TYPED_VALUES)
def test_every_declared_type_survives_xml(typed):
    kind, value = typed
    assert decode(kind, from_xml(xml_value(kind, value)), "x") == rounded(value)


@given(TYPED_VALUES)
def test_every_declared_type_survives_json(typed):
    kind, value = typed
    assert decode(kind, json.loads(json_value(kind, value)), "x") == value


@given(st.sampled_from(declared_types()), WIRE)
def test_whatever_comes_is_a_value_or_a_type_error(kind, wire):
    try:
        decode(kind, wire, "x")
    except Failure as failure:
        assert failure.code == "FIELD_TYPE_ERROR"


@given(ROWS)
def test_a_row_shows_the_same_members_over_xml_and_json(row):
    entity = type(row)
    over_xml = from_xml(values.xml_record(entity)(row))
    over_json = json.loads(values.json_record(entity)(row))
    shown = [field for field in entity.fields if not field.internal]
    assert list(over_xml) == list(over_json) == [field.name for field in shown]
    for field in shown:
        assert decode(field.type, over_xml[field.name], "x") == rounded(row[field.index])
        assert decode(field.type, over_json[field.name], "x") == row[field.index]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-5", -5),
        ("+5", 5),
        ("0x10", 16),
        ("0X1f", 31),
        ("0o17", 15),
        ("0b101", 5),
        ("0u7", 7),
        ("-0x10", -16),
        ("1_000", 1000),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0xffffffffffffffff", -1),
        ("0x8000000000000000", -(2**63)),
    ],
)
def test_integers_are_read_as_the_original_reads_them(text, number):
    assert decode(Basic.INT, text, "x") == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 5",
        "5 ",
        "5\n",
        "1.5",
        "1e3",
        "0x",
        "_1",
        "x10",
        "--1",
        "٣",
        "9223372036854775808",
        "-9223372036854775809",
        "0x10000000000000000",
        "1" * 5000,
    ],
)
def test_text_that_is_no_integer_is_refused(text):
    assert refused(Basic.INT, text)


def test_the_wire_types_of_other_basic_types_are_refused():
    assert refused(Basic.STRING, 5)
    assert refused(Basic.STRING, None)
    assert refused(Basic.STRING, WireDate("20240101T00:00:00Z"))
    assert refused(Basic.INT, True)
    assert refused(Basic.INT, 1.0)
    assert refused(Basic.INT, 2**63)
    assert refused(Basic.BOOL, 1)
    assert refused(Basic.BOOL, "true")
    assert refused(Basic.FLOAT, True)
    assert refused(Basic.FLOAT, "1.5 ")
    assert refused(Basic.VOID, "x")
    assert refused(SetType(Basic.STRING), "vm")
    assert refused(SetType(Basic.STRING), {})
    assert refused(MapType(Basic.STRING, Basic.STRING), [])
    assert refused(MapType(Basic.STRING, Basic.STRING), {"a": 2})
    assert refused(RefType(VM), 5)


def test_floats_come_as_numbers_and_as_text():
    assert decode(Basic.FLOAT, 5, "x") == 5.0
    assert decode(Basic.FLOAT, "30", "x") == 30.0
    assert decode(Basic.FLOAT, "-1.5e3", "x") == -1500.0
    assert math.isnan(decode(Basic.FLOAT, "nan", "x"))


@pytest.mark.parametrize(
    "text",
    [
        "20240229T12:30:45Z",
        "20240229T12:30:45",
        "2024-02-29T12:30:45Z",
        "2024-02-29T12:30:45.678Z",
        "2024-02-29T14:30:45+02:00",
    ],
)
def test_dates_are_read_with_and_without_hyphens_as_utc(text):
    moment = decode(Basic.DATETIME, WireDate(text), "x")
    assert moment == decode(Basic.DATETIME, text, "x") == datetime(2024, 2, 29, 12, 30, 45, tzinfo=UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["", "now", "20240230T00:00:00Z", "20240101", "00000101T00:00:00Z", "0001-01-01T00:00:00+23:00"]
)
def test_what_is_no_date_is_refused(text):
    assert refused(Basic.DATETIME, text)


def test_dates_of_other_zones_go_out_in_utc_without_fractions():
    there = datetime(999, 5, 6, 1, 0, 9, 999, tzinfo=timezone(timedelta(hours=2)))
    assert xml_value(Basic.DATETIME, there) == b"<value><dateTime.iso8601>09990505T23:00:09Z</dateTime.iso8601></value>"
    assert json_value(Basic.DATETIME, there) == b'"09990505T23:00:09Z"'


def test_enumerations_ignore_case_save_two():
    assert decode(POWER_STATE, "RUNNING", "x") is CATALOG.enums["vm_power_state"]("Running")
    assert refused(POWER_STATE, "")
    assert refused(POWER_STATE, "nosuch")
    for name in ("bond_mode", "event_operation"):
        exact = EnumType(CATALOG.enums[name])
        member = next(iter(CATALOG.enums[name]))
        assert decode(exact, str(member), "x") is member
        assert refused(exact, member.upper())


def test_a_record_keeps_known_constructor_members_and_names_the_unfit_one():
    given_members = {
        "name_label": "a",
        "user_version": "0x10",
        "allowed_operations": 7,
        "nosuch": [],
        "memory_static_max": 5,
    }
    record = decode(RecordType(VM), given_members, "args")
    assert record["name_label"] == "a"
    assert record["user_version"] == 16
    assert record["memory_static_max"] == 5
    assert not {"nosuch", "allowed_operations"} & record.keys()
    assert "HVM_boot_policy" not in record
    with pytest.raises(Failure) as caught:
        decode(RecordType(VM), {"is_a_template": "true"}, "args")
    assert caught.value.description == ["FIELD_TYPE_ERROR", "is_a_template"]
    assert refused(RecordType(VM), [])


def test_integer_keys_of_maps_are_text_on_both_wires():
    kind = MapType(Basic.INT, Basic.FLOAT)
    assert xml_value(kind, {3: 0.5}) == (
        b"<value><struct><member><name>3</name><value><double>0.5</double></value></member></struct></value>"
    )
    assert json_value(kind, MappingProxyType({3: 0.5})) == b'{"3":0.5}'
    assert decode(kind, {"3": 0.5}, "x") == {3: 0.5}
    assert refused(kind, {"three": 0.5})


@pytest.mark.parametrize(
    ("kind", "value", "rendered"),
    [
        (Basic.STRING, "", b"<value></value>"),
        (Basic.STRING, "a<&>\"'\n\t", b"<value>a&lt;&amp;&gt;\"'\n\t</value>"),
        (Basic.STRING, "\r\0\x01\ufffe\ud800é", "<value>&#13;\ufffd\ufffd\ufffd\ufffdé</value>".encode()),
        (Basic.INT, -5, b"<value>-5</value>"),
        (Basic.FLOAT, 1.0, b"<value><double>1</double></value>"),
        (Basic.FLOAT, 0.1, b"<value><double>0.1</double></value>"),
        (Basic.BOOL, True, b"<value><boolean>1</boolean></value>"),
        (Basic.BOOL, False, b"<value><boolean>0</boolean></value>"),
        (Basic.VOID, None, b"<value></value>"),
        (POWER_STATE, POWER_STATE.enum("Running"), b"<value>Running</value>"),
        (SetType(Basic.STRING), (), b"<value><array><data></data></array></value>"),
        (SetType(Basic.INT), (1,), b"<value><array><data><value>1</value></data></array></value>"),
        (MapType(Basic.STRING, Basic.STRING), {}, b"<value><struct></struct></value>"),
        (OptionType(Basic.STRING), None, b"<value><nil/></value>"),
        (OptionType(Basic.STRING), "a", b"<value>a</value>"),
    ],
)
def test_xml_forms_are_those_that_clients_know(kind, value, rendered):
    assert xml_value(kind, value) == rendered


@pytest.mark.parametrize(
    ("kind", "value", "rendered"),
    [
        (Basic.STRING, 'a"\x01é', '"a\\"\\u0001é"'.encode()),
        (Basic.STRING, "\ud800a", '"\ufffda"'.encode()),
        (SetType(Basic.STRING), ("\ud800",), '["\ufffd"]'.encode()),
        (MapType(Basic.STRING, Basic.STRING), {"\ud800": "b"}, '{"\ufffd":"b"}'.encode()),
        (Basic.INT, 2**62, b"4611686018427387904"),
        (Basic.FLOAT, math.nan, b"null"),
        (Basic.BOOL, True, b"true"),
        (Basic.VOID, None, b'""'),
        (OptionType(Basic.STRING), None, b"null"),
    ],
)
def test_json_forms_are_those_that_clients_know(kind, value, rendered):
    assert json_value(kind, value) == rendered


def test_an_absent_option_is_left_out_of_a_record_also_within_another():
    stat = CATALOG.entities["sr_stat"]
    probe = CATALOG.entities["probe_result"]
    row = stat((NULL, *(field.default for field in stat.fields)))
    assert row[stat.field_named["uuid"].index] is None
    assert b"<name>uuid</name>" not in values.xml_record(stat)(row)
    assert "uuid" not in json.loads(values.json_record(stat)(row))
    outer = {"sr": row, "complete": True}
    assert json.loads(json_value(SetType(RecordType(probe)), (outer,))) == [
        {"complete": True, "sr": json.loads(values.json_record(stat)(row))}
    ]
    assert values.xml_record(stat)(row) in xml_value(RecordType(probe), outer)
    assert json_value(RecordType(probe), {"sr": None, "complete": True}) == b'{"complete":true}'
    assert b"<name>sr</name>" not in xml_value(RecordType(probe), {"sr": None, "complete": True})


def test_internal_fields_are_not_shown():
    session = CATALOG.entities["VM"]
    hidden = [field.name for field in session.fields if field.internal]
    row = session((NULL, *(field.default for field in session.fields)))
    names = re.findall(rb"<name>(\w+)</name>", values.xml_record(session)(row))
    assert hidden
    assert not {name.decode() for name in names} & set(hidden)


def test_members_join_to_a_map_of_records():
    xml = values.XML_STRUCT_START + values.xml_member("a<b", b"<value>1</value>") + values.XML_STRUCT_END
    assert from_xml(xml) == {"a<b": "1"}
    assert json.loads(b"{%b}" % b",".join([values.json_member('a"', b"1"), values.json_member("b", b"2")])) == {
        'a"': 1,
        "b": 2,
    }
    assert values.xml_i4(5) == b"<value><i4>5</i4></value>"


@given(st.text())
def test_any_text_goes_into_both_documents(text):
    assert isinstance(from_xml(xml_value(Basic.STRING, text)), str)
    call = jsonrpc.JsonCall("2.0", 1, "x", [])
    assert isinstance(json.loads(b"".join(jsonrpc.success(call, [json_value(Basic.STRING, text)])))["result"], str)
