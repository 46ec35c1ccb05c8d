"""Clients that write as fast as they can and remember what the server has acknowledged."""

from __future__ import annotations

import http.client
import random
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.served import Doors, UnixConnection
from xapi.datamodel.failure import Failure
from xapi.rpc import xmlrpc

GONE = (ConnectionError, http.client.HTTPException, OSError)


class Line:
    """One keep-alive connection over the Unix socket, logged in."""

    def __init__(self, doors: Doors) -> None:
        self.connection = UnixConnection(doors.socket)
        self.session = self.bare("session.login_with_password", "", "")

    def bare(self, name: str, *params: object) -> Any:
        self.connection.request("POST", "/", xmlrpc.render_call(name, params))
        return xmlrpc.parse_response(self.connection.getresponse().read())

    def call(self, name: str, *params: object) -> Any:
        return self.bare(name, self.session, *params)

    def close(self) -> None:
        self.connection.close()


@dataclass
class Memory:
    """What one writer knows: `sure` was acknowledged; `doubtful` was asked for when the line went dead."""

    vm: str
    number: int = 0  # of the last acknowledged name
    doubtful_number: int = 0
    keys: set[str] = field(default_factory=set)  # in the other_config that all writers share
    doubtful_keys: set[str] = field(default_factory=set)
    vifs: set[str] = field(default_factory=set)
    doubtful_gone: set[str] = field(default_factory=set)
    groups: set[str] | None = field(default_factory=set)  # None: not known
    tasks: dict[str, bool] = field(default_factory=dict)  # whether its end was seen


class Writer(threading.Thread):
    """Writes until its line goes dead."""

    def __init__(self, doors: Doors, memory: Memory, seed: int, places: dict[str, list[str]]) -> None:
        super().__init__()
        self.doors = doors
        self.memory = memory
        self.random = random.Random(seed)
        self.places = places
        self.error: BaseException | None = None
        self.acknowledged = 0

    def run(self) -> None:
        try:
            line = Line(self.doors)
        except GONE:
            return
        try:
            while True:
                self.random.choice((self.rename, self.note, self.plug, self.unplug, self.group, self.begin))(line)
                self.acknowledged += 1
        except GONE:
            return
        except (Failure, AssertionError, xmlrpc.MalformedAnswer) as problem:
            self.error = problem
        finally:
            line.close()

    def rename(self, line: Line) -> None:
        memory = self.memory
        memory.doubtful_number = memory.number + 1
        line.call("VM.set_name_description", memory.vm, str(memory.doubtful_number))
        memory.number = memory.doubtful_number

    def note(self, line: Line) -> None:
        key = f"{self.memory.vm}-{self.random.getrandbits(60)}"
        self.memory.doubtful_keys.add(key)
        line.call("network.add_to_other_config", self.places["network"][0], key, "x")
        self.memory.keys.add(key)

    def plug(self, line: Line) -> None:
        record = {
            "device": str(self.random.randrange(7)),
            "network": self.random.choice(self.places["network"]),
            "VM": self.memory.vm,
            "MAC": "",
            "MTU": "1500",
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
        try:
            self.memory.vifs.add(line.call("VIF.create", record))
        except Failure as refused:
            if refused.code != "DEVICE_ALREADY_EXISTS":
                raise

    def unplug(self, line: Line) -> None:
        if self.memory.vifs:
            vif = self.random.choice(sorted(self.memory.vifs))
            self.memory.vifs.discard(vif)
            self.memory.doubtful_gone.add(vif)
            line.call("VIF.destroy", vif)

    def group(self, line: Line) -> None:
        chosen = [group for group in self.places["VM_group"] if self.random.random() < 0.3][:1]
        self.memory.groups = None
        line.call("VM.set_groups", self.memory.vm, chosen)
        self.memory.groups = set(chosen)

    def begin(self, line: Line) -> None:
        task = line.call("Async.secret.create", {"value": "x", "other_config": {}})
        self.memory.tasks[task] = False
        self.memory.tasks[task] = line.call("task.get_status", task) == "success"
