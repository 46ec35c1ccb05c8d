"""What the benchmark measures: a server in its own process with so many VMs, and a static one beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from tests.bench.load import Client
from tests.fakes.served import ServerProcess, new_state
from xapi.datamodel.classes import VM
from xapi.db.database import Database
from xapi.db.store import Store, open_engine
from xapi.rpc import xmlrpc
from xapi.system.settings import parse

STATIC = """
import sys, threading
from pathlib import Path
from xapi.rpc.http import Server
from xapi.rpc.http_message import Response
body = Path(sys.argv[2]).read_bytes()
answer = Response(200, (("Content-Type", "text/xml"),), body)
server = Server(lambda method, path: answer)
server.listen_unix(sys.argv[1])
server.start()
print("ready", flush=True)
threading.Event().wait()
"""


def post(body: bytes) -> bytes:
    """The bytes of a request."""
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def populate(state: Path, count: int) -> None:
    """Put so many copies of a built-in template, as halted VMs, into the stored rows of a server that does not run."""
    settings = parse(["--state", str(state)], {})
    database = Database(Store(open_engine(settings.database)))
    template = next(row for row in database.all(VM) if row.is_default_template)
    kept = {field.name: template[field.index] for field in VM.fields if not field.derived}
    kept |= {"is_a_template": False, "is_default_template": False}
    with database.transaction() as transaction:
        for number in range(count):
            transaction.create(VM, **{**kept, "uuid": str(uuid.uuid4()), "name_label": f"vm {number}"})
    database.close()


class Place:
    """A running server with `vms` VMs besides the templates."""

    def __init__(self, vms: int = 0) -> None:
        self.state = new_state()
        self.server = ServerProcess("--log-level", "error", state=self.state)
        if vms:
            self.server.stop()
            populate(self.state, vms)
            begun = time.perf_counter()
            self.server.start()
            self.start_seconds = time.perf_counter() - begun
        self.line = Client(self.door("unix"))
        self.session = self.ask("session.login_with_password", "", "")

    def door(self, kind: str) -> dict[str, Any]:
        if kind == "unix":
            return {"unix": str(self.server.socket)}
        return {"tls": list(self.server.https)} if kind == "tls" else {"http": list(self.server.http)}

    def ask(self, name: str, *params: object) -> Any:
        """The value of a call with exactly these parameters."""
        answer = self.line.ask(post(xmlrpc.render_call(name, params)))
        return xmlrpc.parse_response(answer.partition(b"\r\n\r\n")[2])

    def call(self, name: str, *params: object) -> Any:
        return self.ask(name, self.session, *params)

    def request(self, name: str, *params: object) -> str:
        """The text of a request in this session, for a load process."""
        return post(xmlrpc.render_call(name, (self.session, *params))).decode()

    def close(self) -> None:
        self.line.socket.close()
        self.server.close()


class Load:
    """A load process that takes orders."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.bench.load"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def order(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def run(self, **order: Any) -> dict[str, Any]:
        self.order(**order)
        result: dict[str, Any] = json.loads(self.line())
        return result

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Static:
    """The same bytes from the same HTTP server, with nothing behind it."""

    def __init__(self, body: bytes) -> None:
        self.state = new_state()
        file = self.state / "body"
        file.write_bytes(body)
        self.path = self.state / "static.sock"
        command = [sys.executable, "-c", STATIC, str(self.path), str(file)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def close(self) -> None:
        self.process.kill()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        for file in self.state.iterdir():
            file.unlink()
        self.state.rmdir()
