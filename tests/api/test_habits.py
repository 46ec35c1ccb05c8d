"""Requests in the handwriting of clients that cannot be run here: SDKs in other languages, old and new.

Each one is written byte by byte as the client's library writes it, and has to be understood as it was meant.
"""

from __future__ import annotations

import json
import random
import re
import socket
import xml.dom.minidom
from collections.abc import Iterator
from typing import Any

import lxml.etree
import pytest

from tests.fakes.eventually import eventually
from tests.fakes.served import Served

APACHE = 'xmlns:ex="http://ws.apache.org/xmlrpc/namespaces/extensions"'


def exchanged(running: Served, *parts: bytes) -> tuple[str, bytes]:
    """Send a request, part by part, each after an answer to the one before; the last status line, and the body."""
    with socket.create_connection(running.http, timeout=30) as connection:
        for part in parts[:-1]:
            connection.sendall(part)
            assert connection.recv(4096)
        connection.sendall(parts[-1])
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body


def posted(body: bytes, path: str = "/", head: str = "", version: str = "1.1") -> bytes:
    return f"POST {path} HTTP/{version}\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def document(method: str, *params: str, prolog: str = '<?xml version="1.0"?>', names: str = "") -> str:
    values = "".join(f"<param><value>{param}</value></param>" for param in params)
    return f"{prolog}<methodCall {names}><methodName>{method}</methodName><params>{values}</params></methodCall>"


def understood(answer: tuple[str, bytes]) -> list[str]:
    """What an XML-RPC answer says: `Success`, or `Failure` with the error's parts."""
    status, body = answer
    assert status == "HTTP/1.1 200 OK", answer
    members = {
        member.findtext("name"): member.find("value")
        for member in lxml.etree.fromstring(body).iterfind(".//param/value/struct/member")
    }
    if members["Status"].text == "Success":
        return ["Success"]
    return ["Failure", *(value.text or "" for value in members["ErrorDescription"].iterfind("array/data/value"))]


@pytest.fixture
def vm(api: Any) -> Iterator[str]:
    made = api.VM.clone(api.VM.get_by_name_label("Other install media")[0], "by hand")
    api.VM.set_is_a_template(made, False)
    yield made
    api.VM.destroy(made)


@pytest.fixture
def api(session: Any) -> Any:
    return session.xenapi


