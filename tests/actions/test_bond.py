from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.wired_house import WiredHouse, refused, wired_house
from xapi.network.interface import BondMode, CardBond, TaggedTraffic

DEAD = "OpaqueRef:dead"


@pytest.fixture
def wired() -> Iterator[WiredHouse]:
    with wired_house() as made:
        yield made


def card(wired: WiredHouse, network: str, vm: str, device: str = "0") -> str:
    return str(wired.client.VIF.create({"VM": vm, "network": network, "device": device, "MAC": ""}))


def test_a_bond_takes_the_place_of_its_members(wired: WiredHouse) -> None:
    one, two, network = wired.pif("eth1"), wired.pif("eth2"), wired.network("n")
    bond = wired.client.Bond.create(network, [one, two, one], "", "active-backup", {})
    record = wired.client.Bond.get_record(bond)
    assert (set(record["slaves"]), record["mode"], record["primary_slave"]) == ({one, two}, "active-backup", one)
    assert (record["links_up"], record["auto_update_mac"]) == ("2", True)
    master = wired.client.PIF.get_record(record["master"])
    assert (master["device"], master["currently_attached"], master["physical"]) == ("bond0", True, False)
    assert master["MAC"] == wired.client.PIF.get_MAC(one)
    assert master["bond_master_of"] == [bond]
    assert [wired.client.PIF.get_currently_attached(pif) for pif in (one, two)] == [False, False]
    assert [wired.client.PIF.get_bond_slave_of(pif) for pif in (one, two)] == [bond, bond]
    assert not {"xenbr1", "xenbr2"} & wired.bridges
    uplink = wired.driver.bridges.get(wired.client.network.get_bridge(network)).config.uplink
    assert uplink == CardBond("bond0", ("eth1", "eth2"), BondMode.ACTIVE_BACKUP)
    wired.client.Bond.destroy(bond)
    assert {"xenbr1", "xenbr2"} <= wired.bridges
    assert wired.client.network.get_bridge(network) not in wired.bridges
    assert wired.client.Bond.get_all() == []
    assert [wired.client.PIF.get_bond_slave_of(pif) for pif in (one, two)] == ["OpaqueRef:NULL"] * 2


def test_the_management_goes_over_to_the_bond_and_back(wired: WiredHouse) -> None:
    managing, other = wired.pif("eth0"), wired.pif("eth1")
    bond = wired.client.Bond.create(wired.network("n"), [other, managing], "02:00:00:00:00:aa", "balance-slb", {})
    master = wired.client.PIF.get_record(wired.client.Bond.get_master(bond))
    assert (master["management"], master["IP"], master["MAC"]) == (True, master["IP"], "02:00:00:00:00:aa")
    assert master["ip_configuration_mode"] == "DHCP"
    assert wired.client.Bond.get_primary_slave(bond) == managing
    assert wired.client.Bond.get_auto_update_mac(bond) is False
    assert wired.client.PIF.get_management(managing) is False
    assert wired.client.PIF.get_ip_configuration_mode(managing) == "None"
    wired.client.Bond.destroy(bond)
    record = wired.client.PIF.get_record(managing)
    assert (record["management"], record["IP"], record["ip_configuration_mode"]) == (True, "127.0.0.1", "DHCP")


def test_vlans_and_cards_go_over_to_the_bond_and_back(wired: WiredHouse) -> None:
    one, two = wired.pif("eth1"), wired.pif("eth2")
    tagged, network = wired.network("tagged"), wired.network("n")
    vlan = wired.client.VLAN.create(one, "7", tagged)
    vm = wired.vm("a", running=True)
    own = card(wired, wired.client.PIF.get_network(two), vm)
    halted = card(wired, wired.client.PIF.get_network(one), wired.vm("b"))
    wired.client.VIF.plug(own)
    bond = wired.client.Bond.create(network, [one, two], "", "balance-slb", {})
    bridge = wired.client.network.get_bridge(network)
    assert wired.client.VLAN.get_tagged_PIF(vlan) == wired.client.Bond.get_master(bond)
    uplink = wired.driver.bridges.get(wired.client.network.get_bridge(tagged)).config.uplink
    assert uplink == TaggedTraffic(bridge, "bond0", 7)
    assert wired.client.PIF.get_device(wired.client.VLAN.get_untagged_PIF(vlan)) == "bond0"
    assert [wired.client.VIF.get_network(vif) for vif in (own, halted)] == [network, network]
    assert wired.nics(vm)[0].bridge == bridge
    wired.client.Bond.destroy(bond)
    assert wired.client.VLAN.get_tagged_PIF(vlan) == one
    assert wired.client.VIF.get_network(own) == wired.client.PIF.get_network(one)
    assert wired.nics(vm)[0].bridge == "xenbr1"


