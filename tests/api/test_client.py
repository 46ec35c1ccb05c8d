"""What an ordinary client does: the PyPI package over TLS, HTTP and the Unix socket, and plain HTTP requests."""

from __future__ import annotations

import json
import re
import socket
import xmlrpc.client
from typing import Any

import pytest
import XenAPI

from tests.fakes.served import Served
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.failure import Failure
from xapi.rpc import xmlrpc as codec

METHODS = 2258


def call(name: str, *params: object) -> bytes:
    return codec.render_call(name, params)


@pytest.fixture(params=["tls", "http", "socket"])
def door(request: pytest.FixtureRequest, running: Served) -> Any:
    return getattr(running, f"over_{request.param}")


@pytest.fixture
def one_vm(session: Any) -> str:
    return next(ref for ref, vm in session.xenapi.VM.get_all_records().items() if vm["is_a_template"])


def test_a_whole_visit(running, door):
    session = door()
    session.login_with_password("root", running.password, "2.3", "tests")
    vms = session.xenapi.VM.get_all_records()
    (dom0,) = [ref for ref, vm in vms.items() if vm["is_control_domain"]]
    assert vms[dom0]["uuid"] == session.xenapi.VM.get_uuid(dom0)
    assert session.API_version == "2.23"
    session.xenapi.VM.set_name_description(dom0, "seen")
    assert session.xenapi.VM.get_record(dom0)["name_description"] == "seen"
    reference = session.handle
    session.xenapi.session.logout()
    answer = running.request("POST", "/", call("VM.get_all", reference))
    with pytest.raises(Failure) as gone:
        codec.parse_response(answer.body)
    assert gone.value.description == ["SESSION_INVALID", reference]


def test_a_wrong_password_is_refused(running):
    session = running.over_tls()
    with pytest.raises(XenAPI.Failure) as refused:
        session.login_with_password("root", "wrong")
    assert refused.value.details[:2] == ["SESSION_AUTHENTICATION_FAILED", "root"]


def test_the_socket_asks_for_no_password_and_tcp_does(running):
    session = running.over_socket()
    session.login_with_password("", "")
    assert session.xenapi.session.get_is_local_superuser(session.handle)
    session.xenapi.session.logout()
    remote = running.over_http()
    with pytest.raises(XenAPI.Failure) as refused:
        remote.login_with_password("", "")
    assert refused.value.details[0] == "SESSION_AUTHENTICATION_FAILED"


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_log_in_takes_two_to_four_arguments(running, count):
    session = running.over_http()
    session.login_with_password(*["root", running.password, "1.0", "program"][:count])
    originator = session.xenapi.session.get_originator(session.handle)
    assert originator == ("program" if count == 4 else "")
    session.xenapi.session.logout()


SCALARS = {
    "string": ("VM", "name_label", "Zürich <&> \U0001f600"),
    "empty string": ("VM", "name_description", ""),
    "bool": ("pool", "policy_no_vendor_device", True),
    "int": ("VM", "user_version", "7"),
    "enum": ("VM", "actions_after_reboot", "destroy"),
    "ref": ("VM", "affinity", "host"),
    "null ref": ("VM", "affinity", "OpaqueRef:NULL"),
    "set": ("VM", "tags", ["b", "a"]),
    "map": ("VM", "other_config", {"a key": "a value", "": "empty"}),
}


@pytest.mark.parametrize("kind", SCALARS)
def test_a_field_of_each_kind_is_set_and_read_back(session, one_vm, kind):
    entity, field, value = SCALARS[kind]
    if value == "host":
        value = session.xenapi.host.get_all()[0]
    messages = getattr(session.xenapi, entity)
    target = one_vm if entity == "VM" else messages.get_all()[0]
    getattr(messages, f"set_{field}")(target, value)
    assert getattr(messages, f"get_{field}")(target) == value
    assert messages.get_record(target)[field] == value


def test_a_set_is_added_to_and_removed_from(session, one_vm):
    vm = session.xenapi.VM
    vm.set_tags(one_vm, ["a"])
    vm.add_tags(one_vm, "b")
    vm.add_tags(one_vm, "b")
    assert vm.get_tags(one_vm) == ["b", "a"]
    vm.remove_tags(one_vm, "a")
    vm.remove_tags(one_vm, "never there")
    assert vm.get_tags(one_vm) == ["b"]


def test_a_map_is_added_to_and_removed_from(session, one_vm):
    vm = session.xenapi.VM
    vm.set_other_config(one_vm, {})
    vm.add_to_other_config(one_vm, "k", "v")
    with pytest.raises(XenAPI.Failure) as twice:
        vm.add_to_other_config(one_vm, "k", "w")
    assert twice.value.details == ["MAP_DUPLICATE_KEY", "VM", "other_config", one_vm, "k"]
    assert vm.get_other_config(one_vm) == {"k": "v"}
    vm.remove_from_other_config(one_vm, "k")
    vm.remove_from_other_config(one_vm, "k")
    assert vm.get_other_config(one_vm) == {}


