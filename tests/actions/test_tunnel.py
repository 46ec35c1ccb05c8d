from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.wired_house import WiredHouse, refused, wired_house
from xapi.network.interface import ControllerTarget, Overlay, TunnelProtocol

SSL_PORT = 6632


@pytest.fixture
def wired() -> Iterator[WiredHouse]:
    with wired_house(backend="openvswitch") as made:
        yield made


def addressed(wired: WiredHouse, device: str) -> str:
    pif = wired.pif(device)
    wired.client.PIF.reconfigure_ip(pif, "DHCP", "", "", "", "")
    return pif


def test_a_tunnel_needs_open_vswitch() -> None:
    with wired_house() as wired:
        refusal = refused(wired.client.tunnel.create, addressed(wired, "eth1"), wired.network("n"))
        assert refusal == ["OPENVSWITCH_NOT_ACTIVE"]
        refusal = refused(wired.client.SDN_controller.introduce, "ssl", "10.0.0.1", "0")
        assert refusal == ["OPERATION_NOT_ALLOWED", "host not configured for vswitch operation"]


def test_a_tunnel_has_a_bridge_and_a_pif_of_its_own(wired: WiredHouse) -> None:
    transport, network = addressed(wired, "eth1"), wired.network("n")
    tunnel = wired.client.tunnel.create(transport, network, "vxlan")
    record = wired.client.tunnel.get_record(tunnel)
    assert (record["transport_PIF"], record["protocol"], record["status"]) == (transport, "vxlan", {"active": "false"})
    access = wired.client.PIF.get_record(record["access_PIF"])
    assert (access["device"], access["currently_attached"], access["VLAN"]) == ("tunnel0", True, "-1")
    assert access["tunnel_access_PIF_of"] == [tunnel]
    bridge = wired.client.network.get_bridge(network)
    assert wired.driver.bridges.get(bridge).config.uplink == Overlay("xenbr1", "tunnel0", TunnelProtocol.VXLAN)
    wired.client.tunnel.destroy(tunnel)
    assert bridge not in wired.bridges
    assert wired.client.network.get_PIFs(network) == []


def test_what_stands_against_a_tunnel(wired: WiredHouse) -> None:
    bare, transport, network = wired.pif("eth2"), addressed(wired, "eth1"), wired.network("n")
    before = wired.everything()
    assert refused(wired.client.tunnel.create, bare, network) == ["TRANSPORT_PIF_NOT_CONFIGURED", bare]
    assert wired.everything() == before
    tunnel = wired.client.tunnel.create(transport, network)
    access = wired.client.tunnel.get_access_PIF(tunnel)
    assert refused(wired.client.tunnel.create, access, wired.network("m")) == ["IS_TUNNEL_ACCESS_PIF", access]
    assert refused(wired.client.VLAN.create, access, "5", wired.network("m")) == ["IS_TUNNEL_ACCESS_PIF", access]
    refusal = refused(wired.client.tunnel.create, transport, network)
    assert refusal == ["NETWORK_ALREADY_CONNECTED", wired.host, access]
    assert refused(wired.client.PIF.forget, transport) == ["PIF_TUNNEL_STILL_EXISTS", transport]


def test_a_tunnel_goes_down_with_its_transport(wired: WiredHouse) -> None:
    transport, network = addressed(wired, "eth1"), wired.network("n")
    access = wired.client.tunnel.get_access_PIF(wired.client.tunnel.create(transport, network))
    wired.client.PIF.unplug(transport)
    assert wired.client.PIF.get_currently_attached(access) is False
    assert not {"xenbr1", wired.client.network.get_bridge(network)} & wired.bridges
    wired.client.PIF.plug(access)
    assert wired.client.PIF.get_currently_attached(transport) is True


def test_one_controller_steers_the_switches(wired: WiredHouse) -> None:
    introduce = wired.client.SDN_controller.introduce
    assert refused(introduce, "ssl", "", "0") == ["INVALID_VALUE", "address", ""]
    assert refused(introduce, "ssl", "x", "0") == ["INVALID_IP_ADDRESS_SPECIFIED", "address"]
    assert refused(introduce, "pssl", "10.0.0.1", "0") == ["INVALID_VALUE", "address", "10.0.0.1"]
    assert refused(introduce, "pssl", "", "1") == ["INVALID_VALUE", "port", "1"]
    assert refused(introduce, "ssl", "10.0.0.1", "65536")[:2] == ["VALUE_NOT_SUPPORTED", "port"]
    controller = introduce("ssl", "10.0.0.1", "0")
    assert wired.driver.controller == ControllerTarget(address="10.0.0.1", port=SSL_PORT)
    assert refused(introduce, "ssl", "10.0.0.2", "0")[0] == "OPERATION_NOT_ALLOWED"
    vif = wired.client.VIF.create({"VM": wired.vm("a"), "network": wired.network("n"), "device": "0", "MAC": ""})
    refusal = refused(wired.client.VIF.set_locking_mode, vif, "locked")
    assert refusal == ["OPERATION_NOT_ALLOWED", "A vswitch controller is active"]
    wired.client.SDN_controller.forget(controller)
    assert wired.driver.controller is None
    wired.client.VIF.set_locking_mode(vif, "locked")


def test_provisioning_sites_and_servers_are_recorded(wired: WiredHouse) -> None:
    site = wired.client.PVS_site.introduce("site", "", "u")
    wired.client.PVS_site.set_PVS_uuid(site, "v")
    introduce = wired.client.PVS_server.introduce
    assert refused(introduce, ["x"], "6910", "6930", site) == ["INVALID_IP_ADDRESS_SPECIFIED", "addresses"]
    assert refused(introduce, [], "6930", "6910", site)[:2] == ["VALUE_NOT_SUPPORTED", "last_port"]
    assert refused(introduce, [], "1", "2", "OpaqueRef:dead") == ["INVALID_VALUE", "site", "OpaqueRef:dead"]
    server = introduce(["10.0.0.1"], "6910", "6930", site)
    assert refused(introduce, ["10.0.0.1"], "6910", "6930", site) == ["PVS_SERVER_ADDRESS_IN_USE", "10.0.0.1"]
    assert refused(wired.client.PVS_site.forget, site) == ["PVS_SITE_CONTAINS_SERVERS", server]
    wired.client.PVS_server.forget(server)
    wired.client.PVS_site.forget(site)
    assert wired.client.PVS_site.get_all() == []
