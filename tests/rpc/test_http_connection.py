import datetime
import ipaddress
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_http import Place, echo, read, rest, until

from xapi.rpc.http import Exchange, Later, Limits, Request, Response, Simple, Streaming


class Bell:
    """A handler whose answers come when the test says so."""

    def __init__(self) -> None:
        self.answers: list[Callable[[Response], None]] = []
        self.cancelled: list[int] = []

    def __call__(self, request: Request) -> Later:
        return Later(self.begin)

    def begin(self, answer: Callable[[Response], None]) -> Callable[[], None]:
        number = len(self.answers)
        self.answers.append(answer)
        return lambda: self.cancelled.append(number)

    def ring(self, body: bytes = b"rung") -> None:
        for answer in self.answers:
            answer(Response(200, (), body))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "s")
    place.routes["/echo"] = Simple(echo)
    place.routes["/big"] = Simple(lambda request: Response(200, (), [b"x" * 1000] * 5000))
    yield place
    place.close()


@pytest.fixture
def bell(place: Place) -> Bell:
    bell = Bell()
    place.routes["/wait"] = Simple(bell)
    return bell


WAIT = b"GET /wait HTTP/1.1\r\n\r\n"
ECHO = b"POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nnext"


def waiting(place: Place, count: int) -> None:
    assert place.server is not None
    statistics = place.server.statistics
    until(lambda: statistics().waiting == count and statistics().active == 0)


# Later


def test_waiters_hold_no_thread_and_all_are_answered(place: Place, bell: Bell) -> None:
    server = place.serve(threads=(1, 4))
    socks = [place.connect(WAIT) for _ in range(100)]
    waiting(place, 100)
    assert server.statistics().threads <= 4
    bell.ring()
    assert [read(sock)[2] for sock in socks] == [b"rung"] * 100
    socks[50].sendall(ECHO)
    assert read(socks[50])[2] == b"next"


def test_an_answer_may_come_before_begin_returns(place: Place) -> None:
    def begin(answer: Callable[[Response], None]) -> Callable[[], None]:
        answer(Response(200, (), b"at once"))
        return lambda: pytest.fail("cancelled")

    place.routes["/wait"] = Simple(lambda request: Later(begin))
    place.serve()
    sock = place.connect(WAIT + ECHO)
    assert [read(sock)[2], read(sock)[2]] == [b"at once", b"next"]


def test_only_the_first_answer_counts(place: Place, bell: Bell) -> None:
    place.serve()
    sock = place.connect(WAIT)
    waiting(place, 1)
    bell.ring(b"first")
    bell.ring(b"second")
    sock.sendall(ECHO)
    assert [read(sock)[2], read(sock)[2]] == [b"first", b"next"]


def test_requests_sent_ahead_of_the_answer_wait_for_it(place: Place, bell: Bell) -> None:
    place.serve()
    sock = place.connect(WAIT)
    waiting(place, 1)
    sock.sendall(ECHO * 3000)  # more than the server is willing to read ahead
    waiting(place, 1)
    bell.ring()
    assert read(sock)[2] == b"rung"
    assert [read(sock)[2] for _ in range(3000)] == [b"next"] * 3000


def test_an_old_client_is_answered_and_left(place: Place, bell: Bell) -> None:
    place.serve()
    sock = place.connect(b"GET /wait HTTP/1.0\r\n\r\n")
    waiting(place, 1)
    bell.ring()
    assert rest(sock).endswith(b"rung")


def test_a_big_answer_from_a_foreign_thread_comes_whole(place: Place, bell: Bell) -> None:
    place.serve()
    sock = place.connect(WAIT)
    waiting(place, 1)
    bell.ring(b"x" * 5_000_000)
    assert len(read(sock)[2]) == 5_000_000


def test_an_answer_that_cannot_be_sent_is_a_500(place: Place, bell: Bell, caplog: pytest.LogCaptureFixture) -> None:
    place.serve()
    sock = place.connect(WAIT)
    waiting(place, 1)
    bell.answers[0](None)  # type: ignore[arg-type]
    assert read(sock)[0] == 500


def test_a_begin_that_fails_is_a_500(place: Place) -> None:
    def begin(answer: Callable[[Response], None]) -> Callable[[], None]:
        raise RuntimeError("as asked")

    place.routes["/wait"] = Simple(lambda request: Later(begin))
    place.serve()
    sock = place.connect(WAIT + ECHO)
    assert [read(sock)[0], read(sock)[0]] == [500, 200]


