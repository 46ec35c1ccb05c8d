from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.rpc.http_message import (
    BodyKind,
    Head,
    MessageError,
    Request,
    Response,
    body_decoder,
    body_size,
    error_page,
    join_blocks,
    parse_cookies,
    parse_head,
    parse_query,
    render_head,
)


def parse(data: bytes, limit: int = 65536, count: int = 100) -> tuple[Head, int]:
    found = parse_head(data, limit, count)
    assert found is not None
    return found


def status_of(data: bytes, limit: int = 65536, count: int = 100) -> int:
    with pytest.raises(MessageError) as caught:
        parse_head(data, limit, count)
    return caught.value.status


def outcome(data: bytes, limit: int = 300) -> object:
    try:
        return parse_head(data, limit, 5)
    except MessageError as error:
        return error.status


pieces = st.sampled_from(
    [
        b"GET",
        b"PUT",
        b" ",
        b"/a",
        b"?x=%41",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\n",
        b"\r",
        b"Host: h",
        b":",
        b"\t",
        b"Content-Length: 5",
        b"Content-Length: 6",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"\x00",
        b"\xff",
    ]
)
heads = st.one_of(st.binary(max_size=400), st.lists(pieces, max_size=30).map(b"".join))


@given(heads)
def test_any_bytes_are_a_request_or_too_few_or_refused(data: bytes) -> None:
    result = outcome(data)
    assert result is None or isinstance(result, tuple) or result in (400, 431, 501, 505)


@given(heads)
def test_bytes_one_by_one_give_the_same_head_as_all_at_once(data: bytes) -> None:
    result: object = None
    for end in range(len(data) + 1):
        result = outcome(data[:end])
        if result is not None:
            break
    assert result == outcome(data)


def test_a_usual_head() -> None:
    data = (
        b"POST /a%20b/?x=1&y=two+w%C3%B6rds&x=3 HTTP/1.1\r\nHost: h\r\nX-Many: a\r\nx-many:  b \r\nEmpty:\r\n\r\nrest"
    )
    head, size = parse(data)
    assert data[size:] == b"rest"
    assert (head.method, head.path, head.version) == ("POST", "/a b/", "1.1")
    assert head.target == "/a%20b/?x=1&y=two+w%C3%B6rds&x=3"
    assert head.query == {"x": "3", "y": "two wörds"}
    assert head.headers == {"host": "h", "x-many": "a, b", "empty": ""}
    assert head.body is BodyKind.NONE and head.keep_alive


@pytest.mark.parametrize("separator", [b"\n", b"\r\n"])
def test_line_ends_may_lack_their_carriage_return(separator: bytes) -> None:
    head, size = parse(separator.join([b"", b"", b"GET / HTTP/1.1", b"A: b", b"", b"more"]))
    assert head.headers == {"a": "b"} and size == len(separator) * 5 + 18


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://host:80/p?q=1", "/p"),
        ("https://host", "/"),
        ("https://host?q=1", "/"),
        ("*", "*"),
        ("//double", "//double"),
        ("/bad%ff%zz", "/bad\ufffd%zz"),
        ("/%2e%2e", "/.."),
    ],
)
def test_forms_of_the_target(target: str, path: str) -> None:
    assert parse(f"OPTIONS {target} HTTP/1.1\r\n\r\n".encode())[0].path == path


def test_connect_may_name_a_path_or_an_authority() -> None:
    head, _ = parse(b"CONNECT /console?ref=OpaqueRef:1 HTTP/1.0\r\n\r\n")
    assert (head.path, head.query, head.body) == ("/console", {"ref": "OpaqueRef:1"}, BodyKind.NONE)
    assert parse(b"CONNECT host:443 HTTP/1.1\r\n\r\n")[0].path == "host:443"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01",
        b"GET /\r\n\r\n",
        b"GET / a HTTP/1.1\r\n\r\n",
        b"GET relative HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nnothing\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 10000000000000000000\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_refused(data: bytes) -> None:
    assert status_of(data) == 400


