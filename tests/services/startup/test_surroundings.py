import pytest

from tests.services.startup.installations import DRIVERS, FACTS, driver_type
from xapi.datamodel.classes import SR, Host
from xapi.services.startup import HostNic, Surroundings, identify, startup, surroundings_of
from xapi.system.settings import parse


def settings(state, *options):
    return parse(["--state", str(state), "--hypervisor", "simulator", *options], {})


def test_a_server_is_reached_where_it_listens(tmp_path):
    found = surroundings_of(settings(tmp_path, "--https", "192.0.2.1:8443"), "an installation")
    assert (found.address, found.authority, found.nics[0].address) == ("192.0.2.1", "192.0.2.1:8443", "192.0.2.1")
    assert not found.https_only
    assert found.local_storage is None


def test_the_usual_port_is_left_out_and_ipv6_is_bracketed(tmp_path):
    found = surroundings_of(settings(tmp_path, "--https", "[2001:db8::1]:443", "--http", "off"), "an installation")
    assert found.authority == "[2001:db8::1]"
    assert found.https_only


@pytest.mark.parametrize("everywhere", ["0.0.0.0:443", "[::]:443"])
def test_a_server_that_listens_everywhere_names_its_management_card(tmp_path, everywhere):
    cards = (HostNic("eth0", "02:00:00:00:00:01", management=True, address="192.0.2.5"),)
    assert surroundings_of(settings(tmp_path, "--https", everywhere), "x", nics=cards).address == "192.0.2.5"
    assert surroundings_of(settings(tmp_path, "--https", everywhere), "x").address == "127.0.0.1"


@pytest.mark.parametrize(("types", "chosen"), [(("file", "ext"), "ext"), (("file",), "file"), (("nfs",), None)])
def test_local_storage_is_of_the_first_type_at_hand(tmp_path, types, chosen):
    found = surroundings_of(settings(tmp_path), "x", tuple(driver_type(name) for name in types))
    assert (found.local_storage.type if found.local_storage else None) == chosen


def test_a_start_goes_by_the_settings(home):
    wanted = settings(home.state, "--https", "192.0.2.1:8443")
    started = startup(home.database, home.clock, home.machine, wanted, drivers=DRIVERS)
    host = home.get(Host, started.this_host)
    assert host.uuid == identify(home.state).uuid
    assert host.address == "192.0.2.1"
    assert host.capabilities == FACTS.capabilities
    assert len(home.all(SR)) == 4


def test_surroundings_need_no_more_than_a_place_and_an_address(home):
    bare = Surroundings(state=home.state, hostname="h", address="192.0.2.9", nics=())
    home.surroundings = bare
    started = home.start()
    assert home.get(Host, started.this_host).PIFs == ()