def test_two_vlans_of_one_tag_become_one(wired: WiredHouse) -> None:
    one, two = wired.pif("eth1"), wired.pif("eth2")
    first, second = wired.network("first"), wired.network("second")
    kept = wired.client.VLAN.create(one, "7", first)
    wired.client.VLAN.create(two, "7", second)
    vif = card(wired, second, wired.vm("a"))
    wired.client.Bond.create(wired.network("n"), [one, two], "", "balance-slb", {})
    assert wired.client.VLAN.get_all() == [kept]
    assert wired.client.VIF.get_network(vif) == first
    assert wired.client.network.get_PIFs(second) == []


@pytest.mark.parametrize("after", range(4))
def test_a_bond_that_fails_at_any_step_is_not_made(wired: WiredHouse, after: int) -> None:
    one, two = wired.pif("eth1"), wired.pif("eth2")
    wired.client.VLAN.create(one, "7", wired.network("tagged"))
    vm = wired.vm("a", running=True)
    vif = card(wired, wired.client.PIF.get_network(two), vm)
    wired.client.VIF.plug(vif)
    network = wired.network("n")
    before, bridge = wired.everything(), wired.nics(vm)[0].bridge
    if after < 2:
        wired.driver.configure({"network-simulator:fault:bring_up": f"error,times=1,after={after}"})
    elif after == 2:
        wired.toolstack.hypervisor.configure({"simulator:fault:move_nic": "error,times=1"})
    else:
        wired.driver.configure({"network-simulator:fault:take_down": "error,times=1,after=1"})
    refused(wired.client.Bond.create, network, [one, two], "", "balance-slb", {})
    wired.no_faults()
    after_all = wired.everything()
    assert {key: value for key, value in after_all.items() if before.get(key) != value} == {}
    assert after_all.keys() == before.keys()
    assert wired.nics(vm)[0].bridge == bridge


@pytest.mark.parametrize("after", range(4))
def test_a_bond_that_cannot_be_dissolved_is_still_there(wired: WiredHouse, after: int) -> None:
    one, two, network = wired.pif("eth1"), wired.pif("eth2"), wired.network("n")
    bond = wired.client.Bond.create(network, [one, two], "", "lacp", {})
    wired.client.VLAN.create(wired.client.Bond.get_master(bond), "7", wired.network("tagged"))
    vm = wired.vm("a", running=True)
    wired.client.VIF.plug(card(wired, network, vm))
    before, bridge = wired.everything(), wired.nics(vm)[0].bridge
    if after < 3:
        wired.driver.configure({"network-simulator:fault:bring_up": f"error,times=1,after={after}"})
    else:
        wired.toolstack.hypervisor.configure({"simulator:fault:move_nic": "error,times=1"})
    refused(wired.client.Bond.destroy, bond)
    wired.no_faults()
    after_all = wired.everything()
    assert {key: value for key, value in after_all.items() if before.get(key) != value} == {}
    assert after_all.keys() == before.keys()
    assert wired.nics(vm)[0].bridge == bridge


def test_what_stands_against_a_bond(wired: WiredHouse) -> None:
    one, two, network, other = wired.pif("eth1"), wired.pif("eth2"), wired.network("n"), wired.network("m")
    create = wired.client.Bond.create
    vlan = wired.client.VLAN.create(wired.pif("eth3"), "7", other)
    untagged = wired.client.VLAN.get_untagged_PIF(vlan)
    unmanaged = wired.network("u", managed=False)
    before = wired.everything()
    assert refused(create, network, [], "", "lacp", {}) == ["PIF_BOND_NEEDS_MORE_MEMBERS"]
    assert refused(create, network, [one, DEAD], "", "lacp", {}) == ["HANDLE_INVALID", "PIF", DEAD]
    assert refused(create, unmanaged, [one, two], "", "lacp", {}) == ["NETWORK_UNMANAGED", unmanaged]
    assert refused(create, other, [one, two], "", "lacp", {}) == ["NETWORK_ALREADY_CONNECTED", wired.host, untagged]
    assert refused(create, network, [one, two], "x", "lacp", {}) == ["MAC_INVALID", "x"]
    assert refused(create, network, [one, untagged], "", "lacp", {}) == ["PIF_VLAN_EXISTS", "eth3"]
    refusal = refused(create, network, [one, two], "", "lacp", {"lacp-time": "now"})
    assert refusal == ["INVALID_VALUE", "properties", "lacp-time = now"]
    refusal = refused(create, network, [one, two], "", "balance-slb", {"lacp-time": "fast"})
    assert refusal == ["INVALID_VALUE", "properties", "lacp-time = fast"]
    assert wired.everything() == before


