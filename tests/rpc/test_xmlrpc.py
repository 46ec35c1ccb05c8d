import threading
import xmlrpc.client as standard
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xapi.datamodel.failure import Failure
from xapi.rpc import xmlrpc
from xapi.rpc.values import WireDate
from xapi.rpc.xmlrpc import MalformedAnswer, MalformedCall, parse_call, parse_response, render_call


def call_with(value: str) -> bytes:
    return (
        f'<?xml version="1.0"?><methodCall><methodName>VM.x</methodName>'
        f"<params><param>{value}</param></params></methodCall>"
    ).encode()


def read(value: str) -> object:
    name, (param,) = parse_call(call_with(value))
    assert name == "VM.x"
    return param


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ("<value>a</value>", "a"),
        ("<value/>", ""),
        ("<value> a </value>", " a "),
        ("<value><string>a &amp; b</string></value>", "a & b"),
        ("<value><string/></value>", ""),
        ("\n <value>\n <string>a</string>\n </value>\n ", "a"),
        ("<value><int> 5 </int></value>", 5),
        ("<value><i4>-5</i4></value>", -5),
        ("<value><i8>9223372036854775807</i8></value>", 2**63 - 1),
        ("<value><boolean>1</boolean></value>", True),
        ("<value><boolean>0</boolean></value>", False),
        ("<value><double>1.5</double></value>", 1.5),
        ("<value><nil/></value>", None),
        ("<value><base64>aMOp\n</base64></value>", "hé"),
        ("<value><array><data/></array></value>", []),
        ("<value><array>\n<data>\n<value>a</value> <value><int>1</int></value></data></array></value>", ["a", 1]),
        ("<value><struct/></value>", {}),
        ("<value><struct><member><name>a</name><value>b</value></member></struct></value>", {"a": "b"}),
        ("<value><!-- c -->a<?pi x?>b</value>", "ab"),
        ("<value><![CDATA[<a>]]></value>", "<a>"),
        ('<value xmlns:ex="urn:x"><ex:nil/></value>', None),
        ('<value xmlns="urn:x"><int>5</int></value>', 5),
    ],
)
def test_values_are_read(document, value):
    found = read(document)
    assert found == value
    assert type(found) is type(value)


def test_a_date_is_told_from_a_string():
    date = read("<value><dateTime.iso8601>20240101T00:00:00Z</dateTime.iso8601></value>")
    assert type(date) is WireDate
    assert date == "20240101T00:00:00Z"


def test_of_two_members_with_one_name_the_later_stays():
    member = "<member><name>x</name><value>{}</value></member>"
    assert read(f"<value><struct>{member.format(1)}{member.format(2)}</struct></value>") == {"x": "2"}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"  ",
        b"not xml",
        b"<a",
        b"<methodCall/>",
        b"<other/>",
        b"<methodCall><methodName>a</methodName></methodCall>",
        b"<methodCall><methodName></methodName><params/></methodCall>",
        b"<methodCall><params/><methodName>a</methodName></methodCall>",
        b"<methodCall><methodName>a</methodName><params><other/></params></methodCall>",
        b"<methodCall><methodName>a<b/></methodName><params/></methodCall>",
        b"<!DOCTYPE a><methodCall><methodName>a</methodName><params/></methodCall>",
        b'<!DOCTYPE a [<!ENTITY e "hi">]><methodCall><methodName>&e;</methodName><params/></methodCall>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><methodCall><methodName>a</methodName><params/></methodCall>',
        b"<?xml version='1.0' encoding='nosuch'?><methodCall/>",
        b"<methodCall><methodName>a\xff</methodName><params/></methodCall>",
        call_with(""),
        call_with("<value>a</value><value>b</value>"),
        call_with("<value><unknown>a</unknown></value>"),
        call_with("<value><int>1</int><int>2</int></value>"),
        call_with("<value>a<int>1</int></value>"),
        call_with("<value><int>1</int>a</value>"),
        call_with("<value><int>x</int></value>"),
        call_with("<value><int>9223372036854775808</int></value>"),
        call_with("<value><int><b/></int></value>"),
        call_with("<value><double>x</double></value>"),
        call_with("<value><boolean>2</boolean></value>"),
        call_with("<value><boolean></boolean></value>"),
        call_with("<value><nil>a</nil></value>"),
        call_with("<value><base64>!</base64></value>"),
        call_with("<value><base64>/w==</base64></value>"),
        call_with("<value><array/></value>"),
        call_with("<value><array><data><int>1</int></data></array></value>"),
        call_with("<value><array><data>a</data></array></value>"),
        call_with("<value><struct><member><name>a</name></member></struct></value>"),
        call_with("<value><struct><member><value>a</value><name>a</name></member></struct></value>"),
        call_with("<value><struct><other/></struct></value>"),
        call_with("<value>&#1;</value>"),
        call_with("<value>&undeclared;</value>"),
        call_with("<value><array><data>" * 70 + "</data></array></value>" * 70),
        call_with("<value><array><data>" * 5000 + "</data></array></value>" * 5000),
        b"<a>" * 100_000,
    ],
)
def test_what_is_no_call_is_malformed(document):
    with pytest.raises(MalformedCall):
        parse_call(document)


