"""A client in a process of its own that costs as little as Python allows: ready bytes out, lengths counted in.

`python -m tests.bench.load` reads one JSON order a line from its input and answers one JSON result a line.
"""

from __future__ import annotations

import itertools
import json
import re
import selectors
import socket
import ssl
import sys
import time
from typing import Any

LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)
LONGEST = 120.0


def connect(door: dict[str, Any]) -> socket.socket:
    """Open one connection: {"unix": path}, {"http": [host, port]} or {"tls": [host, port]}."""
    if "unix" in door:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.connect(door["unix"])
        return made
    made = socket.create_connection(tuple(door.get("http") or door["tls"]))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if "tls" in door:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(made)
    return made


class Client:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, door: dict[str, Any]) -> None:
        self.socket = connect(door)
        self.pieces: list[bytes] = []
        self.received = 0
        self.wanted = 0

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)
        self.pieces, self.received, self.wanted = [], 0, 0

    def receive(self) -> bool:
        """Take in what has arrived; say whether the answer is complete."""
        while True:
            data = self.socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the server has closed")
            self.pieces.append(data)
            self.received += len(data)
            if not self.wanted:
                head = b"".join(self.pieces)
                end = head.find(b"\r\n\r\n")
                if end >= 0:
                    found = LENGTH.search(head)
                    assert found is not None, head[:200]
                    self.wanted = end + 4 + int(found[1])
            if self.wanted and self.received >= self.wanted:
                return True
            if not (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
                return False

    def answer(self) -> bytes:
        return b"".join(self.pieces)

    def ask(self, request: bytes) -> bytes:
        """One request and its whole answer."""
        self.send(request)
        while not self.receive():
            pass
        return self.answer()


def closed_loop(order: dict[str, Any]) -> dict[str, Any]:
    """Every client asks again as soon as it is answered, each of its own requests in turn; count the answers."""
    requests = [[request.encode() for request in own] for own in order["requests"]]
    clients = [Client(order["door"]) for _ in range(order["clients"])]
    selector = selectors.DefaultSelector()
    for client in clients:
        answer = client.ask(requests[0][0])
        assert b"<value>Failure" not in answer, answer[:1000]
    times: list[float] = []
    begun: dict[int, float] = {}
    start = time.perf_counter()
    for number, client in enumerate(clients):
        begun[client.socket.fileno()] = time.perf_counter()
        own = itertools.cycle(requests[number % len(requests)])
        client.send(next(own))
        selector.register(client.socket, selectors.EVENT_READ, (client, own))
    end, size = start + order["seconds"], 0
    now = start
    while now < end:
        for key, _ in selector.select(1.0):
            client, own = key.data
            if client.receive():
                now = time.perf_counter()
                times.append(now - begun[key.fd])
                size = client.received
                begun[key.fd] = now
                client.send(next(own))
        now = time.perf_counter()
    elapsed = now - start
    times.sort()
    return {
        "per_second": len(times) / elapsed,
        "p50_ms": _at(times, 0.5) * 1000,
        "p99_ms": _at(times, 0.99) * 1000,
        "bytes": size,
    }


def listen(order: dict[str, Any]) -> dict[str, Any]:
    """Many listeners wait for events of a class; each name holds the moment in which its writing began."""
    head, tail = order["request"]
    clients = [Client(order["door"]) for _ in range(order["clients"])]
    selector = selectors.DefaultSelector()
    for client in clients:
        client.send(_event_from(head, tail, order["token"]))
        selector.register(client.socket, selectors.EVENT_READ, client)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    heard: dict[int, list[float]] = {}
    answers = 0
    moment = re.compile(rb"<name>name_description</name><value>(\d+)</value>")
    token = re.compile(rb"<name>token</name><value>([0-9,]+)</value>")
    end = time.monotonic() + LONGEST
    over = False
    while not over and time.monotonic() < end:
        for key, _ in selector.select(1.0):
            client = key.data
            if not client.receive():
                continue
            now = time.monotonic_ns()
            answers += 1
            answer = client.answer()
            for found in moment.findall(answer):
                written = int(found)
                over = over or written == 0
                heard.setdefault(written, []).append((now - written) / 1e6)
            newest = token.search(answer)
            assert newest is not None, answer[:500]
            client.send(_event_from(head, tail, newest[1].decode()))
    heard.pop(0, None)
    every = sorted(delay for delays in heard.values() for delay in delays)
    last = sorted(max(delays) for delays in heard.values() if len(delays) == len(clients))
    return {
        "changes": len(heard),
        "answers": answers,
        "p50_ms": _at(every, 0.5),
        "p99_ms": _at(every, 0.99),
        "last_listener_p50_ms": _at(last, 0.5),
        "heard_by_all": len(last),
    }


def _event_from(head: str, tail: str, token: str) -> bytes:
    body = f"{head}{token}{tail}"
    return f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        result = {"closed_loop": closed_loop, "listen": listen}[order["what"]](order)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
