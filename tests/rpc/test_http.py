import http.client
import io
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xapi.rpc.http import Limits, Request, Response, Route, Server, Simple, Streaming


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does, for at most ten seconds."""
    end = time.monotonic() + 10
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        pause.wait(0.002)


class Place:
    """A server on a Unix socket, and plain clients for it."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.routes: dict[str, Route] = {}
        self.server: Server | None = None
        self.sockets: list[socket.socket] = []

    def serve(self, limits: Limits | None = None, threads: tuple[int, int] = (1, 8)) -> Server:
        self.server = Server(
            lambda method, path: self.routes.get(path, Response(404, (), b"nothing")), limits=limits, threads=threads
        )
        self.server.listen_unix(self.path)
        self.server.start()
        return self.server

    def connect(self, data: bytes = b"") -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        self.sockets.append(sock)
        sock.settimeout(10)
        sock.connect(self.path)
        sock.sendall(data)
        return sock

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        if self.server is not None:
            self.server.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "s")
    place.routes["/echo"] = Simple(echo, body_limit=1000)
    place.routes["/big"] = Simple(lambda request: Response(200, (), [b"x" * 1000] * 5000))
    place.routes["/fail"] = Simple(fail)
    yield place
    place.close()


def echo(request: Request) -> Response:
    return Response(200, (("Content-Type", "text/plain"), ("X-Method", request.method)), request.body)


def fail(request: Request) -> Response:
    raise RuntimeError("as asked")