def test_an_asynchronous_call_is_followed_to_its_end(session):
    pool = session.xenapi.pool.get_all()[0]
    task = session.xenapi.Async.secret.create({"value": "hidden", "other_config": {}})
    record = _finished(session, task)
    assert (record["status"], record["progress"], record["error_info"]) == ("success", 1.0, [])
    secret = re.fullmatch(r"<value>(OpaqueRef:[0-9a-f-]+)</value>", record["result"])
    assert secret and session.xenapi.secret.get_value(secret[1]) == "hidden"
    session.xenapi.task.destroy(task)
    failing = session.xenapi.Async.VM.start("OpaqueRef:nowhere", False, False)
    record = _finished(session, failing)
    assert (record["status"], record["result"]) == ("failure", "")
    assert record["error_info"] == ["HANDLE_INVALID", "VM", "OpaqueRef:nowhere"]
    assert pool in session.xenapi.pool.get_all()


def _finished(session: Any, task: str) -> dict[str, Any]:
    """The task's record once it has ended, as events tell it."""
    token = ""
    while True:
        batch = session.xenapi.event_from([f"task/{task}"], token, 30.0)
        token = batch["token"]
        for event in batch["events"]:
            if event["snapshot"]["status"] != "pending":
                return event["snapshot"]


def test_an_event_loop_sees_what_happens(session, one_vm):
    first = session.xenapi.event_from(["vm", "pool"], "", 30.0)
    seen = {event["ref"]: event["snapshot"] for event in first["events"] if event["class"] == "vm"}
    assert seen.keys() == set(session.xenapi.VM.get_all())
    assert int(first["valid_ref_counts"]["vm"]) == len(seen)
    assert re.fullmatch(r"[0-9]{20},[0-9]{20}", first["token"])
    session.xenapi.VM.set_name_label(one_vm, "renamed")
    second = session.xenapi.event_from(["VM"], first["token"], 30.0)
    assert [(e["class"], e["operation"], e["ref"]) for e in second["events"]] == [("vm", "mod", one_vm)]
    assert second["events"][0]["snapshot"] == session.xenapi.VM.get_record(one_vm)
    empty = session.xenapi.event_from(["VM"], second["token"], 0.001)
    assert empty["events"] == [] and empty["token"] >= second["token"]


def test_every_message_is_listed_bare_and_without_a_session(running):
    answer = running.request("POST", "/", call("system.listMethods"))
    assert b"Status" not in answer.body
    names = codec.parse_response(answer.body)
    assert names == list(CATALOG.methods)
    assert len(names) == METHODS


@pytest.mark.parametrize("path", ["/", "/RPC2", "/any/path?at=all", "/RPC2/"])
@pytest.mark.parametrize("content_type", ["text/xml", "application/x-www-form-urlencoded", "nonsense"])
def test_a_post_to_any_path_with_any_content_type_is_xml_rpc(running, session, path, content_type):
    body = call("VM_get_all", session.handle)
    answer = running.request("POST", path, body, {"Content-Type": content_type})
    assert (answer.status, answer.headers["content-type"]) == (200, "text/xml")
    assert len(codec.parse_response(answer.body)) > 1


def test_class_underscore_message_answers_like_class_dot_message(session):
    for name in ("VM_get_all", "pool_get_all", "host_metrics.get_all", "host_metrics_get_all"):
        assert getattr(session, name)(session.handle)["Status"] == "Success", name


def test_the_fragments_of_the_wire_are_exact(running, session, one_vm):
    def fragment(name: str, *params: object) -> str:
        body = running.request("POST", "/", call(name, session.handle, *params)).body.decode()
        found = re.search("<name>Value</name>(.*)</member></struct></value></param>", body)
        assert found, body
        return found[1]

    host, pool = session.xenapi.host.get_all()[0], session.xenapi.pool.get_all()[0]
    assert fragment("host.get_API_version_major", host) == "<value>2</value>"
    assert fragment("VM.get_is_a_template", one_vm) == "<value><boolean>1</boolean></value>"
    assert fragment("VM.get_HVM_shadow_multiplier", one_vm) == "<value><double>1</double></value>"
    assert fragment("pool.get_redo_log_vdi", pool) == "<value>OpaqueRef:NULL</value>"
    assert fragment("VM.set_name_label", one_vm, "a") == "<value></value>"
    assert fragment("VM.get_snapshots", one_vm) == "<value><array><data></data></array></value>"
    date = "<value><dateTime.iso8601>19700101T00:00:00Z</dateTime.iso8601></value>"
    assert fragment("VM.get_snapshot_time", one_vm) == date
    counts = fragment("event.from", ["pool"], "", 0.0)
    assert "<name>pool</name><value><i4>1</i4></value>" in counts