@pytest.mark.parametrize("path", ["/", "/RPC2", "//RPC2", "/RPC2/", "/xmlrpc", "http://host/RPC2"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_xml_rpc_goes_to_any_path(running, session, path, version):
    body = document("VM.get_by_name_label", session.handle, "nobody").encode()
    assert understood(exchanged(running, posted(body, path, version=version))) == ["Success"]


@pytest.mark.parametrize(
    "head",
    [
        "Accept-Encoding: gzip, deflate\r\nConnection: Keep-Alive\r\nKeep-Alive: 300\r\n",  # .NET Framework
        "Content-Type: text/xml; charset=utf-8\r\nUser-Agent: XML-RPC.NET\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\nTE: trailers\r\n",
        "content-type:text/xml\r\nx-empty:\r\nauthorization: Basic cm9vdDp3cm9uZw==\r\n",
    ],
)
def test_headers_of_many_libraries(running, session, head):
    body = document("VM.get_by_name_label", session.handle, "nobody").encode()
    assert understood(exchanged(running, posted(body, head=head))) == ["Success"]


def test_a_client_that_waits_for_the_word_to_go_on(running, session):
    body = document("VM.get_by_name_label", session.handle, "nobody").encode()
    head = f"POST /RPC2 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert understood(exchanged(running, head, body)) == ["Success"]


def test_a_body_in_chunks(running, session):
    body = document("VM.get_by_name_label", session.handle, "nobody").encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    request = b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    assert understood(exchanged(running, request)) == ["Success"]


@pytest.mark.parametrize(
    ("encoding", "prolog"),
    [
        ("latin-1", '<?xml version="1.0" encoding="ISO-8859-1"?>'),
        ("utf-16", '<?xml version="1.0" encoding="UTF-16"?>'),
        ("utf-8-sig", '<?xml version="1.0" encoding="utf-8"?>'),
        ("utf-8", "\r\n"),
        ("utf-8", '<?xml version="1.0"?>\n<!-- by hand -->\n'),
    ],
)
def test_documents_in_other_encodings(running, session, api, vm, encoding, prolog):
    body = document("VM.set_name_label", session.handle, vm, "café &amp; <![CDATA[<x>]]>", prolog=prolog)
    assert understood(exchanged(running, posted(body.encode(encoding)))) == ["Success"]
    assert api.VM.get_name_label(vm) == "café & <x>"


@pytest.mark.parametrize("tag", ["string", "int", "i4", "i8", "ex:i8", "ex:i4", ""])
def test_integers_by_any_name(running, session, api, vm, tag):
    value = f"<{tag}>5</{tag}>" if tag else "5"
    body = document("VM.set_VCPUs_max", f"<string>{session.handle}</string>", vm, value, names=APACHE)
    assert understood(exchanged(running, posted(body.encode()))) == ["Success"]
    assert api.VM.get_VCPUs_max(vm) == "5"


@pytest.mark.parametrize("text", ["<double>1.5</double>", "<double>1.5E0</double>", "1.5", "<string>1.5</string>"])
def test_floats_by_any_name(running, session, api, vm, text):
    body = document("VM.set_HVM_shadow_multiplier", session.handle, vm, text)
    assert understood(exchanged(running, posted(body.encode()))) == ["Success"]
    assert api.VM.get_HVM_shadow_multiplier(vm) == 1.5


@pytest.mark.parametrize("text", ["<struct></struct>", "<struct/>", "<struct>\n</struct>"])
def test_empty_maps(running, session, api, vm, text):
    api.VM.add_to_xenstore_data(vm, "vm-data/a", "b")
    body = document("VM.set_xenstore_data", session.handle, vm, text)
    assert understood(exchanged(running, posted(body.encode()))) == ["Success"]
    assert api.VM.get_xenstore_data(vm) == {}


@pytest.mark.parametrize(
    "text", ["<array><data></data></array>", "<array><data/></array>", "<array>\n<data/>\n</array>"]
)
def test_empty_sets(running, session, api, vm, text):
    api.VM.add_tags(vm, "a")
    body = document("VM.set_tags", session.handle, vm, text)
    assert understood(exchanged(running, posted(body.encode()))) == ["Success"]
    assert api.VM.get_tags(vm) == []


@pytest.mark.parametrize("absent", ["<nil/>", "<ex:nil/>"])
def test_nothing_is_not_a_string(running, session, absent):
    body = document("VM.get_by_name_label", session.handle, absent, names=APACHE)
    assert understood(exchanged(running, posted(body.encode()))) == ["Failure", "FIELD_TYPE_ERROR", "label"]


def test_a_document_laid_out_for_people(running, session, vm):
    body = document("VM.get_tags", f"\n  <string>{session.handle}</string>\n", f"\n  <string>{vm}</string>\n")
    body = re.sub("(<(?:param|params|methodName)>)", r"\n  \1", body) + "\n"
    assert understood(exchanged(running, posted(body.encode()))) == ["Success"]


# JSON-RPC: .NET writes numbers, Go a number as the id, Java a string


@pytest.mark.parametrize("path", ["/jsonrpc", "/jsonrpc/", "/json"])
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain"])
@pytest.mark.parametrize("identity", [7, "7", "ab-cd", 0])
def test_json_rpc(running, session, vm, path, kind, identity):
    call = {"jsonrpc": "2.0", "method": "VM.get_VCPUs_max", "params": [session.handle, vm], "id": identity}
    request = posted(json.dumps(call).encode(), path, f"Content-Type: {kind}\r\n")
    status, body = exchanged(running, request)
    assert status == "HTTP/1.1 200 OK"
    assert json.loads(body) == {"jsonrpc": "2.0", "result": 1, "id": identity}


@pytest.mark.parametrize(
    ("message", "value", "back"),
    [
        ("VCPUs_max", 3, "3"),
        ("VCPUs_max", "3", "3"),
        ("HVM_shadow_multiplier", 2, 2.0),
        ("HVM_shadow_multiplier", 2.5, 2.5),
        ("affinity", "", "OpaqueRef:NULL"),
        ("affinity", "OpaqueRef:NULL", "OpaqueRef:NULL"),
        ("tags", [], []),
        ("xenstore_data", {}, {}),
        ("name_label", "\U0001f600", "\U0001f600"),
    ],
)
def test_json_values_as_languages_write_them(running, session, api, vm, message, value, back):
    call = {"jsonrpc": "2.0", "method": f"VM.set_{message}", "params": [session.handle, vm, value], "id": 1}
    _, body = exchanged(running, posted(json.dumps(call).encode(), "/jsonrpc"))
    assert json.loads(body) == {"jsonrpc": "2.0", "result": "", "id": 1}
    assert getattr(api.VM, f"get_{message}")(vm) == back


def test_a_browser_asks_first_whether_it_may(running):
    head = (
        "OPTIONS /jsonrpc HTTP/1.1\r\nHost: x\r\nOrigin: https://elsewhere\r\nAccess-Control-Request-Method: POST\r\n"
        "Access-Control-Request-Headers: content-type\r\n\r\n"
    )
    with socket.create_connection(running.http, timeout=30) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536).lower()
    assert answer.startswith(b"http/1.1 200 ")
    assert b"access-control-allow-origin: *" in answer


# Wait loops


def test_the_task_loop_of_every_sdk(api, vm):
    api.VM.set_VCPUs_max(vm, "1")
    for message, state in (("start", "Running"), ("clean_shutdown", "Halted")):
        params = (False, False) if message == "start" else ()
        task = getattr(getattr(api, "Async.VM"), message)(vm, *params)
        while api.task.get_status(task) == "pending":
            assert 0.0 <= api.task.get_progress(task) <= 1.0
        record = api.task.get_record(task)
        assert (record["status"], record["result"], record["error_info"]) == ("success", "<value></value>", [])
        api.task.destroy(task)
        assert api.VM.get_power_state(vm) == state


def test_the_event_loop_of_old_clients(running, session, api, vm):
    api.event.register(["VM"])
    api.VM.add_tags(vm, "seen")
    found: list[str] = []
    while vm not in found:
        found += [event["ref"] for event in api.event.next() if event["class"] == "vm"]
    assert int(api.event.get_current_id()) > 0
    api.event.unregister(["VM"])


# What provisioners ask for, in the order in which they do


def test_a_provisioner_makes_a_vm_from_a_template(api):
    pool = api.pool.get_all_records()
    (record,) = pool.values()
    sr = record["default_SR"]
    template = api.VM.get_by_name_label("Other install media")[0]
    vm = api.VM.clone(template, "provisioned")
    api.VM.set_is_a_template(vm, False)
    api.VM.set_name_description(vm, "from a template")
    limits = [str(mebibytes << 20) for mebibytes in (256, 512, 256, 512)]
    api.VM.set_memory_limits(vm, *limits)
    api.VM.set_VCPUs_max(vm, "4")
    api.VM.set_VCPUs_at_startup(vm, "4")
    api.VM.set_platform(vm, {**api.VM.get_platform(vm), "cores-per-socket": "2"})
    api.VM.set_HVM_boot_params(vm, {"firmware": "uefi", "order": "cdn"})
    position = api.VM.get_allowed_VBD_devices(vm)[0]
    disk = api.VDI.create({"SR": sr, "virtual_size": str(1 << 24), "type": "user", "name_label": "root"})
    drive = {"VM": vm, "VDI": disk, "userdevice": position, "mode": "RW", "type": "Disk", "device": "", "empty": False}
    api.VBD.create({**drive, "bootable": True, "currently_attached": False, "unpluggable": True})
    (network, *_) = [ref for ref, row in api.network.get_all_records().items() if row["PIFs"]]
    card = api.VIF.create({"VM": vm, "network": network, "device": api.VM.get_allowed_VIF_devices(vm)[0], "MAC": ""})
    assert api.VIF.get_MAC(card)
    running = api.VM.get_all_records_where('field "name__label"="provisioned" and field "is_a_template"="false"')
    assert list(running) == [vm]
    api.VM.start(vm, False, True)
    metrics = api.VM_guest_metrics.get_record(api.VM.get_guest_metrics(vm))
    assert metrics["networks"]["0/ip"]
    api.VM.hard_shutdown(vm)
    api.VDI.resize(disk, str(1 << 25))
    assert api.VDI.get_virtual_size(disk) == str(1 << 25)
    api.VM.destroy(vm)
    api.VDI.destroy(disk)


# The programs that come with the SDK


def test_the_sdks_example_installs_a_vm_by_its_provisioning_document(api):
    pifs = api.PIF.get_all_records()
    network = api.PIF.get_network(min(pifs, key=lambda ref: pifs[ref]["device"]))
    template = next(
        ref for ref, vm in api.VM.get_all_records().items() if vm["is_a_template"] and vm["name_label"][:6] == "Debian"
    )
    vm = api.VM.clone(template, "new")
    card = {"device": "0", "network": network, "VM": vm, "MAC": "", "MTU": "1500", "other_config": {}}
    api.VIF.create({**card, "qos_algorithm_type": "", "qos_algorithm_params": {}})
    api.VM.set_PV_args(vm, "noninteractive")
    sr = api.SR.get_record(api.pool.get_default_SR(api.pool.get_all()[0]))
    wanted = xml.dom.minidom.parseString(api.VM.get_other_config(vm)["disks"])
    for disk in wanted.getElementsByTagName("disk"):
        disk.setAttribute("sr", sr["uuid"])
    api.VM.remove_from_other_config(vm, "disks")
    api.VM.add_to_other_config(vm, "disks", wanted.toprettyxml())
    api.VM.provision(vm)
    api.VM.start(vm, False, True)
    metrics = api.VM.get_guest_metrics(vm)
    assert api.VM_guest_metrics.get_os_version(metrics)["name"]
    assert api.VM_guest_metrics.get_networks(metrics)["0/ip"]
    disks = [api.VBD.get_VDI(ref) for ref in api.VM.get_VBDs(vm) if not api.VBD.get_empty(ref)]
    assert {api.SR.get_uuid(api.VDI.get_SR(ref)) for ref in disks} == {sr["uuid"]}
    api.VM.hard_shutdown(vm)
    api.VM.destroy(vm)
    for ref in disks:
        api.VDI.destroy(ref)


def test_the_sdks_example_copies_a_disk_by_a_put_that_ends_with_the_connection(running, session, api):
    size = 1 << 22
    sr = api.pool.get_default_SR(api.pool.get_all()[0])
    source = api.VDI.create({"SR": sr, "virtual_size": str(size), "type": "user", "name_label": "source"})
    copy = api.VDI.create(api.VDI.get_record(source))
    content = random.Random(1).randbytes(size)
    tasks = [api.task.create(f"import {copy}", ""), api.task.create(f"export {source}", "")]
    target = f"/import_raw_vdi?session_id={session.handle}&vdi={copy}&task_id={tasks[0]}"
    with socket.create_connection(running.http, timeout=30) as connection:
        for line in (f"PUT {target} HTTP/1.0", "Connection:close", ""):
            connection.sendall(f"{line}\r\n".encode())
        assert b"200 OK" in connection.recv(1024)
        connection.sendall(content)
    address = f"/export_raw_vdi?session_id={session.handle}&vdi={copy}&task_id={tasks[1]}"
    eventually(lambda: api.task.get_status(tasks[0]), lambda status: status != "pending")
    assert running.request("GET", address).body == content
    assert [api.task.get_status(task) for task in tasks] == ["success", "success"]
    for task in tasks:
        api.task.destroy(task)
    for vdi in (source, copy):
        api.VDI.destroy(vdi)


def test_the_sdks_example_reboots_suspends_and_moves_vms_at_home(api, vm):
    api.VM.set_VCPUs_max(vm, "1")
    api.VM.start(vm, False, False)
    assert {"clean_reboot", "suspend", "pool_migrate"} <= set(api.VM.get_allowed_operations(vm))
    for _ in range(3):
        api.VM.clean_reboot(vm)
        api.VM.suspend(vm)
        api.VM.resume(vm, False, False)
        api.VM.pool_migrate(vm, api.VM.get_resident_on(vm), {"live": "true"})
        assert api.VM.get_power_state(vm) == "Running"
    api.VM.hard_shutdown(vm)


# What inventories ask for


def test_an_inventory_maps_guests_to_hosts_and_waits_for_events(session, api, vm):
    api.VM.set_VCPUs_max(vm, "1")
    api.VM.start(vm, False, False)
    response = api.event_from(["host", "vm"], "", 1.0)
    assert {event["class"] for event in response["events"]} == {"host", "vm"}
    for host in api.host.get_all():
        record = api.host.get_record(host)
        assert int(record["cpu_info"]["socket_count"]) > 0
        assert record["software_version"]["product_brand"] and record["software_version"]["product_version"]
        assert record["hostname"]
        residents = {ref: api.VM.get_record(ref) for ref in api.host.get_resident_VMs(host)}
        assert residents[vm]["power_state"] == "Running"
        assert [row["is_control_domain"] for row in residents.values()].count(True) == 1
    quiet = api.event_from(["host", "vm"], response["token"], 0.0)
    assert set(quiet) == {"events", "token", "valid_ref_counts"}
    api.VM.hard_shutdown(vm)