def test_a_hang_up_cancels_once_and_the_late_answer_goes_nowhere(place: Place, bell: Bell) -> None:
    server = place.serve()
    address = server.listen_tcp("127.0.0.1", 0)
    with socket.create_connection(address) as remote:
        remote.sendall(WAIT)
        waiting(place, 1)
    until(lambda: bell.cancelled == [0])
    local = place.connect(WAIT)
    waiting(place, 1)
    local.close()
    until(lambda: bell.cancelled == [0, 1])
    bell.ring()
    server.close()
    assert bell.cancelled == [0, 1]


def test_a_cancel_that_fails_harms_nobody(place: Place) -> None:
    called = threading.Event()

    def cancel() -> None:
        called.set()
        raise RuntimeError("as asked")

    place.routes["/wait"] = Simple(lambda request: Later(lambda answer: cancel))
    place.serve(threads=(1, 1))
    place.connect(WAIT).close()
    assert called.wait(10)
    assert read(place.connect(ECHO))[0] == 200


def test_a_local_peer_may_half_close_and_still_be_answered(place: Place, bell: Bell) -> None:
    place.serve()
    sock = place.connect(WAIT)
    sock.shutdown(socket.SHUT_WR)
    waiting(place, 1)
    bell.ring()
    assert rest(sock).endswith(b"rung")
    other = place.connect(WAIT)
    other.shutdown(socket.SHUT_WR)
    waiting(place, 1)
    other.close()
    until(lambda: bell.cancelled == [1])


def test_closing_the_server_cancels_who_waits(place: Place, bell: Bell) -> None:
    server = place.serve()
    sock = place.connect(WAIT)
    waiting(place, 1)
    server.close(10)
    assert rest(sock) == b"" and bell.cancelled == [0]
    bell.ring()


# Streaming


def stream(place: Place, handler: Callable[[Exchange], None], path: str = "/stream") -> None:
    place.routes[path] = Streaming(handler)


def collect(exchange: Exchange) -> None:
    body = b"".join(exchange)
    exchange.respond(Response(200, (("Truncated", str(exchange.truncated)),), body))


def fill(exchange: Exchange) -> None:
    buffer, body = bytearray(1000), b""
    while count := exchange.readinto(buffer):
        body += buffer[:count]
    exchange.respond(Response(200, (("Truncated", str(exchange.truncated)),), body))


