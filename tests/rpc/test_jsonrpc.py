import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.rpc.jsonrpc import JsonCall, MalformedCall, failure, parse_call, success

OLD = JsonCall("1.0", 1, "VM.get_all", ["s"])
NEW = JsonCall("2.0", "abc", "VM.get_all", ["s"])


def document(**members: object) -> bytes:
    return json.dumps(members).encode()


def test_both_versions_are_read():
    assert parse_call(document(id=1, method="VM.get_all", params=["s"])) == OLD
    assert parse_call(document(jsonrpc="2.0", id="abc", method="VM.get_all", params=["s"])) == NEW


def test_only_the_newer_version_takes_parameters_by_name_or_none():
    assert parse_call(document(jsonrpc="2.0", id=1, method="a", params={"self": "x"})).params == {"self": "x"}
    assert parse_call(document(jsonrpc="2.0", id=1, method="a")).params == []
    with pytest.raises(MalformedCall):
        parse_call(document(id=1, method="a", params={}))
    with pytest.raises(MalformedCall):
        parse_call(document(id=1, method="a"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"x",
        b'"x"',
        b"[]",
        b"null",
        b"\xff",
        b'[{"id":1,"method":"a","params":[]}]',
        document(method="a", params=[]),
        document(id=None, method="a", params=[]),
        document(id=True, method="a", params=[]),
        document(id=1.5, method="a", params=[]),
        document(id=[], method="a", params=[]),
        document(id=1, params=[]),
        document(id=1, method="", params=[]),
        document(id=1, method=5, params=[]),
        document(id=1, method="a", params="x"),
        document(jsonrpc="2.0", id=1, method="a", params=None),
        document(jsonrpc="3.0", id=1, method="a", params=[]),
        document(jsonrpc=2.0, id=1, method="a", params=[]),
        b"[" * 100_000,
        b'{"id":1,"method":"a","params":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"id":1,"method":"\\ud800","params":[]}',
    ],
)
def test_what_is_no_call_is_malformed(body):
    with pytest.raises(MalformedCall):
        parse_call(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
LIKE_CALLS = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["1.0", "2.0"]) | JSON,
        "id": st.integers() | JSON,
        "method": st.text() | JSON,
        "params": st.lists(JSON) | JSON,
    },
)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | LIKE_CALLS.map(lambda call: json.dumps(call).encode())
)
def test_whatever_comes_is_a_call_or_malformed(body):
    try:
        call = parse_call(body)
    except MalformedCall:
        return
    assert json.loads(b"".join(success(call, [b"1"])))["id"] == json.loads(body)["id"]
    assert json.loads(failure(call, ["A"]))["id"] == json.loads(body)["id"]


def test_answers_of_the_older_version():
    assert b"".join(success(OLD, [b"[1", b",2]"])) == b'{"result":[1,2],"error":null,"id":1}'
    assert failure(OLD, ["HANDLE_INVALID", "VM", "x"]) == b'{"result":null,"error":["HANDLE_INVALID","VM","x"],"id":1}'


def test_answers_of_the_newer_version():
    assert b"".join(success(NEW, [b'""'])) == b'{"jsonrpc":"2.0","result":"","id":"abc"}'
    assert failure(NEW, ["HANDLE_INVALID", "VM", "x"]) == (
        b'{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","x"]},"id":"abc"}'
    )


def test_half_a_character_in_an_error_does_not_spoil_the_answer():
    assert json.loads(failure(NEW, ["A", "\ud800b"]))["error"]["data"] == ["?b"]


def test_big_fragments_are_handed_on_as_they_are():
    fragment = b"[" + b"1," * 1000 + b"1]"
    assert success(OLD, [fragment])[1] is fragment