def test_members_must_be_alike_and_only_one_may_have_an_address(wired: WiredHouse) -> None:
    one, two, network = wired.pif("eth1"), wired.pif("eth2"), wired.network("n")
    wired.client.PIF.set_property(one, "gro", "off")
    refusal = refused(wired.client.Bond.create, network, [one, two], "", "lacp", {})
    assert refusal == ["INCOMPATIBLE_PIF_PROPERTIES"]
    wired.client.PIF.set_property(one, "gro", "on")
    for pif in (one, two):
        wired.client.PIF.reconfigure_ip(pif, "DHCP", "", "", "", "")
    refusal = refused(wired.client.Bond.create, network, [one, two], "", "lacp", {})
    assert refusal == ["PIF_BOND_MORE_THAN_ONE_IP"]


def test_a_member_is_no_interface_of_its_own(wired: WiredHouse) -> None:
    one, two, network = wired.pif("eth1"), wired.pif("eth2"), wired.network("n")
    bond = wired.client.Bond.create(network, [one, two], "", "lacp", {})
    master = wired.client.Bond.get_master(bond)
    assert refused(wired.client.PIF.plug, one) == ["CANNOT_PLUG_BOND_SLAVE", one]
    assert refused(wired.client.PIF.forget, one) == ["PIF_ALREADY_BONDED", one]
    assert refused(wired.client.PIF.forget, master) == ["PIF_ALREADY_BONDED", master]
    assert refused(wired.client.PIF.set_property, one, "gro", "off") == ["CANNOT_CHANGE_PIF_PROPERTIES", one]
    assert refused(wired.client.VLAN.create, one, "5", wired.network("m")) == ["CANNOT_ADD_VLAN_TO_BOND_SLAVE", one]
    refusal = refused(wired.client.Bond.create, wired.network("m"), [one], "", "lacp", {})
    assert refusal == ["PIF_ALREADY_BONDED", one]
    wired.client.PIF.set_property(master, "gro", "off")
    assert wired.client.PIF.get_properties(one) == {"gro": "off"}
    vif = card(wired, wired.client.PIF.get_network(one), wired.vm("a", running=True))
    assert refused(wired.client.VIF.plug, vif) == ["CANNOT_PLUG_BOND_SLAVE", one]


def test_the_settings_of_a_mode_come_and_go_with_it(wired: WiredHouse) -> None:
    network = wired.network("n")
    bond = wired.client.Bond.create(network, [wired.pif("eth1"), wired.pif("eth2")], "", "balance-slb", {})
    assert wired.client.Bond.get_properties(bond) == {}
    wired.client.Bond.set_mode(bond, "lacp")
    usual = {"hashing_algorithm": "tcpudp_ports", "lacp-time": "slow", "lacp-fallback-ab": "true"}
    assert wired.client.Bond.get_properties(bond) == usual
    wired.client.Bond.set_property(bond, "lacp-aggregation-key", "5")
    refusal = refused(wired.client.Bond.set_property, bond, "lacp-aggregation-key", "x")
    assert refusal == ["INVALID_VALUE", "properties", "lacp-aggregation-key = x"]
    uplink = wired.driver.bridges.get(wired.client.network.get_bridge(network)).config.uplink
    assert isinstance(uplink, CardBond)
    assert (uplink.mode, uplink.properties["lacp-aggregation-key"]) == (BondMode.LACP, "5")
    wired.driver.configure({"network-simulator:fault:bring_up": "error"})
    refused(wired.client.Bond.set_mode, bond, "active-backup")
    assert wired.client.Bond.get_mode(bond) == "lacp"
    wired.no_faults()
    wired.client.Bond.set_mode(bond, "active-backup")
    assert wired.client.Bond.get_properties(bond) == {}