def ask_json(running: Served, **document: object) -> Any:
    answer = running.request("POST", "/jsonrpc", json.dumps(document).encode(), {"Content-Type": "whatever"})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    return json.loads(answer.body)


def test_json_rpc_2(running):
    reference = ask_json(
        running, jsonrpc="2.0", id=1, method="session.login_with_password", params=["root", running.password]
    )["result"]
    pools = ask_json(running, jsonrpc="2.0", id="a", method="pool.get_all_records", params=[reference])
    assert set(pools) == {"jsonrpc", "result", "id"} and pools["id"] == "a"
    (pool,) = pools["result"].values()
    assert pool["ha_host_failures_to_tolerate"] == 0 and pool["ha_enabled"] is False
    refused = ask_json(running, jsonrpc="2.0", id=2, method="VM.get_record", params=[reference, "OpaqueRef:x"])
    assert refused == {
        "jsonrpc": "2.0",
        "error": {"code": 1, "message": "HANDLE_INVALID", "data": ["VM", "OpaqueRef:x"]},
        "id": 2,
    }
    names = ask_json(running, jsonrpc="2.0", id=3, method="system.listMethods")["result"]
    assert len(names) == METHODS
    ask_json(running, jsonrpc="2.0", id=4, method="session.logout", params=[reference])


def test_json_rpc_1(running, session):
    done = ask_json(running, id=5, method="VM.get_all", params=[session.handle])
    assert set(done) == {"result", "error", "id"} and done["error"] is None and len(done["result"]) > 1
    refused = ask_json(running, id=6, method="VM.get_record", params=[session.handle, "x"])
    assert refused == {"result": None, "error": ["HANDLE_INVALID", "VM", "x"], "id": 6}


@pytest.mark.parametrize("document", [b"", b"[]", b'{"method":"x","params":[]}', b"\xff", b'{"id":1,"method":"m"}'])
def test_json_that_is_no_call_gets_a_page(running, document):
    answer = running.request("POST", "/jsonrpc", document)
    assert (answer.status, answer.headers["content-type"]) == (500, "text/html")


def test_numbers_in_json_are_numbers_and_are_taken_as_numbers_or_text(running, session, one_vm):
    for given, wanted in ((5, 5), ("6", 6)):
        ask_json(running, jsonrpc="2.0", id=1, method="VM.set_user_version", params=[session.handle, one_vm, given])
        got = ask_json(running, jsonrpc="2.0", id=1, method="VM.get_user_version", params=[session.handle, one_vm])
        assert got["result"] == wanted


def test_options_tells_a_browser_what_it_may_do(running):
    answer = running.request("OPTIONS", "/jsonrpc")
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nosuch", 403),
        ("GET", "/RPC2", 403),
        ("GET", "/jsonrpc", 403),
        ("PUT", "/", 403),
        ("DELETE", "/", 501),
        ("BREW", "/", 501),
    ],
)
def test_what_has_no_door_gets_a_page(running, method, path, status):
    answer = running.request(method, path)
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html")


def test_calls_may_be_sent_ahead_on_one_connection(running, session):
    body = call("pool.get_all", session.handle)
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with socket.create_connection(running.http, 30) as connection:
        connection.sendall(request * 5 + request.replace(b"Host: x", b"Connection: close"))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200") == 6
    assert received.count(b"<name>Status</name><value>Success</value>") == 6


def test_http_1_0_without_keep_alive_closes(running, session):
    body = call("pool.get_all", session.handle)
    with socket.create_connection(running.http, 30) as connection:
        connection.sendall(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"200 OK" in received.split(b"\r\n")[0]
    assert b"Success" in received


def test_a_fault_of_the_standard_library_never_shows(running, session):
    proxy = xmlrpc.client.ServerProxy(f"http://{running.http[0]}:{running.http[1]}")
    assert proxy.VM.nosuch(session.handle) == {
        "Status": "Failure",
        "ErrorDescription": ["MESSAGE_METHOD_UNKNOWN", "VM.nosuch"],
    }
    proxy("close")()


def test_messages_describe_themselves(running):
    proxy = xmlrpc.client.ServerProxy(f"http://{running.http[0]}:{running.http[1]}")
    with proxy:
        assert proxy.system.methodSignature("VM.start") == [["string", "string", "string", "boolean", "boolean"]]
        assert proxy.system.methodSignature("VM.get_all_records") == [["struct", "string"]]
        assert proxy.system.methodHelp("VM.start").startswith("Boot")
        refused = proxy.system.methodSignature("VM.nosuch")
        assert refused["ErrorDescription"] == ["MESSAGE_METHOD_UNKNOWN", "system.methodSignature"]
