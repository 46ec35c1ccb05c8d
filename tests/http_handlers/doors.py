"""A host with its HTTP doors open on plain HTTP and a Unix socket, with local storage plugged in."""

from __future__ import annotations

import base64
import http.client
import os
import random
import socket
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.house import House
from tests.fakes.served import Answer, UnixConnection
from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import PBD, SR, VBD, VDI, Task
from xapi.datamodel.classes.vbd import VbdMode, VbdType
from xapi.datamodel.classes.vdi import VdiType
from xapi.http_handlers.routes import Routes, make_doors
from xapi.rpc.endpoint import Endpoint
from xapi.rpc.http import Limits, Server
from xapi.storage.interface import CreateVdi
from xapi.system.certificates import server_context

MIB = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """What curl brought, and how it ended."""

    code: int
    status: str
    output: str


class Doors:
    """A house and its server."""

    def __init__(self, state: Path) -> None:
        self.house = House(state, options=("--auth", "password"))
        self.toolstack = self.house.toolstack
        self.db = self.toolstack.db
        self.client = self.house.client
        routes = Routes(Endpoint(self.house.performer), make_doors(self.toolstack))
        self.server = Server(routes, limits=Limits(stream_time=20.0, send_time=20.0))
        self.address = self.server.listen_tcp("127.0.0.1", 0)
        self.certificate = self.house.server.settings.server_certificate
        self.tls = self.server.listen_tcp("127.0.0.1", 0, server_context(self.certificate))
        self.socket = state / "doors.sock"
        self.server.listen_unix(self.socket)
        self.server.start()
        self.password = (state / "root.password").read_text().strip()
        self.session = self.house.client.session
        self.sr = self._plug_local_storage()

    def close(self) -> None:
        self.server.close()
        self.house.close()

    def _plug_local_storage(self) -> str:
        (sr,) = (row for row in self.db.all(SR) if row.name_label == "Local storage")
        repositories = self.toolstack.part(StorageRepositories)
        for ref in sr.PBDs:
            repositories.attach(self.db, self.db.get(PBD, ref))
            with self.db.transaction() as transaction:
                transaction.update(PBD, ref, currently_attached=True)
        return sr.ref

    @property
    def disks(self) -> Any:
        return self.toolstack.part(StorageRepositories).get(self.db, self.sr)

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    # Asking

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, local: bool = False
    ) -> Answer:
        connection = UnixConnection(self.socket) if local else http.client.HTTPConnection(*self.address, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: str) -> Answer:
        return self.request("GET", self.path(path, query), None, headers)

    def put(self, path: str, body: Any, headers: Mapping[str, str] | None = None, **query: str) -> Answer:
        return self.request("PUT", self.path(path, query), body, headers)

    def path(self, path: str, query: Mapping[str, str]) -> str:
        return f"{path}?" + "&".join(f"{k}={v}" for k, v in {"session_id": self.session, **query}.items())

    def raw(self, *parts: bytes, shut: bool = False, read: bool = True) -> bytes:
        """What a peer gets that sends exactly these bytes, and then perhaps says that it sends no more."""
        with socket.create_connection(self.address, 30) as peer:
            for part in parts:
                peer.sendall(part)
            if shut:
                peer.shutdown(socket.SHUT_WR)
            received = b""
            while read:
                try:
                    data = peer.recv(65536)
                except ConnectionResetError:
                    break
                if not data:
                    break
                received += data
            return received

    def curl(self, *arguments: str) -> Fetched:
        command = ["curl", "--silent", "--show-error", "--max-time", "60", "--write-out", "%{http_code}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        return Fetched(done.returncode, done.stdout[-3:], done.stdout[:-3] + done.stderr)

    def basic(self, user: str = "root", password: str | None = None) -> dict[str, str]:
        text = f"{user}:{self.password if password is None else password}"
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    # Objects

    def task(self) -> str:
        return str(self.client.task.create("transfer", ""))

    def ended(self, task: str) -> tuple[str, list[str]]:
        row = self.db.get(Task, task)
        return str(row.status), list(row.error_info)

    def disk(self, size: int = 8 * MIB, data: Mapping[int, bytes] | None = None, **fields: Any) -> str:
        """A VDI with data at some offsets."""
        identity = str(uuid.uuid4())
        handle = self.disks
        facts = handle.create(CreateVdi(identity, size))
        with self.db.transaction() as transaction:
            ref = transaction.create(
                VDI,
                **{
                    "uuid": identity,
                    "location": facts.location,
                    "SR": self.sr,
                    "virtual_size": facts.virtual_size,
                    "physical_utilisation": facts.physical_utilisation,
                    "type": VdiType.USER,
                    "sharable": False,
                    "read_only": False,
                    "managed": True,
                    "missing": False,
                    "storage_lock": False,
                    "name_label": "a disk",
                    "sm_config": {},
                    **fields,
                },
            )
        self.write(ref, data or {})
        return str(ref)

    def write(self, vdi: str, data: Mapping[int, bytes]) -> None:
        with self.disks.open_for_writing(self.db.get(VDI, vdi).location) as writer:
            for offset, content in data.items():
                writer.pwrite(offset, content)

    def content(self, vdi: str) -> bytes:
        with self.disks.open_for_reading(self.db.get(VDI, vdi).location) as reader:
            return bytes(reader.pread(0, reader.size))

    def snapshot(self, vdi: str) -> str:
        """A snapshot of a disk, made by its driver."""
        row = self.db.get(VDI, vdi)
        identity = str(uuid.uuid4())
        self.disks.snapshot(row.location, identity)
        with self.db.transaction() as transaction:
            return str(
                transaction.create(
                    VDI,
                    **{
                        **{
                            f.name: row[f.index] for f in VDI.fields if not f.derived and f.name != "current_operations"
                        },
                        "uuid": identity,
                        "location": identity,
                        "is_a_snapshot": True,
                        "snapshot_of": vdi,
                        "allowed_operations": (),
                    },
                )
            )

    def connect(self, vm: str, vdi: str, device: str = "0", **fields: Any) -> str:
        """A VBD between a VM and a disk."""
        with self.db.transaction() as transaction:
            return str(
                transaction.create(
                    VBD,
                    **{"VM": vm, "VDI": vdi, "userdevice": device, "type": VbdType.DISK, "mode": VbdMode.RW, **fields},
                )
            )


def noise(count: int, seed: int = 1) -> bytes:
    """Bytes without any zeros in a row, always the same ones for a seed."""
    return random.Random(seed).randbytes(count)


def pieces(data: bytes, size: int = 100_000) -> Iterable[bytes]:
    """The data in pieces, which http.client sends as chunks."""
    return (data[start : start + size] for start in range(0, len(data), size))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
