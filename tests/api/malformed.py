"""Requests that nobody should send, made at random from a seed: bytes to write, and how to write them."""

from __future__ import annotations

import json
import random
import string
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass

from xapi.datamodel.catalog import CATALOG, Kind

# Calls that could end the session, guess at passwords or make objects would test something else.
CALLED = [
    name
    for name, method in CATALOG.methods.items()
    if name in ("event.from", "VM.start") or (method.session and method.kind not in (Kind.EXPLICIT, Kind.CREATE))
]
HUGE = ["9" * 400, "-" + "9" * 40, "1e999999", "0x" + "f" * 300, "99999999999999999999", "1_" * 60, "nan", "-inf"]
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "{ten}">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1 if n > 1 else str()};" * 10}">' for n in range(1, 9))
    + "]><methodCall><methodName>VM.get_all</methodName>"
    + "<params><param><value>&a8;</value></param></params></methodCall>"
).replace("{ten}", "boom" * 10)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    "<methodCall><methodName>&a;</methodName><params/></methodCall>"
)


@dataclass(frozen=True)
class Attack:
    """What to send: in pieces of this size, then perhaps no more though the connection stays open for reading."""

    kind: str
    data: bytes
    piece: int = 1 << 20
    harmless: bool = False  # may by chance be a call that succeeds


def http(body: bytes, path: str = "/", *, length: str | None = None, extra: bytes = b"") -> bytes:
    size = str(len(body)) if length is None else length
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {size}\r\n".encode()
        + extra
        + b"\r\n"
        + body
    )


