from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.guests import running
from tests.fakes.house import House
from tests.monitoring import oracle
from tests.monitoring.filled import filled
from xapi.datamodel.classes import VM, Host
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.roles import READ_ONLY, VM_OPERATOR
from xapi.http_handlers.admission import open_door
from xapi.http_handlers.http_actions import NAMED
from xapi.http_handlers.performance import HANDLERS
from xapi.monitoring import dump
from xapi.monitoring.recorder import Owner, OwnerKind, Recorder
from xapi.monitoring.saved import Folder
from xapi.rpc.http import Server
from xapi.rpc.http_message import error_page
from xapi.services.metering import Metering

Answer = tuple[int, dict[str, str], bytes]


class Doors:
    """The doors of performance data, and a running VM that has been measured for a while."""

    def __init__(self, house: House, clock: FakeClock) -> None:
        self.house, self.clock = house, clock
        self.toolstack = house.toolstack
        self.recorder = self.toolstack.parts[Recorder] = Recorder(Folder(self.toolstack.state / "measured"))
        self.metering = Metering(self.toolstack, self.recorder)
        self.vm = running(house.client)
        self.uuid = house.client.VM.get_uuid(self.vm)
        self.host = house.client.host.get_uuid(self.toolstack.this_host)
        self.turns(30)
        doors = {
            (NAMED[name].method, NAMED[name].path): open_door(self.toolstack, NAMED[name], handled)
            for name, handled in HANDLERS.items()
        }
        self.server = Server(lambda method, path: doors.get((method, path), error_page(404, "no door")))
        self.address = self.server.listen_tcp("127.0.0.1", 0)
        self.server.start()

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(5)
            self.metering.turn()

    @property
    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def ask(self, method: str, path: str, body: bytes | None = None, session: str | None = None) -> Answer:
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        headers = {"Cookie": f"session_id={self.house.client.session if session is None else session}"}
        try:
            connection.request(method, path, body, headers if session != "" else {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def updates(self, query: str) -> ElementTree.Element:
        status, headers, body = self.ask("GET", f"/rrd_updates?{query}")
        assert (status, headers["content-type"]) == (200, "text/xml")
        return ElementTree.fromstring(body)


@pytest.fixture
def doors(house: House, clock: FakeClock) -> Iterator[Doors]:
    opened = Doors(house, clock)
    yield opened
    opened.server.close()


def legend(found: ElementTree.Element) -> list[str]:
    return [entry.text or "" for entry in found.iter("entry")]


def test_updates_are_of_all_vms_unless_somebody_is_named(doors: Doors) -> None:
    start = doors.now - 60
    vms = legend(doors.updates(f"start={start}"))
    assert f"AVERAGE:vm:{doors.uuid}:cpu0" in vms
    assert not any(":host:" in entry for entry in vms)
    everything = legend(doors.updates(f"start={start}&host=true&sr_uuid=all&cf=AVERAGE"))
    assert everything[0].startswith(f"AVERAGE:host:{doors.host}:")
    assert set(vms) < set(everything)
    for name in ("uuid", "vm_uuid"):
        assert legend(doors.updates(f"start={start}&{name}={doors.uuid}")) == vms
        assert legend(doors.updates(f"start={start}&{name}=none")) == []
        assert legend(doors.updates(f"start={start}&{name}={doors.host}")) == []


def test_updates_are_the_newest_rows_first(doors: Doors) -> None:
    found = doors.updates(f"start={doors.now - 50}&interval=5")
    times = [int(row.findtext("t") or "") for row in found.iter("row")]
    assert times == [*range(times[0], doors.now - 51, -5)]
    assert times[0] == doors.now // 5 * 5
    memory = legend(found).index(f"AVERAGE:vm:{doors.uuid}:memory")
    values = {float(row.findall("v")[memory].text or "") for row in found.iter("row")}
    assert values == {float(f"{128 << 20:.5g}")}


def test_updates_in_json(doors: Doors) -> None:
    status, headers, body = doors.ask("GET", f"/rrd_updates?start={doors.now - 50}&host=true&json=true")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert headers["access-control-allow-origin"] == "*"
    found = json.loads(body)
    assert found["meta"]["columns"] == str(len(found["meta"]["legend"]))
    assert {len(row["values"]) for row in found["data"]} == {len(found["meta"]["legend"])}
    assert legend(doors.updates(f"start={doors.now - 50}&host=true&json=false")) == found["meta"]["legend"]


@pytest.mark.parametrize("query", ["", "start=", "start=now", "start=1e5", "interval=5"])
def test_updates_without_a_start_are_refused(doors: Doors, query: str) -> None:
    assert doors.ask("GET", f"/rrd_updates?{query}")[0] == 400


@pytest.mark.parametrize("query", ["interval=x", "interval=-5", "cf=LAST", "cf=median", "interval=" + "9" * 50])
def test_odd_wishes_are_taken_for_none(doors: Doors, query: str) -> None:
    assert legend(doors.updates(f"start=-50&{query}")) != []


def test_rrdtool_reads_the_archive_of_a_vm(doors: Doors, tmp_path: Path) -> None:
    status, headers, body = doors.ask("GET", f"/vm_rrd?uuid={doors.uuid}&names=short")
    assert (status, headers["content-type"]) == (200, "text/xml")
    oracle.restore(body, tmp_path / "vm.rrd")
    rows = oracle.rows(tmp_path / "vm.rrd", "AVERAGE", 1, doors.now)
    names = [one.findtext("name") for one in ElementTree.fromstring(body).findall("ds")]
    assert rows[doors.now // 5 * 5][names.index("memory")] == 128 << 20


def test_archives_have_the_names_that_clients_know(doors: Doors) -> None:
    for path in (f"/vm_rrd?uuid={doors.uuid}", f"/vm_rrds?ref={doors.vm}"):
        root = ElementTree.fromstring(doors.ask("GET", path)[2])
        assert {"cpu0", "cpu_usage", "memory", "memory_target"} <= {one.findtext("name") for one in root.findall("ds")}
    for path in ("/host_rrd", "/host_rrds"):
        root = ElementTree.fromstring(doors.ask("GET", path)[2])
        assert {"cpu0", "memory_free_kib", "loadavg"} <= {one.findtext("name") for one in root.findall("ds")}
        assert {"AVERAGE", "MIN", "MAX"} == {one.findtext("cf") for one in root.findall("rra")}
    found = json.loads(doors.ask("GET", "/host_rrd?json=true")[2])
    assert found["version"] == "0003"


def test_who_is_not_known_has_no_archive(doors: Doors) -> None:
    nobody = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    sr = doors.house.client.SR.get_uuid(doors.house.client.SR.get_all()[0])
    for path, status in {
        "/vm_rrd": 400,
        "/sr_rrd": 400,
        f"/vm_rrd?uuid={nobody}": 404,
        f"/vm_rrd?uuid=../../{nobody}": 404,
        f"/sr_rrd?uuid={nobody}": 404,
    }.items():
        assert doors.ask("GET", path)[0] == status, path
    assert doors.ask("GET", f"/sr_rrd?uuid={sr}")[0] in (200, 404)


def test_a_halted_vm_has_its_archive_still(doors: Doors) -> None:
    doors.house.client.VM.hard_shutdown(doors.vm)
    doors.turns(1)
    assert doors.ask("GET", f"/vm_rrd?uuid={doors.uuid}")[0] == 200
    assert legend(doors.updates("start=-60")) == []


def test_a_vm_of_another_host_is_asked_for_there(doors: Doors) -> None:
    with doors.toolstack.db.transaction() as transaction:
        other = transaction.create(Host, address="192.0.2.7")
        vm = transaction.create(VM, power_state=VmPowerState.RUNNING, resident_on=other)
    uuid = doors.toolstack.db.get(VM, vm).uuid
    status, headers, _ = doors.ask("GET", f"/vm_rrd?uuid={uuid}")
    assert (status, headers["location"]) == (302, f"https://192.0.2.7/vm_rrd?uuid={uuid}")
    document = b"".join(dump.as_xml(filled(50)))
    for way in ("rrd_unarchive=", "dbsync=true"):
        assert doors.ask("GET", f"/vm_rrd?uuid={uuid}&{way}")[0] == 404
    assert doors.ask("PUT", f"/rrd?uuid={uuid}&archive=true", document)[0] == 200
    for way in ("rrd_unarchive=", "dbsync=true"):
        assert doors.ask("GET", f"/vm_rrd?uuid={uuid}&{way}")[0] == 200


def test_a_host_that_starts_gets_what_was_kept_of_it(doors: Doors) -> None:
    with doors.toolstack.db.transaction() as transaction:
        other = transaction.create(Host, address="192.0.2.8")
    uuid = doors.toolstack.db.get(Host, other).uuid
    assert doors.ask("GET", "/host_rrd?dbsync=true")[0] == 400
    assert doors.ask("GET", "/host_rrd?dbsync=true&uuid=nobody")[0] == 404
    assert doors.ask("GET", f"/host_rrd?dbsync=true&uuid={uuid}")[0] == 404
    document = b"".join(dump.as_xml(filled(50)))
    assert doors.ask("PUT", f"/rrd?uuid={uuid}&archive=true", document)[0] == 200
    assert doors.ask("GET", f"/host_rrd?dbsync=true&uuid={uuid}")[0] == 200
    assert doors.ask("GET", f"/host_rrd?uuid={uuid}")[2] != doors.ask("GET", f"/host_rrd?dbsync=true&uuid={uuid}")[2]


def test_an_archive_is_put_into_memory_or_a_file(doors: Doors) -> None:
    document = b"".join(dump.as_xml(filled(50)))
    assert doors.ask("PUT", f"/rrd?uuid={doors.uuid}&archive=true", document)[0] == 200
    assert not isnan(doors.recorder.newest(Owner(OwnerKind.VM, doors.uuid), "memory"))
    assert doors.ask("PUT", f"/rrd?uuid={doors.uuid}", document)[0] == 200
    assert doors.recorder.newest(Owner(OwnerKind.VM, doors.uuid), "memory_internal_free") > 0
    doors.turns(3)
    assert doors.recorder.newest(Owner(OwnerKind.VM, doors.uuid), "memory") == 128 << 20
    assert doors.ask("PUT", f"/rrd?uuid={doors.host}&archive=true", document)[0] == 200


def test_what_cannot_be_put_is_refused(doors: Doors) -> None:
    document = b"".join(dump.as_xml(filled(3)))
    before = doors.recorder.document(Owner(OwnerKind.VM, doors.uuid))
    assert doors.ask("PUT", "/rrd", document)[0] == 400
    assert doors.ask("PUT", f"/rrd?uuid={doors.host}", document)[0] == 400
    assert doors.ask("PUT", "/rrd?uuid=nobody", document)[0] == 404
    for bad in (b"", b"<rrd>", document[:500], b'<!DOCTYPE rrd [<!ENTITY a "b">]><rrd>&a;</rrd>'):
        assert doors.ask("PUT", f"/rrd?uuid={doors.uuid}", bad)[0] == 400
    assert doors.recorder.document(Owner(OwnerKind.VM, doors.uuid)) == before


def test_doors_are_for_those_who_may(doors: Doors) -> None:
    for path in ("/rrd_updates?start=-5", "/host_rrd", f"/vm_rrd?uuid={doors.uuid}"):
        status, headers, _ = doors.ask("GET", path, session="")
        assert status == 401
        assert headers["www-authenticate"].startswith("Basic realm=")
        assert doors.ask("GET", path, session="OpaqueRef:dead")[0] == 401
        assert doors.ask("GET", path, session=doors.house.caller(READ_ONLY).session)[0] == 200
    operator = doors.house.caller(VM_OPERATOR).session
    assert doors.ask("PUT", f"/rrd?uuid={doors.uuid}", b"", session=operator)[0] == 403


def test_asking_leaves_no_task(doors: Doors) -> None:
    doors.ask("GET", "/host_rrd")
    assert doors.house.client.task.get_all() == []
