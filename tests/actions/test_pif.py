from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.wired_house import WiredHouse, refused, wired_house
from xapi.actions.pif_scan import bridge_name, start_networking
from xapi.datamodel.classes import PIF, Pool
from xapi.network.interface import AddressMode, Card
from xapi.network.simulator.settings import NetworkSimulatorConfig
from xapi.services.startup import simulated_nics

DEAD = "OpaqueRef:dead"


@pytest.fixture
def wired() -> Iterator[WiredHouse]:
    with wired_house() as made:
        yield made


def test_each_card_has_a_pif_that_is_up(wired: WiredHouse) -> None:
    for nic in wired.driver.hardware.nics():
        record = wired.client.PIF.get_record(wired.pif(nic.name))
        assert (record["MAC"], record["physical"], record["currently_attached"]) == (nic.mac, True, True)
        assert wired.client.network.get_bridge(record["network"]) == bridge_name(nic.name)
        metrics = wired.client.PIF_metrics.get_record(record["metrics"])
        assert (metrics["carrier"], metrics["speed"], metrics["pci_bus_path"]) == (True, "10000", nic.pci_bus_path)
    assert {"xenbr0", "xenbr1", "xenbr2", "xenbr3"} <= wired.bridges


@pytest.mark.parametrize(("device", "bridge"), [("eth0", "xenbr0"), ("eth12", "xenbr12"), ("ens3", "brens3")])
def test_bridges_are_named_after_their_cards(device: str, bridge: str) -> None:
    assert bridge_name(device) == bridge


def test_the_management_interface_has_an_address_and_is_protected(wired: WiredHouse) -> None:
    pif = wired.pif("eth0")
    record = wired.client.PIF.get_record(pif)
    assert (record["management"], record["IP"]) == (True, "127.0.0.1")
    before = wired.everything()
    for call in (
        lambda: wired.client.PIF.unplug(pif),
        lambda: wired.client.PIF.forget(pif),
        lambda: wired.client.PIF.set_primary_address_type(pif, "IPv6"),
        lambda: wired.client.PIF.reconfigure_ip(pif, "None", "", "", "", ""),
    ):
        assert refused(call) == ["PIF_IS_MANAGEMENT_INTERFACE", pif]
    assert wired.everything() == before


def test_a_pif_goes_down_and_up(wired: WiredHouse) -> None:
    pif = wired.pif("eth1")
    wired.client.PIF.unplug(pif)
    assert (wired.client.PIF.get_currently_attached(pif), "xenbr1" in wired.bridges) == (False, False)
    wired.client.PIF.unplug(pif)
    wired.client.PIF.plug(pif)
    assert (wired.client.PIF.get_currently_attached(pif), "xenbr1" in wired.bridges) == (True, True)


def test_a_pif_that_must_stay_up_stays_up(wired: WiredHouse) -> None:
    pif = wired.pif("eth1")
    wired.client.PIF.set_disallow_unplug(pif, True)
    assert refused(wired.client.PIF.unplug, pif) == ["PIF_DOES_NOT_ALLOW_UNPLUG", pif]
    assert refused(wired.client.PIF.forget, pif) == ["PIF_DOES_NOT_ALLOW_UNPLUG", pif]
    wired.client.PIF.set_disallow_unplug(pif, False)
    wired.client.PIF.unplug(pif)


@pytest.mark.parametrize(
    ("field", "code"), [("ha_enabled", "HA_IS_ENABLED"), ("redo_log_enabled", "REDO_LOG_IS_ENABLED")]
)
def test_a_guarded_pool_keeps_its_interfaces(wired: WiredHouse, field: str, code: str) -> None:
    pif = wired.pif("eth1")
    with wired.db.transaction() as transaction:
        transaction.update(Pool, wired.toolstack.pool.ref, **{field: True})
    assert refused(wired.client.PIF.unplug, pif) == [code]
    assert refused(wired.client.PIF.reconfigure_ip, pif, "DHCP", "", "", "", "") == [code]


def test_an_unmanaged_pif_is_left_alone(wired: WiredHouse) -> None:
    pif = wired.pif("eth1")
    wired.client.PIF.forget(pif)
    pif = wired.client.PIF.introduce(wired.host, "", "eth1", False)
    for call in (
        lambda: wired.client.PIF.plug(pif),
        lambda: wired.client.PIF.unplug(pif),
        lambda: wired.client.PIF.reconfigure_ip(pif, "DHCP", "", "", "", ""),
        lambda: wired.client.VLAN.create(pif, "5", wired.network("n")),
    ):
        assert refused(call) == ["PIF_UNMANAGED", pif]
    wired.client.PIF.forget(pif)