def test_other_refusals_have_their_own_status() -> None:
    assert status_of(b"GET / HTTP/2.0\r\n\r\n") == 505
    assert status_of(b"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n") == 501
    assert status_of(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4 + b"\r\n", count=3) == 431
    assert status_of(b"GET /" + b"a" * 100, limit=100) == 431
    assert status_of(b"GET /" + b"a" * 100 + b" HTTP/1.1\r\n\r\n", limit=100) == 431


@pytest.mark.parametrize(
    ("line", "headers", "kind", "length"),
    [
        ("PUT / HTTP/1.1", "Content-Length: 1125899906842624", BodyKind.LENGTH, 1 << 50),
        ("PUT / HTTP/1.1", "Content-Length: 7\r\nCONTENT-LENGTH: 7", BodyKind.LENGTH, 7),
        ("PUT / HTTP/1.1", "Content-Length: 0", BodyKind.NONE, 0),
        ("PUT / HTTP/1.1", "transfer-encoding: Chunked", BodyKind.CHUNKED, 0),
        ("PUT / HTTP/1.1", "Connection: close", BodyKind.UNTIL_CLOSE, 0),
        ("PUT / HTTP/1.1", "A: b", BodyKind.NONE, 0),
        ("PUT / HTTP/1.0", "A: b", BodyKind.UNTIL_CLOSE, 0),
        ("POST / HTTP/1.0", "A: b", BodyKind.UNTIL_CLOSE, 0),
        ("POST / HTTP/1.1", "Connection: close", BodyKind.NONE, 0),
        ("GET / HTTP/1.0", "A: b", BodyKind.NONE, 0),
    ],
)
def test_how_the_end_of_a_body_is_known(line: str, headers: str, kind: BodyKind, length: int) -> None:
    head, _ = parse(f"{line}\r\n{headers}\r\n\r\n".encode())
    assert (head.body, head.length) == (kind, length)


@pytest.mark.parametrize(
    ("version", "connection", "keep"),
    [
        ("1.1", "", True),
        ("1.1", "Close", False),
        ("1.1", "te, close", False),
        ("1.1", "disclose", True),
        ("1.0", "", False),
        ("1.0", "Keep-Alive", True),
    ],
)
def test_who_keeps_a_connection(version: str, connection: str, keep: bool) -> None:
    assert parse(f"GET / HTTP/{version}\r\nConnection: {connection}\r\n\r\n".encode())[0].keep_alive is keep


def chunked(body: bytes, sizes: list[int]) -> bytes:
    out = bytearray()
    for size in sizes:
        chunk, body = body[:size], body[size:]
        if chunk:
            out += b"%X;name=value\r\n%b\r\n" % (len(chunk), chunk)
    if body:
        out += b"%x\n%b\n" % (len(body), body)
    return bytes(out + b"0\r\nTrailer: x\r\n\r\n")


def decode(head: bytes, parts: list[bytes]) -> tuple[bytes, bool, bytes]:
    decoder = body_decoder(parse(head)[0])
    buffer, out = bytearray(), b""
    for part in parts:
        buffer += part
        while piece := decoder.take(buffer, 7):
            out += piece
    return out, decoder.complete, bytes(buffer)


CHUNKED_HEAD = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@given(st.binary(max_size=100), st.lists(st.integers(1, 20), max_size=8), st.integers(1, 9))
def test_a_chunked_body_comes_out_whole_however_it_is_cut(body: bytes, sizes: list[int], step: int) -> None:
    wire = chunked(body, sizes) + b"next"
    parts = [wire[start : start + step] for start in range(0, len(wire), step)]
    assert decode(CHUNKED_HEAD, parts) == (body, True, b"next")


