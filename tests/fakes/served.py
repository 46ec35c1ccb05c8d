"""A whole server with its doors open, on free ports and a socket of its own."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import XenAPI

from tests.fakes.certificate import lend_certificate
from tests.fakes.places import QUICK
from xapi.server import RunningServer
from xapi.system.settings import parse

OPTIONS = ("--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--hypervisor", "simulator", "--auth", "password")
MAIN = "import sys; from xapi.server import main; sys.exit(main())"


def new_state(place: Path = Path("/tmp")) -> Path:
    """A directory with a short name and without an underscore, which the PyPI client would take for a slash."""
    path = place / f"xapi-{uuid.uuid4().hex[:12]}"
    path.mkdir(mode=0o700)
    return path


@dataclass(frozen=True)
class Answer:
    """What came back for one HTTP request; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Doors:
    """Where a server listens, and clients for it."""

    state: Path
    https: tuple[str, int]
    http: tuple[str, int]
    clients: list[Any]

    @property
    def socket(self) -> Path:
        return self.state / "xapi.sock"

    @property
    def password(self) -> str:
        return (self.state / "root.password").read_text().strip()

    def over_tls(self) -> Any:
        return self._kept(XenAPI.Session(f"https://{self.https[0]}:{self.https[1]}", ignore_ssl=True))

    def over_http(self) -> Any:
        return self._kept(XenAPI.Session(f"http://{self.http[0]}:{self.http[1]}"))

    def over_socket(self) -> Any:
        name = str(self.socket).replace("/", "_")
        return self._kept(XenAPI.Session(f"http://{name}", transport=XenAPI.XenAPI.UDSTransport()))

    def _kept(self, client: Any) -> Any:
        self.clients.append(client)
        return client

    def close_clients(self) -> None:
        """Close the connections of the clients that were handed out."""
        while self.clients:
            self.clients.pop()("close")()

    def logged_in(self) -> Any:
        session = self.over_socket()
        session.login_with_password("", "")
        return session

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """One HTTP request over plain HTTP."""
        connection = http.client.HTTPConnection(*self.http, timeout=30)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


class Served(Doors):
    """A server in this process."""

    def __init__(self, *options: str) -> None:
        self.clients = []
        self.state = new_state(QUICK)
        settings = parse(["--state", str(self.state), *OPTIONS, *options], {})
        lend_certificate(settings, datetime.now(UTC))
        self.server = RunningServer(settings)
        self.https = self.server.https_address
        assert self.server.http_address is not None
        self.http = self.server.http_address

    def close(self) -> None:
        self.close_clients()
        self.server.close()
        shutil.rmtree(self.state)


class ServerProcess(Doors):
    """A server in a process of its own, which may be killed and started again on the same state."""

    def __init__(self, *options: str, state: Path | None = None) -> None:
        self.clients = []
        self.state = state or new_state(QUICK)
        self.options = options
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", MAIN, "--state", str(self.state), *OPTIONS, *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        greeting: list[str] = []
        for line in self.process.stdout:
            greeting.append(line)
            if "Stop with Ctrl-C" in line:
                break
        else:
            self.process.wait(30)
            raise RuntimeError(f"the server ended at its start: {self.process.returncode}")
        found = dict(re.findall(r"(https?)://([0-9.]+:[0-9]+)\n", "".join(greeting)))
        self.https = _address(found["https"])
        self.http = _address(found["http"])

    @property
    def pid(self) -> int:
        return self.process.pid

    def memory(self) -> int:
        """The resident memory in bytes."""
        fields = (Path("/proc") / str(self.pid) / "statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End the process as a loss of power would."""
        self.process.send_signal(signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """Ask the process to end."""
        for _ in range(30):
            self.process.send_signal(signal.SIGTERM)
            # Once may not do: the kernel may give the signal to a thread while the main one sleeps on.
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
                break
        self._ended()

    def _ended(self) -> None:
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGUSR1)  # the server tells what its threads are doing
            time.sleep(1)
            self.process.kill()
            self.process.wait(30)
            raise
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()

    def close(self) -> None:
        self.close_clients()
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.state)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
