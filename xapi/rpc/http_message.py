"""HTTP/1.x messages as values: request heads, framed bodies, response heads; no sockets here.

Everything in this module is pure, so that any bytes from a stranger can be tried against it without a connection.
The rules are those of RFC 9110 and RFC 9112, lenient where real clients need it (a bare LF, an absolute target,
CONNECT with a path) and strict where leniency lets one request be read as two.
"""

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

Buffer = bytes | bytearray | memoryview

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])")
_FIELD_LINE = re.compile(rf"^({_TOKEN}):([^\x00-\x08\x0a-\x1f\x7f]*)\r?\n", re.MULTILINE)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r?")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?]*")
_TOKEN_BYTES = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NEWLINES = b"\r\n"
_LENGTH_DIGITS = 19  # 2**63 has 19 digits; more is nonsense, and int() of a long text costs time
_CHUNK_LINE_LIMIT = 4096
_TRAILER_LIMIT = 65536
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class MessageError(Exception):
    """A message that breaks the protocol or a limit; `status` is the answer it deserves."""

    def __init__(self, status: int, explanation: str) -> None:
        super().__init__(explanation)
        self.status = status


class BodyKind(enum.Enum):
    """How the end of a request body is known."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection.

    `address` is the numeric IP address, or empty for a Unix socket; `certificate` is the client's in DER, only
    when the TLS context asked for one.
    """

    local: bool
    address: str = ""
    tls: bool = False
    certificate: bytes | None = None


@dataclass(slots=True)
class Head:
    """A parsed request head; `length` counts only when `body` is LENGTH."""

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    version: str
    headers: Mapping[str, str]
    body: BodyKind
    length: int
    keep_alive: bool
    expects_continue: bool


@dataclass(slots=True)  # not frozen: that would cost each request a microsecond
class Request:
    """One request: `path` is percent-decoded and without the query, `target` is as it was sent.

    Header names are lower-case; a repeated header is joined with a comma, and of a repeated query name the last
    value wins. Bytes that are not UTF-8 become U+FFFD in `path` and `query`; headers are decoded as Latin-1.
    """

    method: str
    path: str
    target: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    version: str = "1.1"
    body: bytes = b""
    peer: Peer = Peer(local=True)

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies of the request, by name."""
        return parse_cookies(self.headers.get("cookie", ""))


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: the body is bytes, or a sequence of ready fragments that are sent one after the other.

    Content-Length and Transfer-Encoding are set by the server and ignored here; `Connection: close` is obeyed.
    """

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: Buffer | Sequence[Buffer] = b""


def error_page(status: int, explanation: str) -> Response:
    """Return a small page of HTML that names the status and says why."""
    title = f"{status} {_REASONS.get(status, 'Error')}"
    text = (
        f"<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{escape(explanation)}</p></body></html>\n"
    )
    return Response(status, (("Content-Type", "text/html"),), text.encode())


def parse_head(buffer: bytes | bytearray, limit: int, count_limit: int) -> tuple[Head, int] | None:
    """Parse the request head at the start of the buffer: the head and its size, or None when more is needed.

    Empty lines before the request line are skipped and counted in the size, not in the limit (bytes).
    Raises MessageError; an error in a prefix is an error of the whole.
    """
    start = 0
    while start < len(buffer) and buffer[start] in _NEWLINES:
        start += 1
    if start == len(buffer):
        return None
    if buffer[start] not in _TOKEN_BYTES:
        raise MessageError(400, "This is not an HTTP request.")
    end = buffer.find(b"\n\r\n", start)
    size = end + 3
    bare = buffer.find(b"\n\n", start, end + 1 if end >= 0 else len(buffer))
    if bare >= 0:
        end, size = bare, bare + 2
    if end < 0:
        if len(buffer) - start >= limit:
            raise MessageError(431, "The request head is too long.")
        return None
    if size - start > limit:
        raise MessageError(431, "The request head is too long.")
    text = buffer[start : end + 1].decode("latin-1")
    line, _, fields = text.partition("\n")
    return _head(line.removesuffix("\r"), fields, count_limit), size