@pytest.mark.parametrize("handler", [collect, fill])
@pytest.mark.parametrize(
    ("head", "wire", "truncated"),
    [
        (b"PUT /stream HTTP/1.1\r\nContent-Length: 5000", b"x" * 5000, "False"),
        (b"PUT /stream HTTP/1.1\r\nContent-Length: 1125899906842624", b"x" * 5000, "True"),
        (b"PUT /stream HTTP/1.1\r\nConnection: close", b"x" * 5000, "False"),
        (b"PUT /stream HTTP/1.0", b"x" * 5000, "False"),
        (b"PUT /stream HTTP/1.1\r\nTransfer-Encoding: chunked", b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n", "False"),
        (b"PUT /stream HTTP/1.1\r\nTransfer-Encoding: chunked", b"1389\r\n" + b"x" * 5000, "True"),
    ],
)
def test_uploads(place: Place, handler: Callable[[Exchange], None], head: bytes, wire: bytes, truncated: str) -> None:
    stream(place, handler)
    place.serve()
    sock = place.connect(head + b"\r\n\r\n" + wire[:2000])
    sock.sendall(wire[2000:])
    sock.shutdown(socket.SHUT_WR)
    status, headers, body = read(sock)
    assert (status, headers["Truncated"], body) == (200, truncated, b"x" * 5000)


def test_a_connection_goes_on_after_uploads_and_short_ones_need_not_be_read(place: Place) -> None:
    stream(place, collect)
    stream(place, lambda exchange: exchange.respond(Response(200, (), b"no need")), "/ignore")
    place.serve()
    body = b"PUT %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    sock = place.connect(body % b"/stream" + body % b"/ignore" + ECHO)
    assert [read(sock)[2] for _ in range(3)] == [b"abc", b"no need", b"next"]


def test_a_long_upload_that_is_not_read_ends_the_connection_after_the_answer(place: Place) -> None:
    stream(place, lambda exchange: exchange.respond(Response(302, (("Location", "/"),))))
    place.serve()
    sock = place.connect(b"PUT /stream HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 100_000)
    assert rest(sock).startswith(b"HTTP/1.1 302 ")


def test_the_body_is_asked_for_only_when_it_is_wanted(place: Place) -> None:
    stream(place, collect)
    stream(place, lambda exchange: exchange.respond(Response(403)), "/refuse")
    place.serve()
    head = b" HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    sock = place.connect(b"PUT /stream" + head)
    assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"body")
    assert read(sock)[2] == b"body"
    refused = rest(place.connect(b"PUT /refuse" + head))
    assert refused.startswith(b"HTTP/1.1 403 ") and b"Connection: close" in refused


def test_broken_chunks_are_a_400(place: Place) -> None:
    stream(place, collect)
    place.serve()
    sock = place.connect(b"PUT /stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert rest(sock).startswith(b"HTTP/1.1 400 ")


def download(exchange: Exchange) -> None:
    length = exchange.request.query.get("length")
    exchange.start(200, (("A", "b"),), int(length) if length else None)
    exchange.write(b"first,")
    exchange.write(b"")
    exchange.write(memoryview(b"second"))


def test_downloads_with_a_length_in_chunks_and_until_close(place: Place) -> None:
    stream(place, download)
    place.serve()
    sock = place.connect(b"GET /stream?length=12 HTTP/1.1\r\n\r\n" + ECHO)
    assert read(sock)[2] == b"first,second" and read(sock)[2] == b"next"
    sock = place.connect(b"GET /stream HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\nConnection: close\r\n\r\n")
    answer = rest(sock)
    assert (
        b"Transfer-Encoding: chunked\r\n" in answer and b"\r\n\r\n6\r\nfirst,\r\n6\r\nsecond\r\n0\r\n\r\nHTTP" in answer
    )
    answer = rest(place.connect(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
    assert b"Connection: close" in answer and answer.endswith(b"\r\n\r\nfirst,second") and b"chunked" not in answer
    sock = place.connect(b"HEAD /stream?length=12 HTTP/1.1\r\n\r\n" + ECHO)
    assert read(sock, "HEAD")[1]["Content-Length"] == "12" and read(sock)[2] == b"next"


@pytest.mark.parametrize("length", [b"11", b"13"])
def test_a_body_of_another_length_than_announced_is_cut(place: Place, length: bytes) -> None:
    stream(place, download)
    place.serve()
    answer = rest(place.connect(b"GET /stream?length=%b HTTP/1.1\r\n\r\n%b" % (length, ECHO)))
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.count(b"HTTP/1.1") == 1 and not answer.endswith(b"next")


def test_an_exception_is_a_500_before_the_head_and_a_cut_after_it(place: Place) -> None:
    def fail(exchange: Exchange) -> None:
        if exchange.request.query:
            exchange.start(200)
            exchange.write(b"half")
        raise RuntimeError("as asked")

    stream(place, fail)
    stream(place, lambda exchange: None, "/nothing")
    server = place.serve()
    assert rest(place.connect(b"GET /stream HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 500 ")
    assert rest(place.connect(b"GET /nothing HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 500 ")
    assert rest(place.connect(b"GET /stream?x=1 HTTP/1.1\r\n\r\n")).endswith(b"4\r\nhalf\r\n")
    with socket.create_connection(server.listen_tcp("127.0.0.1", 0)) as sock:
        sock.sendall(b"GET /stream?x=1 HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):  # an end without a reset would look like success
            rest(sock)


def test_a_streaming_peer_that_goes_away_ends_the_handler(place: Place) -> None:
    ended = threading.Event()

    def endless(exchange: Exchange) -> None:
        exchange.start(200)
        try:
            while True:
                exchange.write(b"x" * 100_000)
        finally:
            ended.set()

    stream(place, endless)
    place.serve()
    sock = place.connect(b"GET /stream HTTP/1.1\r\n\r\n")
    assert sock.recv(10)
    sock.close()
    assert ended.wait(10)


@pytest.mark.parametrize("what", ["read", "write"])
def test_a_streaming_peer_that_stalls_is_dropped(place: Place, what: str) -> None:
    failure: list[Exception] = []

    def handler(exchange: Exchange) -> None:
        try:
            if what == "read":
                exchange.read()
            exchange.start(200)
            while True:
                exchange.write(b"x" * 100_000)
        except OSError as error:
            failure.append(error)
            raise

    stream(place, handler)
    place.serve(Limits(send_time=0.05, stream_time=0.05))
    sock = place.connect(b"PUT /stream HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    if what == "write":
        sock.sendall(b"x" * 9)
    until(lambda: bool(failure))
    assert isinstance(failure[0], TimeoutError)


# sendfile, on every kind of socket


def send(path: Path) -> Callable[[Exchange], None]:
    def handler(exchange: Exchange) -> None:
        offset, count = (int(exchange.request.query[name]) for name in ("offset", "count"))
        with path.open("rb") as file:
            exchange.start(200, (), None if "chunked" in exchange.request.query else count)
            exchange.sendfile(file, offset, count)

    return handler


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))
    return path


def test_sendfile_on_unix_tcp_and_tls(place: Place, file: Path, pki: "Pki") -> None:
    stream(place, send(file))
    server = place.serve()
    plain = server.listen_tcp("127.0.0.1", 0)
    secure = server.listen_tcp("127.0.0.1", 0, pki.server())
    expected = file.read_bytes()[100:2_900_100]
    with socket.create_connection(plain) as tcp, pki.connect(secure) as tls:
        for sock in (place.connect(), tcp, tls):
            sock.sendall(b"GET /stream?offset=100&count=2900000 HTTP/1.1\r\n\r\n" + ECHO)
            assert read(sock)[2] == expected
            assert read(sock)[2] == b"next"


def test_sendfile_in_chunks_and_for_head(place: Place, file: Path) -> None:
    stream(place, send(file))
    place.serve()
    query = b"/stream?offset=5&count=100000&chunked=1"
    answer = rest(place.connect(b"GET %b HTTP/1.1\r\nConnection: close\r\n\r\n" % query))
    assert answer.endswith(b"\r\n\r\n186a0\r\n" + file.read_bytes()[5:100005] + b"\r\n0\r\n\r\n")
    answer = rest(place.connect(b"HEAD %b HTTP/1.1\r\nConnection: close\r\n\r\n" % query))
    assert answer.endswith(b"\r\n\r\n")


def test_sendfile_of_a_file_that_is_too_short_is_cut(place: Place, file: Path) -> None:
    stream(place, send(file))
    place.serve()
    answer = rest(place.connect(b"GET /stream?offset=2999990&count=100 HTTP/1.1\r\n\r\n" + ECHO))
    assert answer.endswith(b"\r\n\r\n" + file.read_bytes()[-10:])


# Taking over


def test_a_handler_takes_the_socket_over_with_what_was_read_ahead(place: Place) -> None:
    taken: list[tuple[socket.socket, bytes]] = []
    stream(place, lambda exchange: taken.append(exchange.take_over()), "/console")
    server = place.serve()
    sock = place.connect(b"CONNECT /console?ref=OpaqueRef:1 HTTP/1.0\r\n\r\nearly")
    until(lambda: bool(taken) and server.statistics().active == 0)
    server.close()
    raw, ahead = taken[0]
    with raw:
        assert ahead == b"early" and raw.gettimeout() is None
        raw.sendall(b"HTTP/1.0 200 OK\r\n\r\nRFB 003.008\n")
        sock.sendall(b"more")
        assert raw.recv(100) == b"more"
    assert rest(sock) == b"HTTP/1.0 200 OK\r\n\r\nRFB 003.008\n"


@pytest.mark.parametrize(
    ("request_", "status"), [(b"GET /up HTTP/1.1\r\nUpgrade: x", 101), (b"CONNECT /up HTTP/1.1\r\nA: b", 200)]
)
def test_a_head_may_come_before_the_take_over(place: Place, request_: bytes, status: int) -> None:
    def upgrade(exchange: Exchange) -> None:
        exchange.start(status, (("Upgrade", "x"), ("Connection", "Upgrade")))
        raw, _ = exchange.take_over()
        with raw:
            raw.sendall(b"raw")

    stream(place, upgrade, "/up")
    place.serve()
    answer = rest(place.connect(request_ + b"\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 %d " % status) and answer.endswith(b"\r\n\r\nraw")
    assert b"Connection: Upgrade\r\n" in answer and b"Content-Length" not in answer and b"chunked" not in answer


# TLS


class Pki:
    """Certificates of one authority, made for a test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.authority = directory / "authority.pem"
        certificate = self._sign(self.name, self.key, authority=True)
        self.authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .sign(self.key, hashes.SHA256())
        )

    def issue(self, name: str) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, authority=False)
        path = self.directory / f"{name}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def server(self, name: str = "server", verify: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(name))
        context.load_verify_locations(self.authority)
        context.verify_mode = verify
        return context

    def connect(self, address: tuple[str, int], name: str | None = None) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.authority)
        if name is not None:
            context.load_cert_chain(self.issue(name))
        with socket.create_connection(address, 10) as sock:
            return context.wrap_socket(sock, server_hostname="127.0.0.1")


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def test_tls_serves_like_the_rest(place: Place, pki: Pki, bell: Bell) -> None:
    stream(place, collect)
    address = place.serve().listen_tcp("127.0.0.1", 0, pki.server())
    with pki.connect(address) as sock:
        sock.sendall(ECHO + b"PUT /stream HTTP/1.1\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300_000 + ECHO + WAIT)
        assert read(sock)[2] == b"next"
        assert read(sock)[2] == b"y" * 300_000
        assert read(sock)[2] == b"next"
        waiting(place, 1)
        bell.ring()
        assert read(sock)[2] == b"rung"
        sock.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"z" * 3_000_000)
        assert read(sock)[2] == b"z" * 3_000_000
        sock.sendall(b"GET /big HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert len(read(sock)[2]) == 5_000_000
        assert sock.recv(1) == b""  # with a proper goodbye: a ragged end raises
    with pki.connect(address) as sock:
        sock.sendall(WAIT)
        waiting(place, 1)
    until(lambda: bell.cancelled == [1])


def test_the_certificate_of_a_client_is_known_to_the_handler(place: Place, pki: Pki) -> None:
    seen: list[Request] = []
    place.routes["/who"] = Simple(lambda request: Response(200 if seen.append(request) is None else 500))
    address = place.serve().listen_tcp("127.0.0.1", 0, pki.server(verify=ssl.CERT_OPTIONAL))
    for name in ("somebody", None):
        with pki.connect(address, name) as sock:
            sock.sendall(b"GET /who HTTP/1.1\r\n\r\n")
            assert read(sock)[0] == 200
    assert all(request.peer.tls and not request.peer.local for request in seen)
    certificate = seen[0].peer.certificate
    assert certificate is not None
    assert x509.load_der_x509_certificate(certificate).subject.rfc4514_string() == "CN=somebody"
    assert seen[1].peer.certificate is None


def test_a_new_certificate_is_for_new_connections(place: Place, pki: Pki) -> None:
    server = place.serve()
    address = server.listen_tcp("127.0.0.1", 0, pki.server("old"))

    def subject(sock: ssl.SSLSocket) -> str:
        return x509.load_der_x509_certificate(sock.getpeercert(True) or b"").subject.rfc4514_string()

    with pki.connect(address) as old:
        server.replace_tls(pki.server("new"))
        with pki.connect(address) as new:
            assert [subject(old), subject(new)] == ["CN=old", "CN=new"]
            for sock in (old, new):
                sock.sendall(ECHO)
                assert read(sock)[2] == b"next"


def test_bad_handshakes_end_without_harm(place: Place, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    server = place.serve(Limits(handshake_time=0.05), threads=(1, 2))
    address = server.listen_tcp("127.0.0.1", 0, pki.server(verify=ssl.CERT_REQUIRED))
    with caplog.at_level(logging.INFO, "xapi.rpc"), socket.create_connection(address) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        until(lambda: "handshake with 127.0.0.1 failed" in caplog.text)
    with socket.create_connection(address) as silent, socket.create_connection(address) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert rest(silent) == rest(slow) == b""
    with pytest.raises(ssl.SSLError), pki.connect(address) as nameless:
        nameless.sendall(ECHO)
        rest(nameless)
    assert read(place.connect(ECHO))[2] == b"next"
