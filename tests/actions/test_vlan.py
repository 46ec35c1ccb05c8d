from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.wired_house import WiredHouse, refused, wired_house
from xapi.network.interface import TaggedTraffic

DEAD = "OpaqueRef:dead"


@pytest.fixture(scope="module")
def shared() -> Iterator[WiredHouse]:
    with wired_house(nics="6") as made:
        yield made


@pytest.fixture
def wired(shared: WiredHouse) -> Iterator[WiredHouse]:
    yield shared
    shared.no_faults()
    for vlan in shared.client.VLAN.get_all():
        shared.client.VLAN.destroy(vlan)


def test_a_vlan_has_a_bridge_and_a_pif_of_its_own(wired: WiredHouse) -> None:
    pif, network = wired.pif("eth1"), wired.network("n")
    vlan = wired.client.VLAN.create(pif, "7", network)
    record = wired.client.VLAN.get_record(vlan)
    assert (record["tag"], record["tagged_PIF"]) == ("7", pif)
    untagged = wired.client.PIF.get_record(record["untagged_PIF"])
    assert (untagged["device"], untagged["VLAN"], untagged["physical"]) == ("eth1", "7", False)
    assert (untagged["currently_attached"], untagged["VLAN_master_of"]) == (True, vlan)
    assert untagged["MAC"] == "fe:ff:ff:ff:ff:ff"
    assert untagged["metrics"] == wired.client.PIF.get_metrics(pif)
    assert wired.client.PIF.get_VLAN_slave_of(pif) == [vlan]
    bridge = wired.client.network.get_bridge(network)
    assert wired.driver.bridges.get(bridge).config.uplink == TaggedTraffic("xenbr1", "eth1", 7)
    wired.client.VLAN.destroy(vlan)
    assert bridge not in wired.bridges
    assert wired.client.PIF.get_VLAN_slave_of(pif) == []
    assert wired.client.network.get_PIFs(network) == []


def test_what_stands_against_a_vlan(wired: WiredHouse) -> None:
    pif, network, other = wired.pif("eth1"), wired.network("n"), wired.network("m")
    vlan = wired.client.VLAN.create(pif, "7", network)
    untagged = wired.client.VLAN.get_untagged_PIF(vlan)
    unmanaged = wired.network("u", managed=False)
    before = wired.everything()
    create = wired.client.VLAN.create
    assert refused(create, pif, "8", network) == ["NETWORK_ALREADY_CONNECTED", wired.host, untagged]
    assert refused(create, pif, "7", other) == ["PIF_VLAN_EXISTS", "eth1"]
    assert refused(create, untagged, "8", other) == ["PIF_IS_VLAN", untagged]
    assert refused(create, pif, "8", unmanaged) == ["NETWORK_UNMANAGED", unmanaged]
    for tag in ("-1", "4095"):
        assert refused(create, pif, tag, other) == ["VLAN_TAG_INVALID", tag]
    assert refused(create, pif, "8", DEAD) == ["HANDLE_INVALID", "network", DEAD]
    assert wired.everything() == before


def test_a_vlan_that_does_not_come_up_is_not_made(wired: WiredHouse) -> None:
    pif, network = wired.pif("eth1"), wired.network("n")
    before = wired.everything()
    bridge = wired.client.network.get_bridge(network)
    wired.driver.configure({"network-simulator:fault:bring_up": f"error,device={bridge}"})
    assert refused(wired.client.VLAN.create, pif, "7", network)[0] == "PIF_CONFIGURATION_ERROR"
    assert wired.everything() == before


def test_a_base_that_is_unplugged_still_carries_its_vlan(wired: WiredHouse) -> None:
    pif, network = wired.pif("eth1"), wired.network("n")
    vlan = wired.client.VLAN.create(pif, "7", network)
    wired.client.PIF.unplug(pif)
    assert wired.client.PIF.get_currently_attached(pif) is False
    assert {"xenbr1", wired.client.network.get_bridge(network)} <= wired.bridges
    wired.client.VLAN.destroy(vlan)
    assert "xenbr1" not in wired.bridges
    wired.client.VLAN.create(pif, "7", network)
    assert "xenbr1" in wired.bridges
    wired.client.PIF.plug(pif)