def test_an_entity_never_reads_a_file_nor_grows():
    laughs = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    document = (
        f'<!DOCTYPE a [<!ENTITY e0 "lol">{laughs}]>' + call_with("<value>&e8;</value>").decode().partition("?>")[2]
    )
    with pytest.raises(MalformedCall):
        parse_call(document.encode())


def test_a_document_that_is_too_large_is_refused_before_it_is_read():
    with pytest.raises(MalformedCall, match="too large"):
        parse_call(b" " * (xmlrpc.MAX_BYTES + 1))


GRAMMAR = st.lists(
    st.sampled_from(
        [
            f"<{end}{name}>"
            for name in [
                "methodCall",
                "methodName",
                "params",
                "param",
                "value",
                "int",
                "struct",
                "member",
                "name",
                "array",
                "data",
                "nil",
                "x:y",
            ]
            for end in ("", "/")
        ]
        + ["a", "5", " ", "<!--", "-->", "<![CDATA[", "]]>", "&amp;", "&#0;", "<?x?>", "<value/>", "<!DOCTYPE a>"]
    ),
    max_size=30,
).map("".join)


@given(st.binary() | GRAMMAR.map(str.encode) | GRAMMAR.map(call_with))
@example(b"\xff\xfe<\x00a\x00/\x00>\x00")
def test_whatever_comes_is_a_call_or_malformed(body):
    try:
        name, params = parse_call(body)
    except MalformedCall:
        return
    assert name
    assert isinstance(params, list)


@given(st.data())
def test_a_damaged_document_is_a_call_or_malformed(data):
    document = bytearray(render_call("VM.x", ["a", {"b": [True, 1.5, datetime(2024, 1, 1, tzinfo=UTC)]}]))
    at = data.draw(st.integers(0, len(document) - 1))
    document[at] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(parse_call(bytes(document)), tuple)
    except MalformedCall as problem:
        assert str(problem)


def test_a_success_is_as_the_original_writes_it():
    fragment = [b"<value>", b"x", b"</value>"]
    answer = xmlrpc.success(fragment)
    assert answer[1:-1] == fragment
    assert all(piece is given for piece, given in zip(answer[1:-1], fragment, strict=True))
    assert b"".join(answer) == (
        b'<?xml version="1.0"?><methodResponse><params><param><value><struct><member><name>Status</name>'
        b"<value>Success</value></member><member><name>Value</name><value>x</value></member></struct></value>"
        b"</param></params></methodResponse>"
    )


def test_a_failure_is_as_the_original_writes_it():
    assert xmlrpc.failure(["HANDLE_INVALID", "<&\x01"]) == (
        b'<?xml version="1.0"?><methodResponse><params><param><value><struct><member><name>Status</name>'
        b"<value>Failure</value></member><member><name>ErrorDescription</name><value><array><data>"
        b"<value>HANDLE_INVALID</value><value>&lt;&amp;\xef\xbf\xbd</value></data></array></value></member></struct>"
        b"</value></param></params></methodResponse>"
    )


def test_the_standard_client_reads_every_answer():
    ((ok,), _) = standard.loads(b"".join(xmlrpc.success([b"<value>x</value>"])))
    ((bad,), _) = standard.loads(xmlrpc.failure(["A", "b"]))
    ((names,), _) = standard.loads(b"".join(xmlrpc.bare([b"<value><array><data></data></array></value>"])))
    assert ok == {"Status": "Success", "Value": "x"}
    assert bad == {"Status": "Failure", "ErrorDescription": ["A", "b"]}
    assert names == []


def test_our_client_reads_every_answer():
    assert parse_response(b"".join(xmlrpc.success([b"<value><boolean>1</boolean></value>"]))) is True
    assert parse_response(b"".join(xmlrpc.bare([b"<value>x</value>"]))) == "x"
    with pytest.raises(Failure) as caught:
        parse_response(xmlrpc.failure(["HANDLE_INVALID", "VM", "x"]))
    assert caught.value.description == ["HANDLE_INVALID", "VM", "x"]
    with pytest.raises(Failure) as caught:
        parse_response(standard.dumps(standard.Fault(1, "broken"), methodresponse=True).encode())
    assert caught.value.description == ["Fault", "broken"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<methodCall/>",
        b"<methodResponse/>",
        b"<methodResponse><other/></methodResponse>",
        b"<methodResponse><params/></methodResponse>",
        b"".join(xmlrpc.bare([b"<value><dateTime.iso8601>x</dateTime.iso8601></value>"])),
        b"".join(
            xmlrpc.bare([b"<value><struct><member><name>Status</name><value>Success</value></member></struct></value>"])
        ),
        b"".join(
            xmlrpc.bare([b"<value><struct><member><name>Status</name><value>Failure</value></member></struct></value>"])
        ),
    ],
)
def test_an_answer_that_is_none_is_malformed(body):
    with pytest.raises(MalformedAnswer):
        parse_response(body)


