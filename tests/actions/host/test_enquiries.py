from datetime import timedelta

from tests.actions.refusal import refused
from xapi.actions.host.files import HostFiles
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import PIF


def test_the_clock_in_utc_and_in_the_hosts_own_zone(client, clock, host):
    assert client.host.get_servertime(host) == clock.now()
    assert client.host.get_server_localtime(host) == clock.now()
    client.host.set_timezone(host, "Asia/Tokyo")
    assert client.host.get_server_localtime(host) == clock.now() + timedelta(hours=9)
    assert client.host.get_servertime(host) == clock.now()


def test_time_zones_are_those_that_are_listed(client, host):
    assert {"UTC", "Europe/Berlin"} <= set(client.host.list_timezones(host))
    assert refused(client.host.set_timezone, host, "Middle/Earth") == ("INVALID_VALUE", "timezone", "Middle/Earth")


def test_a_host_that_is_not_there_is_offline(client):
    for message in ("get_servertime", "get_log", "get_server_certificate", "list_timezones"):
        assert refused(getattr(client.host, message), "OpaqueRef:dead") == ("HOST_OFFLINE", "OpaqueRef:dead")


def test_every_method_is_listed(client):
    assert client.host.list_methods() == list(CATALOG.methods)


def test_memory(client, toolstack, host):
    assert client.host.compute_free_memory(host) == str(toolstack.hypervisor.host.memory_free())
    assert client.host.compute_memory_overhead(host) == client.host.get_memory_overhead(host)
    assert refused(client.host.compute_memory_overhead, "OpaqueRef:dead") == (
        "HANDLE_INVALID",
        "host",
        "OpaqueRef:dead",
    )


def test_the_log_is_shown_from_its_end(client, toolstack, host, tmp_path, monkeypatch):
    toolstack.parts.pop(HostFiles, None)
    assert refused(client.host.get_log, host) == ("NOT_IMPLEMENTED", "get_log")
    log = tmp_path / "xapi.log"
    log.write_text("one\ntwo\n")
    toolstack.parts[HostFiles] = HostFiles(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, log)
    assert client.host.get_log(host) == "one\ntwo\n"
    monkeypatch.setattr("xapi.actions.host.enquiries.LOG_SHOWN", 4)
    assert client.host.get_log(host) == "two\n"


def test_the_management_interface(client, toolstack, host):
    pif = client.host.get_management_interface(host)
    assert client.PIF.get_management(pif) is True
    with toolstack.db.transaction() as transaction:
        transaction.update(PIF, pif, management=False)
    assert refused(client.host.get_management_interface, host)[0] == "HANDLE_INVALID"


def test_a_coordinator_is_healthy(house, client):
    assert client.host.is_in_emergency_mode() is False
    assert client.host.ha_xapi_healthcheck() is True
    house.caller(superuser=True, pool=True).host.local_assert_healthy()
    assert "status" in client.host.get_system_status_capabilities(client.host.get_all()[0])


def test_threads_are_told(client, host):
    assert "MainThread" in client.host.get_thread_diagnostics(host)