def test_a_vlan_in_use_is_not_destroyed(wired: WiredHouse) -> None:
    network = wired.network("n")
    vlan = wired.client.VLAN.create(wired.pif("eth1"), "7", network)
    vm = wired.vm("a", running=True)
    vif = wired.client.VIF.create({"VM": vm, "network": network, "device": "0", "MAC": ""})
    wired.client.VIF.plug(vif)
    assert refused(wired.client.VLAN.destroy, vlan) == ["VIF_IN_USE", network, vif]
    wired.client.VIF.unplug(vif)


def test_a_vlan_that_must_stay_up_is_not_destroyed(wired: WiredHouse) -> None:
    vlan = wired.client.VLAN.create(wired.pif("eth1"), "7", wired.network("n"))
    pif = wired.client.VLAN.get_untagged_PIF(vlan)
    wired.client.PIF.set_disallow_unplug(pif, True)
    assert refused(wired.client.VLAN.destroy, vlan) == ["PIF_DOES_NOT_ALLOW_UNPLUG", pif]
    wired.client.PIF.set_disallow_unplug(pif, False)


def test_vlans_by_the_old_messages_of_pif(wired: WiredHouse) -> None:
    network = wired.network("n")
    pif = wired.client.PIF.create_VLAN("eth1", network, wired.host, "9")
    assert wired.client.PIF.get_VLAN(pif) == "9"
    refusal = refused(wired.client.PIF.create_VLAN, "eth99", network, wired.host, "9")
    assert refusal == ["INVALID_VALUE", "device", "eth99"]
    assert refused(wired.client.PIF.destroy, wired.pif("eth1")) == ["PIF_IS_PHYSICAL"]
    wired.client.PIF.destroy(pif)
    assert wired.client.VLAN.get_all() == []


def test_vlans_on_every_host_of_the_pool(wired: WiredHouse) -> None:
    network = wired.network("n")
    (pif,) = wired.client.pool.create_VLAN_from_PIF(wired.pif("eth1"), network, "11")
    record = wired.client.PIF.get_record(pif)
    assert (record["device"], record["VLAN"], record["network"]) == ("eth1", "11", network)
    other = wired.network("m")
    (pif,) = wired.client.pool.create_VLAN("eth2", other, "12")
    assert wired.client.PIF.get_network(pif) == other
    assert refused(wired.client.pool.create_VLAN_from_PIF, pif, network, "13") == ["PIF_IS_VLAN", pif]
    assert refused(wired.client.pool.create_VLAN, "x", DEAD, "1") == ["INVALID_VALUE", "device", "x"]
    assert refused(wired.client.pool.create_VLAN, "eth2", DEAD, "1") == ["HANDLE_INVALID", "network", DEAD]
    assert refused(wired.client.pool.create_VLAN_from_PIF, DEAD, DEAD, "1") == ["HANDLE_INVALID", "PIF", DEAD]
    assert refused(wired.client.pool.create_VLAN, "eth2", wired.network("o"), "4095") == ["VLAN_TAG_INVALID", "4095"]


def test_pool_introduce_ties_the_two_pifs_together(wired: WiredHouse) -> None:
    vlan = wired.client.VLAN.create(wired.pif("eth1"), "7", wired.network("n"))
    untagged = wired.client.VLAN.get_untagged_PIF(vlan)
    again = wired.client.VLAN.pool_introduce(wired.pif("eth1"), untagged, "7", {"k": "v"})
    assert wired.client.PIF.get_VLAN_master_of(untagged) == again
    wired.client.VLAN.destroy(vlan)
