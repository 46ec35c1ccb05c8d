from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from xapi.datamodel.classes import PIF, Network, PIFMetrics
from xapi.datamodel.classes.pif import IpConfigurationMode
from xapi.services.startup import HostNic, simulated_nics
from xapi.services.startup.networks import bridge_name
from xapi.services.startup.surroundings import derived_mac


def pif(home, device):
    return next(row for row in home.all(PIF) if row.device == device)


def test_each_card_has_a_network_of_the_pool(home):
    started = home.start()
    first, second = pif(home, "eth0"), pif(home, "eth1")
    network = home.get(Network, first.network)
    assert (network.bridge, network.name_label) == ("xenbr0", "Pool-wide network associated with eth0")
    assert home.get(Network, second.network).bridge == "xenbr1"
    assert network.PIFs == (first.ref,)
    assert (first.management, second.management) == (True, False)
    assert (first.IP, second.IP) == ("192.0.2.7", "")
    assert first.ip_configuration_mode is IpConfigurationMode.DHCP
    assert (first.VLAN, first.MTU, first.physical, first.currently_attached) == (-1, 1500, True, True)
    assert first.host == started.this_host
    assert home.get(PIFMetrics, first.metrics).carrier
    assert home.get(PIFMetrics, first.metrics).speed == 10000


def test_the_internal_network_tells_guests_their_addresses(home):
    home.start()
    (network,) = [row for row in home.all(Network) if row.bridge == "xenapi"]
    assert network.other_config == {
        "is_guest_installer_network": "true",
        "is_host_internal_management_network": "true",
        "ip_begin": "169.254.0.1",
        "ip_end": "169.254.255.254",
        "netmask": "255.255.0.0",
    }
    assert network.PIFs == ()


def test_a_card_that_was_configured_keeps_its_address_and_tells_of_its_link(home):
    home.start()
    card = pif(home, "eth0").ref
    with home.database.transaction() as transaction:
        transaction.update(
            PIF, card, ip_configuration_mode=IpConfigurationMode.STATIC, IP="192.0.2.99", management=False
        )
        transaction.update(PIF, pif(home, "eth1").ref, management=True)
    nics = home.surroundings.nics
    home.change(nics=(replace(nics[0], carrier=False, address="192.0.2.8"), nics[1]))
    home.restart()
    after = home.get(PIF, card)
    assert after.IP == "192.0.2.99"
    assert not after.management
    metrics = home.get(PIFMetrics, after.metrics)
    assert (metrics.carrier, metrics.speed) == (False, 0)


def test_a_card_with_dhcp_takes_the_address_that_it_was_given(home):
    home.start()
    nics = home.surroundings.nics
    home.change(nics=(replace(nics[0], address="192.0.2.8"), nics[1]))
    home.restart()
    assert pif(home, "eth0").IP == "192.0.2.8"


def test_a_new_card_gets_a_pif_and_nothing_else_changes(home):
    home.start()
    before = {row.ref for row in home.all(PIF)}
    extra = HostNic("enp5s0", "02:00:00:00:00:05", management=True)
    home.change(nics=(*home.surroundings.nics, extra))
    home.restart()
    (new,) = [row for row in home.all(PIF) if row.ref not in before]
    assert (new.device, new.MAC) == ("enp5s0", "02:00:00:00:00:05")
    assert home.get(Network, new.network).bridge == "brenp5s0"
    assert sum(row.management for row in home.all(PIF)) == 1


@given(st.uuids(), st.text(min_size=1, max_size=15))
def test_a_derived_mac_is_local_unicast_and_always_the_same(installation, device):
    mac = derived_mac(str(installation), device)
    first = int(mac[:2], 16)
    assert first & 1 == 0
    assert first & 2 == 2
    assert mac == derived_mac(str(installation), device)
    assert len(bytes.fromhex(mac.replace(":", ""))) == 6


def test_simulated_cards_differ():
    nics = simulated_nics("an installation", "127.0.0.1", 5)
    assert len({nic.mac for nic in nics}) == 5
    assert [nic.management for nic in nics] == [True, False, False, False, False]
    assert nics[0].netmask == "255.0.0.0"
    assert {nic.mac for nic in simulated_nics("another", "127.0.0.1", 5)}.isdisjoint(nic.mac for nic in nics)


def test_bridges_are_named_after_their_devices():
    assert [bridge_name(name) for name in ("eth0", "eth12", "ethx", "wlan0")] == [
        "xenbr0",
        "xenbr12",
        "brethx",
        "brwlan0",
    ]