@given(st.binary(max_size=60), st.integers(1, 9))
def test_any_bytes_are_a_chunked_body_or_refused_however_they_are_cut(wire: bytes, step: int) -> None:
    def attempt(parts: list[bytes]) -> object:
        try:
            return decode(CHUNKED_HEAD, parts)
        except MessageError as error:
            return error.status

    whole = attempt([wire])
    if isinstance(whole, tuple) and whole[1]:
        wire = wire[: len(wire) - len(whole[2])]  # what comes after the body may be cut differently
        whole = attempt([wire])
    assert attempt([wire[start : start + step] for start in range(0, len(wire), step)] or [b""]) == whole


@pytest.mark.parametrize(
    "wire",
    [
        b"x\r\n",
        b"-1\r\n",
        b"\r\n",
        b"0x1\r\n",
        b"1\r\nab\r\n",
        b"11111111111111111\r\n",
        b"1;" + b"a" * 5000,
        b"0\r\nbad trailer\r\n",
        b"0\r\n" + b"a: b\r\n" * 11000,
    ],
)
def test_broken_chunks_are_refused(wire: bytes) -> None:
    with pytest.raises(MessageError):
        decode(CHUNKED_HEAD, [wire])


def test_a_body_of_known_length_leaves_what_follows() -> None:
    assert decode(b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", [b"12345", b"6789next"]) == (
        b"123456789",
        True,
        b"next",
    )


def test_a_body_until_close_ends_with_the_input_and_others_do_not() -> None:
    until_close = body_decoder(parse(b"PUT / HTTP/1.0\r\n\r\n")[0])
    assert until_close.take(bytearray(b"all"), 100) == b"all" and not until_close.complete
    assert until_close.end_of_input() and until_close.complete
    assert not body_decoder(parse(CHUNKED_HEAD)[0]).end_of_input()


def test_cookies_come_separated_as_browsers_or_as_tools_write_them() -> None:
    expected = {"session_id": "OpaqueRef:1", "task": "t"}
    assert parse_cookies('session_id=OpaqueRef%3A1; task="t"; junk') == expected
    assert parse_cookies("session_id=OpaqueRef:1&task=t") == expected
    assert Request("GET", "/", headers={"cookie": "a=b"}).cookies == {"a": "b"}


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_queries_come_back_as_they_were_encoded(query: dict[str, str]) -> None:
    assert parse_query(urlencode(query)) == query


@pytest.mark.parametrize("header", [("A", "b\r\nC: d"), ("A\n", "b"), ("A", "\0"), ("A", "\u20ac")])
def test_response_headers_cannot_break_out(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError):
        render_head(200, [header], "")


def test_the_servers_own_headers_cannot_be_set() -> None:
    head = render_head(
        200, [("content-length", "9"), ("X", "y"), ("Transfer-Encoding", "chunked")], "Content-Length: 1\r\n"
    )
    assert head == b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 1\r\n\r\n"


def test_an_error_page_escapes_what_it_quotes() -> None:
    page = error_page(400, "<b>")
    assert page.status == 400 and b"&lt;b&gt;" in bytes(page.body) and b"400 Bad Request" in bytes(page.body)  # type: ignore[arg-type]


@given(st.lists(st.binary(max_size=40)), st.integers(1, 50))
def test_joined_blocks_lose_nothing_and_only_the_last_is_small(fragments: list[bytes], size: int) -> None:
    blocks = list(join_blocks(fragments, size))
    assert b"".join(blocks) == b"".join(fragments)
    assert all(blocks), "an empty block would look like the end"
    big = sum(len(fragment) >= size for fragment in fragments)
    assert sum(len(block) < size for block in blocks) <= big + 1


def test_the_size_of_a_body_counts_bytes() -> None:
    assert body_size(b"abc") == 3
    assert body_size([b"a", bytearray(2), memoryview(bytes(8)).cast("I")]) == 11
    with pytest.raises(TypeError):
        body_size(["text"])  # type: ignore[list-item]
    assert Response(200).body == b""