def test_an_address_that_is_set_is_used_at_once(wired: WiredHouse) -> None:
    pif = wired.pif("eth1")
    wired.client.PIF.reconfigure_ip(pif, "Static", "10.0.0.5", "255.255.255.0", "10.0.0.1", "10.0.0.2,10.0.0.3")
    ipv4 = wired.driver.bridges.get("xenbr1").ipv4
    assert (ipv4.mode, ipv4.address, ipv4.netmask, ipv4.gateway) == (
        AddressMode.STATIC,
        "10.0.0.5",
        "255.255.255.0",
        "10.0.0.1",
    )
    assert ipv4.dns == ("10.0.0.2", "10.0.0.3")
    wired.client.PIF.reconfigure_ip(pif, "DHCP", "", "", "", "")
    leased = wired.driver.bridges.get("xenbr1").ipv4.address
    assert leased
    assert wired.client.PIF.get_IP(pif) == leased
    wired.client.PIF.unplug(pif)
    assert wired.client.PIF.get_IP(pif) == ""
    wired.client.PIF.reconfigure_ip(pif, "Static", "10.0.0.5", "255.255.255.0", "", "")
    assert "xenbr1" not in wired.bridges
    wired.client.PIF.plug(pif)
    assert wired.driver.bridges.get("xenbr1").ipv4.address == "10.0.0.5"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (("Static", "", "255.0.0.0", "", ""), "IP"),
        (("Static", "10.0.0.1", "x", "", ""), "netmask"),
        (("Static", "10.0.0.1", "255.0.255.0", "", ""), "netmask"),
        (("Static", "10.0.0.1", "255.0.0.0", "x", ""), "gateway"),
        (("DHCP", "", "", "", "1.2.3.4,x"), "DNS"),
        (("None", "fe80::1", "", "", ""), "IP"),
    ],
)
def test_ipv4_settings_are_checked(wired: WiredHouse, params: tuple[str, ...], field: str) -> None:
    pif = wired.pif("eth1")
    assert refused(wired.client.PIF.reconfigure_ip, pif, *params) == ["INVALID_IP_ADDRESS_SPECIFIED", field]


def test_ipv6_settings_are_checked_and_used(wired: WiredHouse) -> None:
    pif = wired.pif("eth1")
    refusal = refused(wired.client.PIF.reconfigure_ipv6, pif, "Static", "fd00::1", "", "")
    assert refusal == ["INVALID_CIDR_ADDRESS_SPECIFIED", "IPv6"]
    refusal = refused(wired.client.PIF.reconfigure_ipv6, pif, "Static", "fd00::1/64", "10.0.0.1", "")
    assert refusal == ["INVALID_IP_ADDRESS_SPECIFIED", "gateway"]
    wired.client.PIF.reconfigure_ipv6(pif, "Static", "fd00::1/64", "fd00::2", "")
    assert wired.driver.bridges.get("xenbr1").ipv6.addresses == ("fd00::1/64",)
    wired.client.PIF.reconfigure_ipv6(pif, "Autoconf", "", "", "")
    assert wired.client.PIF.get_IPv6(pif)[0].startswith("2001:db8::")
    wired.client.PIF.set_primary_address_type(pif, "IPv6")
    assert wired.client.PIF.get_primary_address_type(pif) == "IPv6"


def test_settings_that_cannot_be_applied_are_taken_back(wired: WiredHouse) -> None:
    pif = wired.pif("eth1")
    before = wired.everything()
    wired.driver.configure({"network-simulator:fault:bring_up": "error,device=xenbr1"})
    for call in (
        lambda: wired.client.PIF.reconfigure_ip(pif, "Static", "10.0.0.5", "255.255.255.0", "", ""),
        lambda: wired.client.PIF.reconfigure_ipv6(pif, "Autoconf", "", "", ""),
        lambda: wired.client.PIF.set_property(pif, "gro", "off"),
    ):
        assert refused(call)[:2] == ["PIF_CONFIGURATION_ERROR", pif]
    assert wired.everything() == before


def test_properties_reach_the_card(wired: WiredHouse) -> None:
    pif = wired.pif("eth1")
    wired.client.PIF.set_property(pif, "gro", "off")
    assert wired.driver.bridges.get("xenbr1").config.uplink == Card("eth1", {"gro": "off"})
    assert refused(wired.client.PIF.set_property, pif, "gro", "x") == ["INVALID_VALUE", "properties", "gro = x"]
    assert refused(wired.client.PIF.set_property, pif, "lro", "on") == ["INVALID_VALUE", "properties", "lro = on"]


