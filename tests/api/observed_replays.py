"""How each recorded answer is asked for again: the request that a label stands for.

A replay is a function of the place in which it happens; it answers what came back. Labels that name their own call
("halted: VM.suspend[]") are read; the others stand in the table.
"""

from __future__ import annotations

import ast
import json
import re
import uuid
import xmlrpc.client
from collections.abc import Callable
from typing import Any

from tests.api.observed import Seen
from tests.fakes.served import Served
from xapi.datamodel.classes import VM
from xapi.datamodel.classes.vm import DomainType, OnNormalExit

MIB128 = 128 << 20
NOREF = "OpaqueRef:00000000-dead-beef-0000-000000000000"
TIMEOUT = 0.05
BEFORE_ALL = "-0000000000000000001,-0000000000000000001"


class Place:
    """A server and a session in it."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.session = self.value("session.login_with_password", "root", served.password, "1.0", "replays", bare=True)
        self.host = self.value("host.get_all")[0]

    def post(self, body: bytes, path: str = "/") -> Seen:
        answer = self.served.request("POST", path, body)
        if answer.status != 200:
            return Seen(answer.status, "http", answer.body.decode("utf-8", "replace"), answer.headers)
        value: Any = xmlrpc.client.loads(answer.body)[0][0]
        if not isinstance(value, dict) or "Status" not in value:
            return Seen(200, "bare", value, answer.headers)
        if value["Status"] == "Success":
            return Seen(200, "ok", value["Value"], answer.headers)
        return Seen(200, "error", value["ErrorDescription"], answer.headers)

    def bare(self, name: str, *params: Any) -> Seen:
        """A call with exactly these parameters, numbers going as `<int>`."""
        return self.post(xmlrpc.client.dumps(params, name).encode())

    def call(self, name: str, *params: Any) -> Seen:
        return self.bare(name, self.session, *params)

    def value(self, name: str, *params: Any, bare: bool = False) -> Any:
        """The value of a call that must succeed."""
        seen = self.bare(name, *params) if bare else self.call(name, *params)
        assert seen.kind == "ok", (name, seen)
        return seen.value

    def json(self, path: str = "/jsonrpc", **document: Any) -> Seen:
        return self.json_text(json.dumps(document), path)

    def json_text(self, text: str, path: str = "/jsonrpc") -> Seen:
        answer = self.served.request("POST", path, text.encode())
        if answer.status != 200:
            return Seen(answer.status, "not-json", answer.body.decode(), answer.headers)
        return Seen(200, "json", json.loads(answer.body), answer.headers)

    def http(self, method: str, path: str, body: bytes = b"") -> Seen:
        answer = self.served.request(method, path, body)
        return Seen(answer.status, "http", answer.body.decode("utf-8", "replace"), answer.headers)

    def vm(self, **values: Any) -> str:
        """A halted VM called "probe-vm" of 128 MiB, put into the rows directly."""
        fields: dict[str, Any] = {
            "name_label": "probe-vm",
            "name_description": "p",
            "actions_after_reboot": OnNormalExit.RESTART,
            "domid": -1,
            "memory_static_min": 16 << 20,
            "memory_overhead": 5 << 20,
            "hardware_platform_version": 2,
            "memory_static_max": MIB128,
            "memory_dynamic_min": MIB128,
            "memory_dynamic_max": MIB128,
            "memory_target": MIB128,
            "VCPUs_max": 1,
            "VCPUs_at_startup": 1,
            "user_version": 1,
            "is_a_template": False,
            "domain_type": DomainType.HVM,
            "HVM_boot_policy": "BIOS order",
            "HVM_boot_params": {"order": "c"},
            "platform": {"pae": "true"},
            "other_config": {"k": "v", "mac_seed": str(uuid.uuid4())},
            "tags": ("a",),
            "is_default_template": False,
        }
        with self.served.server.toolstack.db.transaction() as transaction:
            return transaction.create(VM, **{**fields, **values})


Replay = Callable[[Place], Seen]
REPLAYS: dict[str, Replay] = {}


def replay(label: str) -> Callable[[Replay], Replay]:
    def register(function: Replay) -> Replay:
        REPLAYS[label] = function
        return function

    return register


def of_vm(message: str, *params: Any) -> Replay:
    return lambda place: place.call(message, place.vm(), *params)


def after(setting: tuple[Any, ...], reading: tuple[Any, ...]) -> Replay:
    """Set something of a VM, then read it back."""

    def run(place: Place) -> Seen:
        vm = place.vm()
        name, *params = setting
        first = place.call(name, vm, *params)
        assert first.kind == "ok", first
        name, *params = reading
        return place.call(name, vm, *params)

    return run


def find(label: str) -> Replay | None:
    """The replay of a label, or None when the request cannot be told from it."""
    known = REPLAYS.get(label)
    if known is not None:
        return known
    for pattern, make in READ:
        found = re.fullmatch(pattern, label, re.DOTALL)
        if found:
            return make(found)
    return None


def _login(*params: Any) -> Replay:
    def run(place: Place) -> Seen:
        given = [place.served.password if param is PASSWORD else param for param in params]
        return place.bare("session.login_with_password", *given)

    return run


PASSWORD = object()
REPLAYS.update(
    {
        "login: unknown user": _login("nobody-here", "x"),
        "login: no arguments": _login(),
        "login: version 9.9": _login("root", PASSWORD, "9.9"),
        "login: version empty": _login("root", PASSWORD, ""),
        "login: two arguments": _login("root", PASSWORD),
        "login: int password": _login("root", 5),
        "session: null ref": lambda place: place.bare("VM.get_all", "OpaqueRef:NULL"),
        "session: int": lambda place: place.bare("VM.get_all", 5),
        "session: get_this_host": lambda place: place.call("session.get_this_host", place.session),
        "session: get_record": lambda place: place.call("session.get_record", place.session),
        "session: get_uuid": lambda place: place.call("session.get_uuid", place.session),
        "session: get_all": lambda place: place.call("session.get_all"),
        "method: system.listMethods": lambda place: place.bare("system.listMethods"),
        "method: event.get_current_id": lambda place: place.call("event.get_current_id"),
        "args: VM.start 5": lambda place: place.call("VM.start", *"abcde"),
        "args: VM.create 0": lambda place: place.call("VM.create"),
        "args: event.from 1": lambda place: place.call("event.from", ["vm"]),
        "args: session.logout 0": lambda place: place.bare("session.logout"),
        "VM.get_record shape": of_vm("VM.get_record"),
        "VM.get_record defaults": of_vm("VM.get_record"),
        "create: empty record": lambda place: place.call("VM.create", {}),
        "ref lower: VM.get_record": lambda place: place.call("VM.get_record", place.vm().lower()),
        "uuid unknown: VM.get_by_uuid": lambda place: place.call("VM.get_by_uuid", str(uuid.uuid4())),
        "uuid of a ref: VM.get_by_uuid": lambda place: place.call("VM.get_by_uuid", place.vm()),
        "name none: VM.get_by_name_label": lambda place: place.call("VM.get_by_name_label", "nobody's"),
        "ref unknown: VM.add_to_other_config": lambda place: place.call("VM.add_to_other_config", NOREF, "k", "v"),
        "ref unknown: VM.set_name_label": lambda place: place.call("VM.set_name_label", NOREF, "x"),
        "type: set bool as int": of_vm("VM.set_is_a_template", 1),
        "type: set int as int": of_vm("VM.set_user_version", 1),
        "type: set int as junk": of_vm("VM.set_user_version", "junk"),
        "type: read back hex": after(("VM.set_user_version", "0x10"), ("VM.get_user_version",)),
        "type: set int padded": of_vm("VM.set_user_version", " 1 "),
        "type: set int as float": of_vm("VM.set_user_version", 1.5),
        "type: set int too large": of_vm("VM.set_user_version", "9" * 30),
        "type: read back entities": after(
            ("VM.set_name_label", "<a>&\"'\u00e9\u4e2d\U0001f600"), ("VM.get_name_label",)
        ),
        "enum: bad": of_vm("VM.set_actions_after_shutdown", "nosuch"),
        "enum: upper": of_vm("VM.set_actions_after_shutdown", "DESTROY"),
        "enum: empty": of_vm("VM.set_actions_after_shutdown", ""),
        "enum: map key bad": of_vm("VM.set_blocked_operations", {"nosuch": "x"}),
        "enum: blocked get": after(("VM.set_blocked_operations", {"start": "because"}), ("VM.get_blocked_operations",)),
        "map: add new": of_vm("VM.add_to_other_config", "a", "1"),
        "map: add duplicate": after(("VM.add_to_other_config", "a", "1"), ("VM.add_to_other_config", "a", "2")),
        "map: add int value": of_vm("VM.add_to_other_config", "b", 2),
        "map: remove": of_vm("VM.remove_from_other_config", "a"),
        "map: set": of_vm("VM.set_other_config", {"x": "1"}),
        "map: set to array": of_vm("VM.set_other_config", []),
        "map: set to string": of_vm("VM.set_other_config", ""),
        "set: remove absent": of_vm("VM.remove_tags", "absent"),
        "set: get": after(("VM.add_tags", "b"), ("VM.get_tags",)),
        "read-only: set_uuid": of_vm("VM.set_uuid", "x"),
        "read-only: set_power_state": of_vm("VM.set_power_state", "Running"),
        "where: missing": lambda place: place.call("VM.get_all_records_where"),
        "pool shape": lambda place: place.call("pool.get_all_records"),
        "secret.create": lambda place: place.call("secret.get_by_uuid", str(uuid.uuid4())),
        "role.get_by_name_label": lambda place: place.call("role.get_by_name_label", "pool-admin"),
        "user.get_all": lambda place: place.call("user.get_all"),
        "SR.scan: unknown": lambda place: place.call("SR.scan", NOREF),
        "VDI.create: bad SR": lambda place: place.call("VDI.create", _vdi(NOREF)),
        "VBD.create: bad userdevice": lambda place: place.call("VBD.create", _vbd(place, userdevice="zz")),
        "VBD.create: bad type": lambda place: place.call("VBD.create", _vbd(place, type="zz")),
        "task: get_status": lambda place: place.call("task.get_status", _task(place)),
        "task: set_progress": lambda place: place.call("task.set_progress", _task(place), 0.5),
        "task: set_status bad": lambda place: place.call("task.set_status", _task(place), "nosuch"),
        "task: cancel": lambda place: place.call("task.cancel", _task(place)),
        "task: cancel unknown": lambda place: place.call("task.cancel", NOREF),
        "event.register": lambda place: place.call("event.register", ["vm"]),
        "event.inject unknown class": lambda place: place.call("event.inject", "nosuch", place.vm()),
        "event.from: token negative": lambda place: _from(place, ["vm"], BEFORE_ALL, TIMEOUT),
        "event.from: token huge": lambda place: _from(place, ["vm"], f"{10**19:020d},{10**19:020d}", TIMEOUT),
        "event.from: token int": lambda place: _from(place, ["vm"], 5, TIMEOUT),
        "event.from: class string": lambda place: _from(place, "vm", "", TIMEOUT),
        "event.from: class upper": lambda place: _from(place, ["VM"], "", TIMEOUT),
        "event.from: class with bad ref": lambda place: _from(place, [f"vm/{NOREF}"], "", TIMEOUT),
        "event.from: timeout negative": lambda place: _from(place, ["pool"], "", -1.0),
    }
)


def _vdi(sr: str) -> dict[str, Any]:
    return {
        "name_label": "x",
        "name_description": "",
        "SR": sr,
        "virtual_size": "1048576",
        "type": "user",
        "sharable": False,
        "read_only": False,
        "other_config": {},
    }


def _vbd(place: Place, **changed: Any) -> dict[str, Any]:
    record = {
        "VM": place.vm(),
        "VDI": "OpaqueRef:NULL",
        "userdevice": "0",
        "bootable": False,
        "mode": "RO",
        "type": "CD",
        "unpluggable": True,
        "empty": True,
        "other_config": {},
        "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    }
    return {**record, **changed}


def _task(place: Place) -> str:
    return place.value("task.create", "probe", "")


@replay("task: destroy twice")
def _twice(place: Place) -> Seen:
    task = _task(place)
    for message in ("task.cancel", "task.destroy"):
        place.value(message, task)
    return place.call("task.destroy", task)


@replay("task shape")
def _no_tasks(place: Place) -> Seen:
    for task in place.value("task.get_all"):
        place.value("task.destroy", task)
    return place.call("task.get_all_records")


def _from(place: Place, *params: Any) -> Seen:
    seen = place.call("event.from", *params)
    if seen.kind != "ok":
        return seen
    batch = seen.value
    events = batch["events"]
    return Seen(
        200,
        "ok",
        {
            "classes": sorted({event["class"] for event in events}),
            "count_keys": sorted(batch["valid_ref_counts"]),
            "counts": batch["valid_ref_counts"],
            "events": bool(events),
            "fields": sorted(events[0]) if events else [],
            "keys": sorted(batch),
            "ops": sorted({event["operation"] for event in events}),
            "token": batch["token"],
        },
    )


@replay("session: after logout")
def _after_logout(place: Place) -> Seen:
    gone = _logged_out(place)
    return place.bare("VM.get_all", gone)


@replay("session: event.from after logout")
def _events_after_logout(place: Place) -> Seen:
    return place.bare("event.from", _logged_out(place), ["vm"], "", 1.0)


def _logged_out(place: Place) -> str:
    session: str = place.value("session.login_with_password", "root", place.served.password, bare=True)
    place.value("session.logout", session, bare=True)
    return session


@replay("method: ''")
def _nameless(place: Place) -> Seen:
    return place.post(b"<?xml version='1.0'?><methodCall><methodName></methodName><params></params></methodCall>")


@replay("type: read back bare")
def _bare_text(place: Place) -> Seen:
    vm = place.vm()
    body = f"""<?xml version='1.0'?><methodCall><methodName>VM.set_name_label</methodName><params>
        <param><value>{place.session}</value></param><param><value>{vm}</value></param>
        <param><value>bare</value></param></params></methodCall>"""
    assert place.post(body.encode()).kind == "ok"
    return place.call("VM.get_name_label", vm)


@replay("type: name with control char")
def _control(place: Place) -> Seen:
    document = xmlrpc.client.dumps((place.session, place.vm(), "aXb"), "VM.set_name_label")
    return place.post(document.replace("aXb", "a&#1;b").encode())


@replay("map: get")
def _map_get(place: Place) -> Seen:
    vm = place.vm()
    place.value("VM.add_to_other_config", vm, "a", "1")
    return place.call("VM.get_other_config", vm)


@replay("map: get after duplicates")
def _map_duplicates(place: Place) -> Seen:
    vm = place.vm()
    document = xmlrpc.client.dumps((place.session, vm, {"x": "1", "y": "2"}), "VM.set_other_config")
    assert place.post(document.replace("<name>y</name>", "<name>x</name>").encode()).kind == "ok"
    return place.call("VM.get_other_config", vm)


def _create(**changed: Any) -> Replay:
    def run(place: Place) -> Seen:
        record = place.value("VM.get_record", place.vm())
        return place.call("VM.create", {**record, **changed})

    return run


REPLAYS["create: zero vcpus"] = _create(VCPUs_max="0", VCPUs_at_startup="0")
REPLAYS["create: memory order"] = _create(memory_static_min=str(2 * MIB128))
REPLAYS["create: bool as string"] = _create(is_a_template="true")


# Asynchronous calls: "async NAME: WHAT" asks the call for its reference, or the task for one of its fields.
ASYNC: dict[str, Callable[[Place], Seen]] = {
    "good": of_vm("Async.VM.update_allowed_operations"),
    "bad ref": lambda place: place.call("Async.VM.start", NOREF, False, False),
    "wrong state": of_vm("Async.VM.pause"),
    "wrong count": of_vm("Async.VM.start"),
    "result": of_vm("Async.VM.get_possible_hosts"),
}


def _async(found: re.Match[str]) -> Replay | None:
    begin = ASYNC.get(found[1])
    if begin is None:
        return None

    def run(place: Place) -> Seen:
        seen = begin(place)
        if found[2] == "call" or seen.kind != "ok":
            return seen
        _ended(place, seen.value)
        if found[2] == "destroy":
            return place.call("task.destroy", seen.value)
        return place.call(f"task.get_{found[2]}", seen.value)

    return run


def _ended(place: Place, task: str) -> None:
    token = ""
    while place.value("task.get_status", task) == "pending":
        token = place.value("event.from", [f"task/{task}"], token, 10.0)["token"]


def _halted(found: re.Match[str]) -> Replay:
    message, params, quote, field = found.groups()

    def run(place: Place) -> Seen:
        there = message == "assert_can_boot_here" and not quote
        given = [place.host if there else NOREF if param == "REF" else param for param in ast.literal_eval(params)]
        seen = place.call(f"VM.{message}", place.vm(), *given)
        if field and seen.kind == "ok":
            return place.call(f"VM.get_{field}", seen.value)
        return seen

    return run


def _method(found: re.Match[str]) -> Replay:
    name = found[1]
    return lambda place: place.call(name)


def _reference(found: re.Match[str]) -> Replay:
    kind, message = found.groups()
    values = {"null": "OpaqueRef:NULL", "empty": "", "junk": "junk", "unknown": NOREF}
    return lambda place: place.call(message, place.host if kind == "of a host" else values[kind])


def _where(found: re.Match[str]) -> Replay:
    expression = found[1]

    def run(place: Place) -> Seen:
        if expression == "task":
            return place.call("task.get_all_records_where", "false")
        vm = place.vm(user_version=1)
        seen = place.call("VM.get_all_records_where", expression)
        if seen.kind == "ok":
            records = seen.value
            probes = {ref for ref, record in records.items() if record["name_label"] == "probe-vm"}
            inside, others = vm in records, bool(set(records) - probes)
            return Seen(200, "ok", [f"probe VM in it: {inside}", f"others in it: {others}"])
        return seen

    return run


READ: list[tuple[str, Callable[[re.Match[str]], Replay | None]]] = [
    (r"method: '(.+)'", _method),
    (r"method: (system\.nosuch)", _method),
    (r"ref (null|empty|junk|unknown|of a host): (VM\.\w+)", _reference),
    (r"where: (.*)", _where),
    (r"halted: VM\.(\w+)(\[.*\])(')?(?: (\w+))?", _halted),
    (r"async ([^:]+): (\w+)", _async),
]

REPLAYS["method: 'system.nosuch'"] = lambda place: place.bare("system.nosuch")


JSON_1: dict[str, Callable[[Place], dict[str, Any]]] = {
    "ok": lambda place: {"id": 1, "method": "VM.get_by_name_label", "params": [place.session, "nobody's"]},
    "error": lambda place: {"id": 1, "method": "VM.get_record", "params": [place.session, NOREF]},
    "string id": lambda place: {"id": "abc", "method": "VM.get_by_name_label", "params": [place.session, "nobody's"]},
    "int field": lambda place: {"id": 1, "method": "host.get_API_version_major", "params": [place.session, place.host]},
    "params object": lambda place: {"id": 1, "method": "VM.get_all", "params": {"session_id": place.session}},
    "void": lambda place: {"id": 1, "method": "VM.set_name_label", "params": [place.session, NOREF, "x"]},
    "no id": lambda place: {"method": "VM.get_all", "params": [place.session]},
    "no params": lambda place: {"id": 1, "method": "VM.get_all"},
}
JSON_2: dict[str, Callable[[Place], dict[str, Any]]] = {
    "unknown method": lambda place: {"id": 1, "method": "nosuch.x", "params": [place.session]},
    "bool value": lambda place: {
        "id": 1,
        "method": "session.get_is_local_superuser",
        "params": [place.session, place.session],
    },
    "params object": lambda place: {
        "id": 1,
        "method": "host.get_by_name_label",
        "params": {"session_id": place.session, "label": "x"},
    },
    "int where string": lambda place: {"id": 1, "method": "VM.get_by_name_label", "params": [place.session, 5]},
    "no method": lambda place: {"id": 1, "params": [place.session]},
}


def _json_replay(document: Callable[[Place], dict[str, Any]], **version: str) -> Replay:
    return lambda place: place.json(**version, **document(place))


for _name, _document in JSON_1.items():
    REPLAYS[f"json 1.0: {_name}"] = _json_replay(_document)
for _name, _document in JSON_2.items():
    REPLAYS[f"json 2.0: {_name}"] = _json_replay(_document, jsonrpc="2.0")
REPLAYS["json: batch"] = lambda place: place.json_text('[{"jsonrpc":"2.0","id":1,"method":"VM.get_all","params":[]}]')
REPLAYS["json: empty body"] = lambda place: place.json_text("")
REPLAYS["json: string"] = lambda place: place.json_text('"x"')

CALL = "<?xml version='1.0'?>{before}<methodCall><methodName>{name}</methodName>{params}</methodCall>"
DOCTYPE = '<!DOCTYPE methodCall [<!ENTITY a "b">]>'


def _xml_page(body: Callable[[Place], str]) -> Replay:
    return lambda place: place.http("POST", "/", body(place).encode())


def _params(*values: str) -> str:
    return "<params>" + "".join(f"<param>{value}</param>" for value in values) + "</params>"


REPLAYS.update(
    {
        "http: POST / not xml": _xml_page(lambda place: "this is not XML"),
        "http: POST / xml not a call": _xml_page(lambda place: "<html><body/></html>"),
        "http: POST / call without params": _xml_page(
            lambda place: CALL.format(before="", name="VM.get_all", params="")
        ),
        "http: POST / with DOCTYPE": _xml_page(
            lambda place: CALL.format(
                before=DOCTYPE, name="VM.get_all", params=_params(f"<value>{place.session}</value>")
            )
        ),
        "http: POST / unknown type element": _xml_page(
            lambda place: CALL.format(
                before="", name="VM.get_all", params=_params(f"<value><odd>{place.session}</odd></value>")
            )
        ),
        "http: POST / whitespace around value": _xml_page(
            lambda place: CALL.format(
                before="",
                name="VM.get_by_name_label",
                params=_params(
                    f"<value>\n <string>{place.session}</string>\n </value>", "<value> <string>n</string></value>"
                ),
            )
        ),
    }
)


def _page(found: re.Match[str]) -> Replay:
    method, path, logged_in = found.groups()

    def run(place: Place) -> Seen:
        joint = "&" if "?" in path else "?"
        return place.http(method, f"{path}{joint}session_id={place.session}" if logged_in else path)

    return run


READ.append((r"http: (\w+) (/\S*)( with session)?", _page))
