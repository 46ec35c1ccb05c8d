from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.fakes.websocket_frames import frame, frames
from xapi.rpc.http_message import MessageError, Request
from xapi.rpc.websocket import LARGEST, CloseCode, Opcode, WebSocket, agree, wants_upgrade

HEADERS = {
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def closed_with(socket: WebSocket) -> int:
    assert socket.closed
    opcode, payload = frames(socket.outbound())[-1]
    assert opcode == Opcode.CLOSE
    return int.from_bytes(payload)


def test_the_handshake_of_the_standard():
    upgrade = agree(Request("GET", "/", headers=HEADERS))
    assert dict(upgrade.headers) == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }
    assert upgrade.subprotocol == ""


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [("binary, base64", "binary"), ("base64", "base64"), ("chat,base64, binary", "base64"), ("chat", "")],
)
def test_subprotocols(asked, chosen):
    upgrade = agree(Request("GET", "/", headers={**HEADERS, "sec-websocket-protocol": asked}))
    assert upgrade.subprotocol == chosen
    assert dict(upgrade.headers).get("Sec-WebSocket-Protocol", "") == chosen


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"upgrade": "h2c"}, 400),
        ({"connection": "close"}, 400),
        ({"sec-websocket-version": "8"}, 426),
        ({"sec-websocket-version": ""}, 426),
        ({"sec-websocket-key": ""}, 400),
        ({"sec-websocket-key": "!!!"}, 400),
        ({"sec-websocket-key": "AAAA"}, 400),
        ({"sec-websocket-key": "ä" * 24}, 400),
    ],
)
def test_malformed_handshakes(change, status):
    with pytest.raises(MessageError) as refused:
        agree(Request("GET", "/", headers={**HEADERS, **change}))
    assert refused.value.status == status
    with pytest.raises(MessageError):
        agree(Request("GET", "/", headers=HEADERS, version="1.0"))


def test_an_ordinary_request_wants_no_upgrade():
    assert not wants_upgrade(Request("GET", "/"))
    assert wants_upgrade(Request("GET", "/", headers={"upgrade": "WebSocket"}))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
@pytest.mark.parametrize("subprotocol", ["", "binary", "base64"])
def test_sizes_both_ways(size, subprotocol):
    data = bytes(place * 7 % 251 for place in range(size))
    text = subprotocol == "base64"
    socket = WebSocket(subprotocol)
    sent = frame(1 if text else 2, base64.b64encode(data) if text else data)
    assert socket.receive(sent) == data
    socket.wrap(data)
    got = frames(socket.outbound())
    assert b"".join(base64.b64decode(part) if text else part for _, part in got) == data
    assert {opcode for opcode, _ in got} <= {Opcode.TEXT if text else Opcode.BINARY}


@settings(max_examples=150, deadline=None)
@given(some.lists(some.binary(max_size=300), max_size=8), some.integers(1, 64), some.booleans(), some.booleans())
def test_a_stream_arrives_in_any_pieces_and_fragments(parts, piece, text, fragmented):
    socket = WebSocket("base64" if text else "binary")
    opcode = Opcode.TEXT if text else Opcode.BINARY
    sent = b""
    for part in parts:
        payload = base64.b64encode(part) if text else part
        if fragmented:
            sent += frame(opcode, payload[:3], final=False) + frame(9, b"p") + frame(0, payload[3:])
        else:
            sent += frame(opcode, payload)
    got = b"".join(socket.receive(sent[start : start + piece]) for start in range(0, len(sent), piece))
    assert got == b"".join(parts)
    assert frames(socket.outbound()) == [(Opcode.PONG, b"p")] * (len(parts) if fragmented else 0)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(2, b"x", masked=False), CloseCode.PROTOCOL_ERROR),
        (frame(2, b"x", reserved=4), CloseCode.PROTOCOL_ERROR),
        (frame(3, b"x"), CloseCode.PROTOCOL_ERROR),
        (frame(0, b"x"), CloseCode.PROTOCOL_ERROR),
        (frame(2, b"x", final=False) + frame(2, b"y"), CloseCode.PROTOCOL_ERROR),
        (frame(9, b"x", final=False), CloseCode.PROTOCOL_ERROR),
        (frame(9, b"x" * 126), CloseCode.PROTOCOL_ERROR),
        (frame(8, b"x"), CloseCode.PROTOCOL_ERROR),
        (frame(8, struct.pack(">H", 1005)), CloseCode.PROTOCOL_ERROR),
        (frame(8, struct.pack(">H", 1000) + b"\xff"), CloseCode.BAD_DATA),
        (frame(1, b"x"), CloseCode.UNSUPPORTED),
        (b"\x82\xff" + (LARGEST + 1).to_bytes(8), CloseCode.TOO_BIG),
        (b"\x82\xff" + b"\xff" * 8, CloseCode.TOO_BIG),
    ],
)
def test_violations_close(sent, code):
    socket = WebSocket()
    socket.receive(sent)
    assert closed_with(socket) == code
    assert socket.receive(frame(2, b"late")) == b""
    socket.wrap(b"late")
    socket.ping()
    socket.close()
    assert socket.outbound() == b""


@pytest.mark.parametrize(("text", "code"), [(b"a", 1007), (b"a!b=", 1007), (b"\xff\xff\xff\xff", 1007)])
def test_what_is_not_base64_closes(text, code):
    socket = WebSocket("base64")
    assert socket.receive(frame(1, text)) == b""
    assert closed_with(socket) == code


def test_a_message_in_endless_fragments_is_too_big():
    socket = WebSocket("base64")
    socket.receive(frame(1, b"A" * 4, final=False))
    for _ in range(20):
        socket.receive(frame(0, b"A" * 60_000, final=False))
    assert closed_with(socket) == CloseCode.TOO_BIG


def test_a_close_is_answered_and_what_came_before_it_counts():
    socket = WebSocket()
    assert socket.receive(frame(2, b"bye") + frame(8, struct.pack(">H", 4000) + b"why") + frame(2, b"late")) == b"bye"
    assert frames(socket.outbound()) == [(Opcode.CLOSE, struct.pack(">H", 4000))]
    other = WebSocket()
    other.receive(frame(8))
    assert frames(other.outbound()) == [(Opcode.CLOSE, b"")]


def test_pings_and_our_own_goodbye():
    socket = WebSocket()
    socket.ping()
    socket.receive(frame(10, b"anything"))
    socket.close(CloseCode.GOING_AWAY)
    assert frames(socket.outbound()) == [(Opcode.PING, b""), (Opcode.CLOSE, struct.pack(">H", 1001))]


@settings(max_examples=300, deadline=None)
@given(
    some.lists(
        some.one_of(
            some.binary(max_size=60),
            some.builds(
                frame,
                some.integers(0, 15),
                some.binary(max_size=200),
                final=some.booleans(),
                masked=some.sampled_from([True, True, True, False]),
                wide=some.sampled_from([0, 8]),
            ),
        ),
        max_size=10,
    ),
    some.integers(1, 100),
    some.booleans(),
)
def test_any_bytes_are_taken_or_close_the_connection(parts, piece, text):
    socket = WebSocket("base64" if text else "binary")
    sent = b"".join(parts)
    got = b"".join(socket.receive(sent[start : start + piece]) for start in range(0, len(sent), piece))
    assert len(got) <= len(sent)
    assert len(socket._inbound) <= len(sent)
    frames(socket.outbound())