def test_a_new_card_is_found_by_a_scan(wired: WiredHouse) -> None:
    wired.driver.configure({"network-simulator:nic:eth7": "present", "network-simulator:carrier:eth1": "down"})
    wired.client.PIF.scan(wired.host)
    record = wired.client.PIF.get_record(wired.pif("eth7"))
    assert record["currently_attached"] is False
    assert wired.client.network.get_bridge(record["network"]) == "xenbr7"
    down = wired.client.PIF_metrics.get_record(wired.client.PIF.get_metrics(wired.pif("eth1")))
    assert (down["carrier"], down["speed"]) == (False, "0")
    before = wired.everything()
    wired.client.PIF.scan(wired.host)
    assert wired.everything() == before
    assert refused(wired.client.PIF.scan, DEAD) == ["HOST_OFFLINE", DEAD]


def test_a_forgotten_card_is_introduced_again(wired: WiredHouse) -> None:
    pif = wired.pif("eth1")
    mac = wired.client.PIF.get_MAC(pif)
    metrics = wired.client.PIF.get_metrics(pif)
    wired.client.PIF.forget(pif)
    assert "xenbr1" not in wired.bridges
    assert refused(wired.client.PIF_metrics.get_record, metrics) == ["HANDLE_INVALID", "PIF_metrics", metrics]
    host = wired.host
    assert refused(wired.client.PIF.introduce, host, "", "eth0") == ["DUPLICATE_PIF_DEVICE_NAME", "eth0"]
    assert refused(wired.client.PIF.introduce, host, "x", "eth1") == ["MAC_INVALID", "x"]
    assert refused(wired.client.PIF.introduce, host, "02:00:00:00:00:01", "eth1") == [
        "COULD_NOT_FIND_NETWORK_INTERFACE_WITH_SPECIFIED_DEVICE_NAME_AND_MAC_ADDRESS",
        "eth1",
        "02:00:00:00:00:01",
    ]
    again = wired.client.PIF.introduce(host, mac.upper(), "")
    assert wired.client.PIF.get_device(again) == "eth1"


def test_what_is_built_upon_is_not_forgotten(wired: WiredHouse) -> None:
    pif = wired.pif("eth1")
    vlan = wired.client.VLAN.create(pif, "7", wired.network("n"))
    assert refused(wired.client.PIF.forget, pif) == ["PIF_VLAN_STILL_EXISTS", pif]
    untagged = wired.client.VLAN.get_untagged_PIF(vlan)
    assert refused(wired.client.PIF.forget, untagged) == ["PIF_VLAN_STILL_EXISTS", untagged]


def test_records_are_introduced_without_touching_the_host(wired: WiredHouse) -> None:
    network, bridges = wired.network("n"), wired.bridges
    pif = wired.client.PIF.db_introduce(
        *("eth9", network, wired.host, "02:00:00:00:00:09", "1500", "-1", True, "None", "", "", "", ""),
        *("OpaqueRef:NULL", "OpaqueRef:NULL", False, {}),
    )
    record = wired.client.PIF.get_record(pif)
    assert (record["device"], record["currently_attached"], record["properties"]) == ("eth9", False, {})
    assert wired.bridges == bridges
    wired.client.PIF.db_forget(pif)
    assert wired.client.network.get_PIFs(network) == []


def test_a_start_brings_back_what_was_up_and_marks_what_does_not_come(wired: WiredHouse) -> None:
    vlan = wired.client.VLAN.create(wired.pif("eth1"), "7", wired.network("n"))
    untagged = wired.client.VLAN.get_untagged_PIF(vlan)
    bridge = wired.client.network.get_bridge(wired.client.PIF.get_network(untagged))
    for name in (bridge, "xenbr1", "xenbr2"):
        wired.driver.bridges.take_down(name)
    wired.driver.configure({"network-simulator:fault:bring_up": "error,device=xenbr2"})
    start_networking(wired.networks, wired.toolstack.clock.now())
    assert {bridge, "xenbr1"} <= wired.bridges
    assert wired.db.get(PIF, wired.pif("eth2")).currently_attached is False
    assert wired.db.get(PIF, untagged).currently_attached is True


def test_a_start_goes_on_when_the_cards_cannot_be_looked_for(wired: WiredHouse) -> None:
    wired.driver.configure({"network-simulator:fault:nics": "error"})
    assert refused(wired.client.PIF.scan, wired.host)[0] == "PIF_CONFIGURATION_ERROR"
    before = wired.everything()
    start_networking(wired.networks, wired.toolstack.clock.now())
    assert wired.everything() == before


def test_the_simulated_cards_are_those_of_the_first_start() -> None:
    config = NetworkSimulatorConfig(seed="installation")
    for number, card in enumerate(simulated_nics("installation", "127.0.0.1")):
        nic = config.nic(number)
        assert (nic.name, nic.mac, nic.pci_bus_path, nic.speed) == (
            card.device,
            card.mac,
            card.pci_bus_path,
            card.speed,
        )
        assert (nic.vendor_id, nic.device_id, nic.device_name) == (card.vendor_id, card.device_id, card.device_name)