CARRIED = st.recursive(
    st.booleans()
    | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
    | st.datetimes(min_value=datetime(1000, 1, 1)).map(lambda moment: moment.replace(microsecond=0, tzinfo=UTC))
    | st.integers(-100, 100).map(lambda number: number / 4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(categories=["L", "N"])), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(CARRIED)
def test_what_our_client_says_comes_back(value):
    body = render_call("VM.x", [value])
    rendered = body[body.index(b"<param>") + len(b"<param>") : body.rindex(b"</param>")]
    assert parse_response(b"".join(xmlrpc.success([rendered]))) == value
    standard.loads(body)


def test_our_client_writes_integers_without_a_type_and_refuses_what_has_no_form():
    assert b"<param><value>5</value></param><param><value></value></param>" in render_call("x", [5, None])
    with pytest.raises(TypeError):
        render_call("x", [object()])


def test_threads_parse_at_the_same_time_each_with_its_own_parser():
    body = render_call("VM.x", [[str(number) for number in range(100)]])
    found: list[bool] = []

    def work() -> None:
        found.append(all(parse_call(body)[1] == [[str(number) for number in range(100)]] for _ in range(50)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


PLAIN_PARAMS = st.one_of(
    st.text(alphabet="ab <>&]\n\t\r.é\x00", max_size=8),
    st.booleans(),
    st.floats(allow_nan=False),
    st.lists(st.text(alphabet="vm/*& ", max_size=6), max_size=4),
    st.integers(-9, 9),
)
BLANKS = st.sampled_from(["", "\n", " \t\n"])
PIECES = st.sampled_from(
    [
        *("<?xml version='1.0'?>", "<?xml version='1.0' encoding='utf-8'?>", "<methodCall>", "</methodCall>"),
        *("<methodName>", "</methodName>", "<params>", "</params>", "<param>", "</param>", "<value>", "</value>"),
        *("<string>", "</string>", "<array>", "<data>", "</data>", "</array>", "<boolean>1</boolean>", "<boolean>"),
        *("<double>1.5</double>", "<double>x</double>", "]]>", "&amp;", " ", "VM.x", "a", "<value/>", "<!-- c -->"),
    ]
)


def agrees_with_the_parser(document: bytes) -> bool:
    """Say whether the document was plain; what is read of a plain one must be what the parser reads."""
    plain = xmlrpc.plain_call(document)
    if plain is None:
        return False
    parsed = xmlrpc.parsed_call(document)
    assert plain == parsed
    assert [type(param) for param in plain[1]] == [type(param) for param in parsed[1]]
    return True


@given(st.lists(PLAIN_PARAMS, max_size=4), BLANKS, st.sampled_from(["VM.x", " VM.x\n", ""]))
def test_a_plain_call_is_read_as_the_parser_reads_it(params, blank, name):
    for document in (render_call(name, params), standard.dumps(tuple(params), name).encode()):
        agrees_with_the_parser(document.replace(b"><", f">{blank}<".encode()))
        agrees_with_the_parser(document)


@given(st.lists(PIECES, max_size=6), st.lists(PIECES, max_size=4), st.integers(0, 200), st.integers(0, 40))
def test_a_broken_call_is_never_taken_for_a_plain_one(inside, broken, at, gone):
    document = f"<methodCall><methodName>VM.x</methodName><params>{''.join(inside)}</params></methodCall>"
    agrees_with_the_parser(document.encode())
    agrees_with_the_parser((document[:at] + "".join(broken) + document[at + gone :]).encode())


def test_the_calls_of_common_clients_are_plain():
    assert agrees_with_the_parser(render_call("event.from", ["s", ["vm", "VM/r"], "", 30.0, True]))
    assert agrees_with_the_parser(standard.dumps(("s", ["vm", "task"], "", 30.0, True, ""), "event.from").encode())
    assert agrees_with_the_parser(b'<?xml version="1.0" encoding="UTF-8"?>' + call_with("<value></value>")[21:])
    assert not agrees_with_the_parser(call_with("<value>a]]&gt;</value>"))
