from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actions.wired_house import WiredHouse, refused, wired_house
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import Network
from xapi.datamodel.failure import Failure
from xapi.datamodel.types import Basic, EnumType, MapType, RefType, SetType

NULL, DEAD = "OpaqueRef:NULL", "OpaqueRef:dead"
OBSERVED = Path(__file__).resolve().parents[3] / "shared" / "facts" / "observed" / "dead-references.json"
CLASSES = (
    "network",
    "VIF",
    "VIF_metrics",
    "PIF",
    "PIF_metrics",
    "VLAN",
    "Bond",
    "tunnel",
    "network_sriov",
    "SDN_controller",
    "PVS_site",
    "PVS_server",
    "PVS_proxy",
    "PVS_cache_storage",
)


@pytest.fixture(scope="module")
def shared() -> Iterator[WiredHouse]:
    with wired_house() as wired:
        yield wired


@pytest.fixture
def wired(shared: WiredHouse) -> Iterator[WiredHouse]:
    yield shared
    shared.no_faults()


def vif_on(wired: WiredHouse, network: str, *, running: bool = False) -> str:
    vm = wired.vm("guest", running=running)
    return str(wired.client.VIF.create({"VM": vm, "network": network, "device": "0", "MAC": ""}))


def test_a_network_gets_a_bridge_name_that_is_free(wired: WiredHouse) -> None:
    first, second = (wired.client.network.get_record(wired.network("n")) for _ in range(2))
    assert first["bridge"].startswith("xapi")
    assert first["bridge"] != second["bridge"]
    assert (first["MTU"], first["managed"], first["default_locking_mode"]) == ("1500", True, "unlocked")
    assert first["bridge"] not in wired.bridges


def test_a_freed_bridge_name_is_given_again(wired: WiredHouse) -> None:
    network = wired.network("n")
    bridge = wired.client.network.get_bridge(network)
    wired.client.network.destroy(network)
    assert wired.client.network.get_bridge(wired.network("n")) == bridge


@pytest.mark.parametrize("bridge", ["xenbr7", "xapi7", "vifx", "tap0", "eth9", "a-name-of-sixteen"])
def test_clients_do_not_take_the_toolstacks_names(wired: WiredHouse, bridge: str) -> None:
    assert refused(lambda: wired.network("n", bridge=bridge)) == ["INVALID_VALUE", "bridge", bridge]


def test_a_bridge_name_is_given_once(wired: WiredHouse) -> None:
    wired.network("n", bridge="br-own", managed=False)
    assert refused(lambda: wired.network("n", bridge="br-own")) == ["BRIDGE_NAME_EXISTS", "br-own"]


@pytest.mark.parametrize(("given", "kept"), [("0", "1500"), ("-1", "1500"), ("9000", "9000")])
def test_an_mtu_that_is_none_becomes_the_usual_one(wired: WiredHouse, given: str, kept: str) -> None:
    assert wired.client.network.get_MTU(wired.network("n", MTU=given)) == kept


def test_a_network_in_use_is_not_destroyed(wired: WiredHouse) -> None:
    network = wired.network("n")
    vif = vif_on(wired, network, running=True)
    wired.client.VIF.plug(vif)
    before = wired.everything()
    assert refused(wired.client.network.destroy, network) == ["NETWORK_CONTAINS_VIF", vif]
    pif = wired.pif("eth2")
    carrying = wired.client.PIF.get_network(pif)
    assert refused(wired.client.network.destroy, carrying) == ["NETWORK_CONTAINS_PIF", pif]
    assert wired.everything() == before


def test_destroying_a_network_takes_its_unplugged_cards_along(wired: WiredHouse) -> None:
    network = wired.network("n")
    vif = vif_on(wired, network)
    wired.client.network.attach(network, wired.host)
    bridge = wired.client.network.get_bridge(network)
    assert bridge in wired.bridges
    wired.client.network.destroy(network)
    assert refused(wired.client.VIF.get_record, vif) == ["HANDLE_INVALID", "VIF", vif]
    assert bridge not in wired.bridges


def test_the_internal_management_network_stays(wired: WiredHouse) -> None:
    system = next(n.ref for n in wired.db.all(Network) if "is_host_internal_management_network" in n.other_config)
    assert refused(wired.client.network.destroy, system) == ["CANNOT_DESTROY_SYSTEM_NETWORK", system]