def _head(line: str, fields: str, count_limit: int) -> Head:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise MessageError(400, "The request line is malformed.")
    method, target, major, minor = match.groups()
    if major != "1":
        raise MessageError(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    version = "1.0" if minor == "0" else "1.1"
    headers = _parse_fields(fields, count_limit)
    path, query = _parse_target(method, target)
    connection = {option.strip(" \t") for option in headers.get("connection", "").lower().split(",")}
    if version == "1.1":
        keep_alive = "close" not in connection
    else:
        keep_alive = "keep-alive" in connection and "close" not in connection
    body, length = _framing(method, version, headers, keep_alive)
    expects = version == "1.1" and body is not BodyKind.NONE and headers.get("expect", "").lower() == "100-continue"
    return Head(method, target, path, query, version, headers, body, length, keep_alive, expects)


def _parse_fields(fields: str, count_limit: int) -> dict[str, str]:
    lines = fields.count("\n")
    if lines > count_limit:
        raise MessageError(431, "The request has too many headers.")
    found = _FIELD_LINE.findall(fields)
    if len(found) != lines:
        raise MessageError(400, "A header line is malformed.")
    headers: dict[str, str] = {}
    for name, value in found:
        name = name.lower()
        value = value.strip(" \t")
        if name in headers:
            if name == "host":
                raise MessageError(400, "The request names two hosts.")
            value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
        headers[name] = value
    return headers


def _parse_target(method: str, target: str) -> tuple[str, Mapping[str, str]]:
    path = target
    if path[0] != "/":
        absolute = _ABSOLUTE.match(path)
        if absolute is not None:
            path = path[absolute.end() :]
            if path[:1] != "/":
                path = "/" + path
        elif path != "*" and method != "CONNECT":
            raise MessageError(400, "The request target is malformed.")
    path, _, query = path.partition("?")
    return _decode(path), parse_query(query)


def _decode(text: str) -> str:
    if "%" in text or not text.isascii():
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "replace")
    return text


def parse_query(text: str) -> dict[str, str]:
    """Decode `a=1&b=two+words`; a name without a value has the empty one, the last of equal names wins."""
    query: dict[str, str] = {}
    if not text:
        return query
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.replace("+", " ").partition("=")
            query[_decode(name)] = _decode(value)
    return query


def parse_cookies(text: str) -> dict[str, str]:
    """Decode a Cookie header; values lose their quotes, what has no name is left out.

    Pairs part at `;`, and also at `&`, because tools of XenAPI hosts write their cookies like a query.
    """
    cookies = {}
    for pair in text.replace("&", ";").split(";"):
        name, mark, value = pair.partition("=")
        name = name.strip()
        if mark and name:
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            cookies[name] = _decode(value)
    return cookies


def _framing(method: str, version: str, headers: Mapping[str, str], keep_alive: bool) -> tuple[BodyKind, int]:
    length = headers.get("content-length")
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            raise MessageError(400, "Content-Length and Transfer-Encoding exclude each other.")
        if version == "1.0":
            raise MessageError(400, "HTTP/1.0 has no Transfer-Encoding.")
        if coding.lower() != "chunked":
            raise MessageError(501, "The only transfer coding known here is chunked.")
        return BodyKind.CHUNKED, 0
    if length is not None:
        values = {value.strip(" \t") for value in length.split(",")}
        value = values.pop()
        if values or not (value.isascii() and value.isdigit()) or len(value) > _LENGTH_DIGITS:
            raise MessageError(400, "The Content-Length is malformed.")
        size = int(value)
        return (BodyKind.LENGTH, size) if size else (BodyKind.NONE, 0)
    if method in ("PUT", "POST") and version == "1.0":
        return BodyKind.UNTIL_CLOSE, 0
    if method == "PUT" and not keep_alive:
        return BodyKind.UNTIL_CLOSE, 0
    return BodyKind.NONE, 0


class BodyDecoder:
    """Takes a body of one kind out of the bytes of a connection, as they arrive.

    `complete` says that the body has ended; `direct` is how many of the coming bytes are plain body, so that they
    can be read from the socket without a copy.
    """

    __slots__ = ("complete", "direct")

    def __init__(self, direct: int, complete: bool = False) -> None:
        self.direct = direct
        self.complete = complete

    def take(self, buffer: bytearray, limit: int) -> bytes:
        """Remove and return at most `limit` bytes of body from the buffer; empty when more input is needed."""
        count = min(limit, self.direct, len(buffer))
        if not count:
            return b""
        data = bytes(memoryview(buffer)[:count])
        del buffer[:count]
        self.skip(count)
        return data

    def skip(self, count: int) -> None:
        """Note that `count` bytes, at most `direct`, went by another way."""
        self.direct -= count
        self.complete = not self.direct

    def end_of_input(self) -> bool:
        """Note that the peer will send no more; say whether the body is whole."""
        return self.complete


class _UntilClose(BodyDecoder):
    __slots__ = ()

    def skip(self, count: int) -> None:
        """Note nothing: there is no end but the end of the connection."""

    def end_of_input(self) -> bool:
        """Note that the body has ended, which is the only way it can."""
        self.complete = True
        return True