def read(sock: socket.socket, method: str = "GET") -> tuple[int, http.client.HTTPMessage, bytes]:
    """Read exactly one response of known length and nothing of the next."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = sock.recv(1)
        assert piece, f"the connection ended after {head!r}"
        head += piece
    line, _, fields = head.partition(b"\r\n")
    headers = http.client.parse_headers(io.BytesIO(fields))
    length = 0 if method == "HEAD" else int(headers.get("Content-Length", "0"))
    body = bytearray()
    while len(body) < length:
        piece = sock.recv(length - len(body))
        assert piece, f"the connection ended after {len(body)} bytes of body"
        body += piece
    return int(line.split()[1]), headers, bytes(body)


def rest(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def test_a_connection_serves_request_after_request(place: Place) -> None:
    place.serve()
    sock = place.connect()
    for number in range(50):
        body = b"n%d" % number
        sock.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        status, response, answer = read(sock)
        assert (status, answer) == (200, body)
        assert response["Connection"] is None and response["X-Method"] == "POST"


def test_a_connection_goes_on_after_it_was_parked(place: Place) -> None:
    server = place.serve()
    sock = place.connect()
    for _ in range(3):
        sock.sendall(b"GET /echo HTTP/1.1\r\n\r\n")
        assert read(sock)[0] == 200
        until(lambda: server.statistics().idle == 1)


def test_requests_sent_ahead_are_answered_in_order(place: Place) -> None:
    place.serve()
    sock = place.connect(
        b"".join(b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\n%03d\r\n" % number for number in range(200))
    )
    assert [read(sock)[2] for _ in range(200)] == [b"%03d" % number for number in range(200)]


def test_an_old_client_is_told_whether_its_connection_stays(place: Place) -> None:
    place.serve()
    sock = place.connect(b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert read(sock)[1]["Connection"] == "keep-alive"
    sock.sendall(b"GET /echo HTTP/1.0\r\n\r\n")
    assert b"Connection: close" in rest(sock)


def test_close_is_obeyed_on_either_side(place: Place) -> None:
    place.routes["/bye"] = Simple(lambda request: Response(200, (("Connection", "close"),), b"bye"))
    place.serve()
    assert rest(place.connect(b"GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert rest(place.connect(b"GET /bye HTTP/1.1\r\n\r\n")).endswith(b"bye")


def test_head_gets_the_length_without_the_body(place: Place) -> None:
    place.serve()
    sock = place.connect(b"HEAD /big HTTP/1.1\r\n\r\nHEAD /nowhere HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\n\r\n")
    assert read(sock, "HEAD")[1]["Content-Length"] == "5000000"
    assert read(sock, "HEAD")[0] == 404
    assert read(sock)[0] == 200


def test_statuses_without_a_body_have_no_length(place: Place) -> None:
    place.routes["/none"] = Simple(lambda request: Response(204, (), b"ignored"))
    place.serve()
    sock = place.connect(b"GET /none HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\n\r\n")
    assert read(sock)[1]["Content-Length"] is None
    assert read(sock)[0] == 200


def test_a_big_answer_comes_whole_to_a_slow_reader_that_holds_no_thread(place: Place) -> None:
    server = place.serve()
    sock = place.connect(b"GET /big HTTP/1.1\r\n\r\n")
    assert select.select([sock], [], [], 10)[0]
    until(lambda: server.statistics().idle == 1)
    assert len(read(sock)[2]) == 5_000_000


def test_chunked_bodies_are_put_together(place: Place) -> None:
    place.serve()
    sock = place.connect(b"PUT /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    sock.sendall(b"2\r\nde\r\n0\r\nTrailer: x\r\n\r\nGET /echo HTTP/1.1\r\n\r\n")
    assert read(sock)[2] == b"abcde"
    assert read(sock)[2] == b""


def test_a_body_until_close_is_answered_on_the_half_closed_connection(place: Place) -> None:
    place.serve()
    sock = place.connect(b"POST /echo HTTP/1.0\r\n\r\nall ")
    sock.sendall(b"of it")
    sock.shutdown(socket.SHUT_WR)
    assert rest(sock).endswith(b"\r\n\r\nall of it")


def test_a_request_is_answered_although_the_peer_has_nothing_more_to_say(place: Place) -> None:
    place.serve()
    sock = place.connect(b"GET /echo HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\n\r\n")
    sock.shutdown(socket.SHUT_WR)
    assert rest(sock).count(b"HTTP/1.1 200 OK") == 2


def test_a_body_is_asked_for_when_the_client_waits_to_be_asked(place: Place) -> None:
    place.serve()
    sock = place.connect(b"PUT /echo HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"body")
    assert read(sock)[2] == b"body"


@pytest.mark.parametrize(
    "request_",
    [
        b"PUT /echo HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n",
        b"PUT /echo HTTP/1.1\r\nContent-Length: 1125899906842624\r\n\r\n" + b"x" * 100_000,
        b"PUT /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + b"x" * 100_000,
        b"PUT /echo HTTP/1.0\r\n\r\n" + b"x" * 100_000,
    ],
)
def test_a_body_over_the_limit_is_refused_before_it_is_read(place: Place, request_: bytes) -> None:
    place.serve()
    sock = place.connect(request_)
    answer = rest(sock)
    assert answer.startswith(b"HTTP/1.1 413 ") and b"text/html" in answer and b"Connection: close" in answer


def test_a_route_that_is_a_response_reads_only_a_short_body(place: Place) -> None:
    place.serve()
    sock = place.connect(b"POST /no HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /echo HTTP/1.1\r\n\r\n")
    assert [read(sock)[0], read(sock)[0]] == [404, 200]
    for header in (
        b"Content-Length: 99999999",
        b"Transfer-Encoding: chunked",
        b"Content-Length: 3\r\nExpect: 100-continue",
    ):
        assert rest(place.connect(b"PUT /no HTTP/1.1\r\n" + header + b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\r\n bad\r\n\r\n", 400),
        (b"PUT /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"PUT /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"GET /" + b"a" * 70_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
    ],
)
def test_garbage_is_refused_and_harms_nobody(place: Place, garbage: bytes, status: int) -> None:
    place.serve()
    answer = rest(place.connect(garbage))
    assert answer.startswith(b"HTTP/1.1 %d " % status) and b"text/html" in answer
    assert read(place.connect(b"GET /echo HTTP/1.1\r\n\r\n"))[0] == 200


def test_the_owner_may_make_its_own_error_pages(tmp_path: Path) -> None:
    place = Place(tmp_path / "s")
    place.server = Server(lambda m, p: Response(404), page=lambda status, text: Response(status, (), b"our page"))
    place.server.listen_unix(place.path)
    place.server.start()
    assert rest(place.connect(b"?")).endswith(b"our page")
    place.close()


def test_a_failing_handler_is_a_500_and_the_connection_goes_on(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.routes["/none"] = Simple(lambda request: None)  # type: ignore[arg-type, return-value]
    place.routes["/text"] = Simple(lambda request: Response(200, (), "text"))
    place.routes["/split"] = Simple(lambda request: Response(200, (("A", "b\r\nC: d"),)))
    place.serve()
    sock = place.connect()
    with caplog.at_level(logging.CRITICAL, "xapi.rpc"):
        for path in (b"/fail", b"/none", b"/text", b"/split"):
            sock.sendall(b"GET %b HTTP/1.1\r\n\r\n" % path)
            assert read(sock)[0] == 500
    sock.sendall(b"GET /echo HTTP/1.1\r\n\r\n")
    assert read(sock)[0] == 200


def test_a_failing_router_and_a_foreign_route_are_500(place: Place) -> None:
    def route(method: str, path: str) -> Route:
        if path == "/foreign":
            return object()  # type: ignore[return-value]
        raise KeyError(path)

    place.server = Server(route)
    place.server.listen_unix(place.path)
    place.server.start()
    for path in (b"/foreign", b"/"):
        assert rest(place.connect(b"GET %b HTTP/1.1\r\n\r\n" % path)).startswith(b"HTTP/1.1 500 ")


def test_what_a_handler_learns_of_its_request(place: Place) -> None:
    seen: list[Request] = []

    def keep(request: Request) -> Response:
        seen.append(request)
        return Response(200)

    place.routes["/a b"] = Simple(keep)
    server = place.serve()
    host, port = server.listen_tcp("127.0.0.1", 0)
    place.connect(b"FETCH /a%20b?x=%2f HTTP/1.0\r\nCookie: k=v\r\n\r\n")
    with socket.create_connection((host, port)) as sock:
        sock.sendall(b"GET /a%20b HTTP/1.1\r\n\r\n")
        assert read(sock)[0] == 200
    until(lambda: len(seen) == 2)
    local, remote = sorted(seen, key=lambda request: request.version)
    assert (local.method, local.target, local.query, local.cookies) == ("FETCH", "/a%20b?x=%2f", {"x": "/"}, {"k": "v"})
    assert local.peer.local and local.peer.address == "" and not local.peer.tls
    assert not remote.peer.local and remote.peer.address == "127.0.0.1" and remote.peer.certificate is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", ""])
def test_tcp_of_either_family(place: Place, host: str) -> None:
    server = place.serve()
    try:
        _, port = server.listen_tcp(host, 0)
    except OSError:
        assert host == "::1" and not Path("/proc/net/if_inet6").exists()
        pytest.skip("no IPv6 here")
    with socket.create_connection((host or "127.0.0.1", port)) as sock:
        sock.sendall(b"GET /echo HTTP/1.1\r\n\r\n")
        assert read(sock)[0] == 200


def test_a_port_that_is_taken_is_named(place: Place) -> None:
    server = place.serve()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            server.listen_tcp("127.0.0.1", port)


def test_the_unix_socket_has_its_permissions_replaces_a_stale_one_and_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = Server(lambda m, p: Response(200))
    server.listen_unix(path, 0o640)
    assert path.stat().st_mode & 0o777 == 0o640
    server.close()
    assert not path.exists()


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    server = Server(lambda m, p: Response(200))
    with pytest.raises(OSError):
        server.listen_unix(path)
    server.close()
    assert path.read_text() == "precious"


def test_two_servers_do_not_know_each_other(tmp_path: Path) -> None:
    places = [Place(tmp_path / name) for name in "ab"]
    for number, place in enumerate(places):
        body = b"%d" % number
        place.routes["/"] = Simple(lambda request, body=body: Response(200, (), body))  # type: ignore[misc]
        place.serve()
    assert [read(place.connect(b"GET / HTTP/1.1\r\n\r\n"))[2] for place in places] == [b"0", b"1"]
    places[0].close()
    assert read(places[1].connect(b"GET / HTTP/1.1\r\n\r\n"))[2] == b"1"
    places[1].close()


def test_idle_and_half_read_connections_hold_no_thread(place: Place) -> None:
    server = place.serve(threads=(1, 3))
    for _ in range(50):
        place.connect()
        place.connect(b"GET /ec")
        place.connect(b"PUT /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
    until(lambda: server.statistics().idle == 150 and server.statistics().active == 0)
    assert server.statistics().threads <= 3
    for sock in place.sockets[2::3]:
        sock.sendall(b" body!")
        assert read(sock)[2] == b"half body!"


def test_busy_workers_call_for_more_up_to_a_limit(place: Place) -> None:
    gate = threading.Event()
    inside = threading.Semaphore(0)

    def block(request: Request) -> Response:
        inside.release()
        gate.wait(10)
        return Response(200)

    place.routes["/block"] = Simple(block)
    server = place.serve(threads=(1, 4))
    socks = [place.connect(b"GET /block HTTP/1.1\r\n\r\n") for _ in range(6)]
    for _ in range(4):
        assert inside.acquire(timeout=10)
    until(server.hurried)
    assert server.statistics().threads == 4
    gate.set()
    assert [read(sock)[0] for sock in socks] == [200] * 6


@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (Limits(idle_time=0.05), b""),
        (Limits(idle_time=0.05), b"\r\n"),
        (Limits(head_time=0.05), b"GET /echo HT"),
        (Limits(body_time=0.05), b"PUT /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf"),
    ],
)
def test_a_peer_that_takes_too_long_is_dropped(place: Place, limits: Limits, data: bytes) -> None:
    place.serve(limits)
    assert rest(place.connect(data)) == b""


def test_a_peer_that_does_not_read_is_dropped(place: Place) -> None:
    server = place.serve(Limits(send_time=0.05))
    sock = place.connect(b"GET /big HTTP/1.1\r\n\r\n")
    until(lambda: server.statistics().idle + server.statistics().active == 1)
    until(lambda: server.statistics().idle + server.statistics().active == 0)
    assert 0 < len(rest(sock)) < 5_000_000


def test_beyond_the_limit_the_oldest_idle_connection_makes_room(place: Place) -> None:
    server = place.serve(Limits(connections=3))
    socks = []
    for _ in range(5):
        socks.append(place.connect(b"GET /echo HTTP/1.1\r\n\r\n"))
        assert read(socks[-1])[0] == 200
        until(lambda: server.statistics().active == 0)  # so that they become idle one after the other
    assert rest(socks[0]) == b"" and rest(socks[1]) == b""
    for sock in socks[2:]:
        sock.sendall(b"GET /echo HTTP/1.1\r\n\r\n")
        assert read(sock)[0] == 200


def test_when_all_are_busy_a_newcomer_waits_for_room(place: Place) -> None:
    gate = threading.Event()
    place.routes["/block"] = Simple(lambda request: Response(200 if gate.wait(10) else 500))
    server = place.serve(Limits(connections=1))
    busy = place.connect(b"GET /block HTTP/1.1\r\n\r\n")
    until(lambda: server.statistics().active == 1)
    newcomer = place.connect(b"GET /echo HTTP/1.1\r\n\r\n")
    assert not select.select([newcomer], [], [], 0.05)[0]
    gate.set()
    assert read(busy)[0] == 200
    assert read(newcomer)[0] == 200


def test_close_lets_a_running_request_finish_and_drops_the_idle(place: Place) -> None:
    gate = threading.Event()
    entered = threading.Event()

    def block(request: Request) -> Response:
        entered.set()
        gate.wait(10)
        return Response(200, (), b"finished")

    place.routes["/block"] = Simple(block)
    server = place.serve()
    idle = place.connect()
    busy = place.connect(b"GET /block HTTP/1.1\r\n\r\n")
    assert entered.wait(10)
    closer = threading.Thread(target=server.close, args=(10,))
    closer.start()
    assert rest(idle) == b""
    with pytest.raises(OSError):
        place.connect()
    gate.set()
    answer = rest(busy)
    assert b"Connection: close" in answer and answer.endswith(b"finished")
    closer.join(10)
    assert not closer.is_alive() and not os.path.exists(place.path)


def test_close_without_grace_cuts_what_runs(place: Place) -> None:
    entered = threading.Event()
    ended = threading.Event()

    def consume(exchange: object) -> None:
        entered.set()
        for _ in exchange:  # type: ignore[attr-defined]
            pass
        ended.set()

    place.routes["/up"] = Streaming(consume)
    server = place.serve()
    sock = place.connect(b"PUT /up HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
    assert entered.wait(10)
    server.close()
    assert ended.wait(10)
    assert b" 200 " not in rest(sock)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("http-")]


def test_closing_twice_or_before_the_start_is_no_error(tmp_path: Path) -> None:
    server = Server(lambda m, p: Response(200))
    server.listen_unix(tmp_path / "s")
    server.close()
    server.close()
