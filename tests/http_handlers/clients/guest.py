"""A running guest on a real server, and the ways to its screen."""

from __future__ import annotations

import base64
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.fakes.served import ServerProcess


@dataclass(frozen=True)
class Guest:
    """A VM by its names, and a session that may look at it."""

    served: ServerProcess
    ref: str
    uuid: str
    session: str
    api: Any

    @property
    def basic(self) -> str:
        """The value of a header that says who we are."""
        return "Basic " + base64.b64encode(f"root:{self.served.password}".encode()).decode()

    @property
    def url(self) -> str:
        """The server's address as a person gives it to a program, with name and password."""
        return f"http://root:{self.served.password}@{self.served.http[0]}:{self.served.http[1]}"

    def snapshot(self) -> bytes:
        """What /vncsnapshot gives."""
        answer = self.served.request("GET", f"/vncsnapshot?uuid={self.uuid}&session_id={self.session}")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png"), answer.body
        return answer.body

    @contextmanager
    def tunnel(self) -> Iterator[int]:
        """A port of this machine behind which the console is, as `socat` would make it with a CONNECT proxy."""
        with ExitStack() as stack:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            threads: list[threading.Thread] = []

            def serve() -> None:
                with suppress(OSError):
                    while True:
                        client = listening.accept()[0]
                        threads.append(threading.Thread(target=self._carry, args=(client,), daemon=True))
                        threads[-1].start()

            accepting = threading.Thread(target=serve, daemon=True)
            accepting.start()
            yield listening.getsockname()[1]
            listening.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join(10)
                assert not thread.is_alive()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.served.http, 30) as server:
            server.sendall(
                f"CONNECT /console?uuid={self.uuid} HTTP/1.0\r\nAuthorization: {self.basic}\r\n\r\n".encode()
            )
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = server.recv(1)
                assert byte, head
                head += byte
            assert b" 200 " in head, head
            while True:
                for ready in select.select([client, server], [], [], 30)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    (server if ready is client else client).sendall(data)