class Attacker:
    """Makes attacks; the same seed makes the same ones."""

    def __init__(self, seed: int, session: str) -> None:
        self.random = random.Random(seed)
        self.session = session
        self.kinds: list[Callable[[], Attack]] = [
            self.noise,
            self.noise_in_http,
            self.odd_head,
            self.odd_length,
            self.odd_chunks,
            self.bomb,
            self.depth,
            self.wrong_type,
            self.wrong_arity,
            self.huge_number,
            self.bad_utf8,
            self.flipped,
            self.cut_short,
            self.bad_json,
            self.slow,
        ]

    def next(self) -> Attack:
        return self.random.choice(self.kinds)()

    def _bytes(self, most: int) -> bytes:
        return self.random.randbytes(self.random.randint(1, most))

    def _call(self) -> tuple[str, list[object]]:
        """A call with the right number of plausible parameters."""
        name = self.random.choice(CALLED)
        method = CATALOG.methods[name]
        params: list[object] = [self.random.choice(["x", "OpaqueRef:NULL", "1", ""]) for _ in method.params]
        return name, [self.session, *params]

    def _document(self, name: str, params: list[object]) -> bytes:
        return xmlrpc.client.dumps(tuple(params), name).encode()

    def noise(self) -> Attack:
        return Attack("noise", self._bytes(2000))

    def noise_in_http(self) -> Attack:
        return Attack("noise in HTTP", http(self._bytes(4000), self.random.choice(["/", "/jsonrpc", "/RPC2"])))

    def odd_head(self) -> Attack:
        head = self.random.choice(
            [
                b"POST / HTTP/9.9\r\n\r\n",
                b"POST\r\n\r\n",
                b"POST " + b"/" * 20000 + b" HTTP/1.1\r\n\r\n",
                b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
                b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
                b"POST / HTTP/1.1\r\n Folded: x\r\n\r\n",
                b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self._bytes(300),
                b"G\x00T / HTTP/1.1\r\n\r\n",
                b"POST / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
            ]
        )
        return Attack("odd head", head)

    def odd_length(self) -> Attack:
        length = self.random.choice(["-1", "1e3", "0x10", "99999999999999999999", "1125899906842624", "", "5, 6", "+5"])
        return Attack("odd length", http(self._bytes(100), length=length))

    def odd_chunks(self) -> Attack:
        size = self.random.choice([b"zz", b"-5", b"ffffffffffffffffff", b"5;" + b"x" * 9000, b"", b"0x5", b"5 5"])
        head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        return Attack("odd chunks", head + size + b"\r\n" + self._bytes(50))

    def bomb(self) -> Attack:
        return Attack("XML bomb", http(self.random.choice([BOMB, OUTSIDE]).encode()))

    def depth(self) -> Attack:
        levels = self.random.choice([100, 1000, 20000])
        nested = "<value><array><data>" * levels + "</data></array></value>" * levels
        body = f"<methodCall><methodName>VM.get_all</methodName><params><param>{nested}</param></params></methodCall>"
        if self.random.random() < 0.3:
            text = '{"jsonrpc":"2.0","id":1,"method":"VM.get_all","params":' + "[" * levels + "]" * levels + "}"
            return Attack("deep JSON", http(text.encode(), "/jsonrpc"))
        return Attack("deep XML", http(body.encode()))

    def wrong_type(self) -> Attack:
        name, params = self._call()
        odd: list[object] = [5, True, 1.5, [], {}, ["x"], {"a": "b"}, xmlrpc.client.DateTime(0), b"bytes", [[[]]]]
        for place in range(1, len(params)):
            params[place] = self.random.choice(odd)
        if len(params) == 1:
            params[0] = self.random.choice(odd)
        return Attack("wrong type", http(self._document(name, params)))

    def wrong_arity(self) -> Attack:
        name, params = self._call()
        count = self.random.choice([n for n in (0, 1, 2, 3, 5, 8, 100) if n != len(params)])
        params = (params * 100)[:count]
        return Attack("wrong arity", http(self._document(name, params)))

    def huge_number(self) -> Attack:
        params = [self.session, "OpaqueRef:NULL", self.random.choice(HUGE)]
        document = self._document("VM.set_user_version", params)
        if self.random.random() < 0.5:
            wrong = self.random.choice([b"int", b"i4", b"double", b"boolean", b"i8"])
            document = document.replace(b"string>", wrong + b">")
        return Attack("huge number", http(document))

    def bad_utf8(self) -> Attack:
        name, params = self._call()
        bad = self.random.choice([b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80"])
        document = self._document(name, params).replace(b"</methodName>", bad + b"</methodName>")
        if self.random.random() < 0.3:
            text = b'{"jsonrpc":"2.0","id":1,"method":"VM.get_all","params":["' + bad + b'"]}'
            return Attack("bad UTF-8 in JSON", http(text, "/jsonrpc"))
        return Attack("bad UTF-8", http(document))

    def flipped(self) -> Attack:
        document = bytearray(self._document(*self._call()))
        for _ in range(self.random.randint(1, 5)):
            document[self.random.randrange(len(document))] = self.random.randrange(256)
        return Attack("flipped bytes", http(bytes(document)), harmless=True)

    def cut_short(self) -> Attack:
        whole = http(self._document(*self._call()))
        return Attack("cut short", whole[: self.random.randrange(1, len(whole))])

    def bad_json(self) -> Attack:
        name, params = self._call()
        good = {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}
        match self.random.randrange(6):
            case 0:
                text = json.dumps(good)[: self.random.randrange(5, 40)]
            case 1:
                text = json.dumps(good | {"id": self.random.choice([None, [], {}, 1.5, True])})
            case 2:
                text = json.dumps(good | {"method": self.random.choice([None, 5, [], ""])})
            case 3:
                text = json.dumps(good | {"params": self.random.choice([None, 5, "x", True])})
            case 4:
                text = json.dumps([good] * 50)
            case _:
                text = json.dumps(good | {"params": [1e300, 10**400, None, self.session]})
        return Attack("bad JSON", http(text.encode(), "/jsonrpc"))

    def slow(self) -> Attack:
        text = "".join(self.random.choices(string.printable, k=60))
        return Attack("slow sender", b"POST / HTTP/1.1\r\nX: " + text.encode(), piece=1)