def test_the_two_kinds_of_nbd_exclude_each_other_throughout_the_pool(wired: WiredHouse) -> None:
    one, two = wired.network("n"), wired.network("m")
    wired.client.network.add_purpose(one, "nbd")
    wired.client.network.add_purpose(one, "nbd")
    assert wired.client.network.get_purpose(one) == ["nbd"]
    for network in (one, two):
        refusal = refused(wired.client.network.add_purpose, network, "insecure_nbd")
        assert refusal == ["NETWORK_INCOMPATIBLE_PURPOSES", "insecure_nbd", "nbd"]
    wired.client.network.remove_purpose(one, "nbd")
    wired.client.network.add_purpose(two, "insecure_nbd")
    assert wired.client.network.get_purpose(two) == ["insecure_nbd"]
    wired.client.network.remove_purpose(two, "insecure_nbd")


def test_the_locking_of_a_network_in_use_is_not_changed(wired: WiredHouse) -> None:
    network = wired.network("n")
    vif = vif_on(wired, network, running=True)
    wired.client.network.set_default_locking_mode(network, "disabled")
    wired.client.VIF.plug(vif)
    refusal = refused(wired.client.network.set_default_locking_mode, network, "unlocked")
    assert refusal == ["VIF_IN_USE", network, vif]


def test_attaching_for_a_vm_brings_up_what_its_cards_need(wired: WiredHouse) -> None:
    network = wired.network("n")
    bridge = wired.client.network.get_bridge(network)
    vm = wired.client.VIF.get_VM(vif_on(wired, network))
    wired.client.network.attach_for_vm(wired.host, vm)
    assert bridge in wired.bridges
    wired.client.network.detach_for_vm(wired.host, vm)
    assert bridge not in wired.bridges


def test_attaching_applies_the_mtu(wired: WiredHouse) -> None:
    network = wired.network("n")
    wired.client.network.attach(network, wired.host)
    wired.client.network.set_MTU(network, "9000")
    wired.client.network.attach(network, wired.host)
    assert wired.driver.bridges.get(wired.client.network.get_bridge(network)).mtu == 9000


def test_pool_introduce_writes_down_what_it_is_told(wired: WiredHouse) -> None:
    network = wired.client.network.pool_introduce("a", "b", "1400", {"k": "v"}, "xenbr77", True, ["nbd"])
    record = wired.client.network.get_record(network)
    assert (record["bridge"], record["MTU"], record["purpose"]) == ("xenbr77", "1400", ["nbd"])
    wired.client.network.destroy(network)


def dead_value(kind: object) -> object:
    match kind:
        case RefType():
            return DEAD
        case SetType(of=RefType()):
            return [DEAD]
        case SetType():
            return []
        case MapType():
            return {}
        case EnumType(enum=enum):
            return str(next(iter(enum)))
        case Basic.STRING:
            return "x"
        case Basic.INT:
            return "1"
        case Basic.BOOL:
            return False
        case Basic.FLOAT:
            return 1.0
    raise TypeError(kind)


def observed() -> list[tuple[str, list[str]]]:
    if not OBSERVED.exists():
        return []
    entries = json.loads(OBSERVED.read_text())
    return [(name, answer) for name, answer in entries.items() if name.partition(".")[0] in CLASSES]


@pytest.mark.parametrize(("name", "answer"), observed())
def test_dead_references_are_answered_as_by_the_public_service(wired: WiredHouse, name: str, answer: list[str]) -> None:
    params = [dead_value(param.type) for param in CATALOG.methods[name].params]
    before = wired.everything()
    with pytest.raises(Failure) as failure:
        wired.client(name, *params)
    expected = [DEAD if one == "<dead>" else one for one in answer]
    assert failure.value.description == expected
    assert wired.everything() == before


OWN = [
    method.wire_name
    for method in CATALOG.methods.values()
    if method.wire_name.partition(".")[0] in CLASSES and method.params and isinstance(method.params[0].type, RefType)
]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("reference", [DEAD, NULL])
def test_no_message_gets_far_with_a_dead_or_null_reference(wired: WiredHouse, name: str, reference: str) -> None:
    method = CATALOG.methods[name]
    params = [reference if isinstance(one.type, RefType) else dead_value(one.type) for one in method.params]
    before = wired.everything()
    with pytest.raises(Failure) as failure:
        wired.client(name, *params)
    assert failure.value.code in {"HANDLE_INVALID", "HOST_OFFLINE", "MESSAGE_REMOVED", "OPENVSWITCH_NOT_ACTIVE"}
    assert wired.everything() == before