class _Chunked(BodyDecoder):
    __slots__ = ("_read", "_trailer_size")

    def __init__(self) -> None:
        super().__init__(0)
        self._read = self._size_line
        self._trailer_size = 0

    def take(self, buffer: bytearray, limit: int) -> bytes:
        """Remove and return body bytes of at most one chunk, with the framing around them."""
        while not self.complete and not self.direct:
            if not self._read(buffer):
                return b""
        return super().take(buffer, limit)

    def skip(self, count: int) -> None:
        """Note that `count` bytes of the current chunk are gone."""
        self.direct -= count
        if not self.direct:
            self._read = self._chunk_end

    def _line(self, buffer: bytearray, limit: int) -> bytes | None:
        end = buffer.find(b"\n", 0, limit)
        if end < 0:
            if len(buffer) >= limit:
                raise MessageError(400, "A line of the chunked body is too long.")
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        return line

    def _size_line(self, buffer: bytearray) -> bool:
        line = self._line(buffer, _CHUNK_LINE_LIMIT)
        if line is None:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise MessageError(400, "The size of a chunk is malformed.")
        self.direct = int(match[1], 16)
        if not self.direct:
            self._read = self._trailer
        return True

    def _chunk_end(self, buffer: bytearray) -> bool:
        if buffer[:2] == b"\r\n":
            del buffer[:2]
        elif buffer[:1] == b"\n":
            del buffer[:1]
        elif len(buffer) == 0 or (len(buffer) == 1 and buffer[0] == 0x0D):
            return False
        else:
            raise MessageError(400, "A chunk is longer than its size.")
        self._read = self._size_line
        return True

    def _trailer(self, buffer: bytearray) -> bool:
        line = self._line(buffer, _TRAILER_LIMIT - self._trailer_size)
        if line is None:
            return False
        self._trailer_size += len(line) + 1
        if line in (b"", b"\r"):
            self.complete = True
        elif _FIELD_LINE.fullmatch(line.decode("latin-1") + "\n") is None:
            raise MessageError(400, "A trailer line is malformed.")
        return True


def body_decoder(head: Head) -> BodyDecoder:
    """Return the decoder for the body that the head announces."""
    if head.body is BodyKind.LENGTH:
        return BodyDecoder(head.length)
    if head.body is BodyKind.CHUNKED:
        return _Chunked()
    if head.body is BodyKind.UNTIL_CLOSE:
        return _UntilClose(1 << 62)
    return BodyDecoder(0, complete=True)


def render_head(status: int, headers: Iterable[tuple[str, str]], framing: str) -> bytes:
    """Return the bytes of a response head; `framing` is the server's own header lines, each with its CRLF.

    Raises ValueError for a header that would break the head apart.
    """
    lines = _kept_lines(status, headers) if isinstance(headers, tuple) else _response_lines(status, headers)
    return b"%b%b\r\n" % (lines, framing.encode("latin-1"))


def _response_lines(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    fields = [
        f"{name}: {value}\r\n"
        for name, value in headers
        if name.lower() not in ("content-length", "transfer-encoding", "connection")
    ]
    text = "".join(fields)
    if text.count("\n") != len(fields) or text.count("\r") != len(fields) or "\0" in text:
        raise ValueError("a response header contains a line break or a NUL")
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{text}".encode("latin-1")


def wants_close(headers: Iterable[tuple[str, str]]) -> bool:
    """Say whether the response headers ask for the end of the connection."""
    return _kept_close_wanted(headers) if isinstance(headers, tuple) else _close_wanted(headers)


def _close_wanted(headers: Iterable[tuple[str, str]]) -> bool:
    return any(name.lower() == "connection" and value.lower() == "close" for name, value in headers)


# Most responses have the same headers.
_kept_lines = lru_cache(maxsize=256)(_response_lines)
_kept_close_wanted = lru_cache(maxsize=256)(_close_wanted)


def has_no_body(status: int) -> bool:
    """Say whether a response of this status never has a body (RFC 9112, section 6.3)."""
    return status < 200 or status in (204, 304)


def parts(body: Buffer | Sequence[Buffer]) -> Sequence[Buffer]:
    """Return the body as a sequence, also when it is one buffer."""
    return (body,) if isinstance(body, (bytes, bytearray, memoryview)) else body


def body_size(body: Buffer | Sequence[Buffer]) -> int:
    """Return the size of the body in bytes; TypeError for what is not made of bytes."""
    if isinstance(body, bytes):
        return len(body)
    fragments = parts(body)
    if set(map(type, fragments)) == {bytes}:
        return sum(map(len, fragments))  # thousands of ready ones, at the speed of C
    return sum(part.nbytes if isinstance(part, memoryview) else memoryview(part).nbytes for part in fragments)


def join_blocks(fragments: Iterable[Buffer], size: int) -> Iterator[memoryview]:
    """Yield the fragments joined to blocks of at least `size` bytes (the last may be less); big ones go uncopied."""
    waiting: list[Buffer] = []
    total = 0
    for fragment in fragments:
        count = fragment.nbytes if isinstance(fragment, memoryview) else len(fragment)
        if not count:
            continue
        if count < size:
            waiting.append(fragment)
            total += count
            if total < size:
                continue
        if waiting:
            yield memoryview(b"".join(waiting))
            waiting, total = [], 0
        if count >= size:
            yield memoryview(fragment).cast("B")
    if total:
        yield memoryview(b"".join(waiting))
