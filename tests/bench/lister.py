"""A client that lists all VMs as fast as it can and throws the answers away."""

from __future__ import annotations

import re
import socket

from xapi.rpc import xmlrpc

LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


def exchange(connection: socket.socket, name: str, *params: object) -> bytes:
    """One call over a kept connection; the answer's body."""
    body = xmlrpc.render_call(name, params)
    connection.sendall(b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1 << 16)
    head, _, rest = answer.partition(b"\r\n\r\n")
    found = LENGTH.search(head)
    assert found
    pieces, missing = [rest], int(found[1]) - len(rest)
    while missing > 0:
        piece = connection.recv(1 << 20)
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def list_for_ever(path: str) -> None:
    """Log in, list once, say so on the standard output, and go on until killed."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    session = xmlrpc.parse_response(exchange(connection, "session.login_with_password", "root", ""))
    exchange(connection, "VM.get_all_records", session)
    print("listing", flush=True)
    while True:
        exchange(connection, "VM.get_all_records", session)
