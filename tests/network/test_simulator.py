from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from xapi.network.contract import CHECKS, Bench, Check
from xapi.network.interface import (
    AddressMode,
    Backend,
    BridgeConfig,
    Card,
    CardBond,
    ConfigurationFailed,
    ControllerTarget,
    DeviceInUse,
    Filtering,
    InvalidNetworkConfiguration,
    Ipv4,
    Ipv6,
    NetworkError,
    Overlay,
    Port,
    StateUnusable,
    TaggedTraffic,
)
from xapi.network.simulator.driver import SimulatedNetwork, open_driver
from xapi.network.simulator.settings import NetworkSimulatorConfig


@pytest.fixture(params=list(Backend))
def driver(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SimulatedNetwork]:
    made = SimulatedNetwork(tmp_path, NetworkSimulatorConfig(nics=4, backend=request.param))
    yield made
    made.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_holds(driver: SimulatedNetwork, check: Check) -> None:
    check(Bench(driver, ("eth0", "eth1")))


def test_a_contract_that_is_broken_is_noticed(driver: SimulatedNetwork) -> None:
    driver.configure({"network-simulator:fault:take_down": "error"})
    failed = 0
    for check in CHECKS:
        try:
            check(Bench(driver, ("eth0", "eth1")))
        except (AssertionError, NetworkError):
            failed += 1
    assert failed > len(CHECKS) // 2


def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    config = NetworkSimulatorConfig(nics=4, backend=Backend.OPENVSWITCH)
    driver = SimulatedNetwork(tmp_path, config)
    driver.bridges.bring_up(BridgeConfig("a", Card("eth0", {"gro": "off"}), ethtool={"speed": "100"}))
    driver.bridges.bring_up(BridgeConfig("b", TaggedTraffic("a", "eth0", 5), ipv4=Ipv4(AddressMode.DHCP)))
    driver.bridges.bring_up(BridgeConfig("c", CardBond("bond0", ("eth1", "eth2")), ipv6=Ipv6(AddressMode.AUTOCONF)))
    driver.bridges.bring_up(BridgeConfig("d", Overlay("a", "tunnel0")))
    driver.bridges.bring_up(BridgeConfig("gone"))
    driver.bridges.take_down("gone")
    driver.ports.attach(Port("vif0.1", "a", filtering=Filtering.LOCKED, allowed_ipv4=("10.0.0.1",), trunks=(1, 2)))
    driver.ports.attach(Port("vif0.2", "a"))
    driver.ports.detach("vif0.2")
    driver.set_controller(ControllerTarget(address="10.0.0.9"))
    before = (dict(driver.configs), dict(driver.placed), driver.controller)
    driver.close()
    for _ in range(2):
        again = SimulatedNetwork(tmp_path, config)
        assert (again.configs, again.placed, again.controller) == before
        again.close()


def test_a_torn_last_line_is_dropped_and_other_damage_refused(tmp_path: Path) -> None:
    driver = SimulatedNetwork(tmp_path)
    driver.bridges.bring_up(BridgeConfig("a"))
    driver.close()
    journal = tmp_path / "network"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"no bri')
    driver = SimulatedNetwork(tmp_path)
    assert driver.bridges.names() == {"a"}
    driver.close()
    for damage in (b"x\n", b'{"bridge": {}}\n', b'{"port": {"kind": "x"}}\n'):
        journal.write_bytes(damage)
        with pytest.raises(StateUnusable):
            SimulatedNetwork(tmp_path)


def test_two_cannot_use_one_directory(tmp_path: Path) -> None:
    driver = SimulatedNetwork(tmp_path)
    with pytest.raises(StateUnusable):
        SimulatedNetwork(tmp_path)
    driver.close()


def test_faults_strike_as_often_as_wished(driver: SimulatedNetwork) -> None:
    driver.configure({"network-simulator:fault:bring_up": "error,after=1,times=2,device=a", "else:x": "y"})
    results = []
    for name in ("a", "b", "a", "a", "a"):
        try:
            driver.bridges.bring_up(BridgeConfig(name))
            results.append(True)
        except ConfigurationFailed as error:
            assert error.device == "a"
            results.append(False)
    assert results == [True, True, False, False, True]
    assert driver.wishes.counts["bring_up"] == 5


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("fault:bring_up", "x"),
        ("fault:bring_up", "error,times=x"),
        ("fault:bring_up", "error,x=1"),
        ("fault:nothing", "error"),
        ("carrier:eth0", "x"),
        ("nic:eth0", "x"),
        ("x", "y"),
    ],
)
def test_wishes_that_mean_nothing_are_refused(driver: SimulatedNetwork, key: str, text: str) -> None:
    with pytest.raises(InvalidNetworkConfiguration) as refused:
        driver.configure({f"network-simulator:{key}": text})
    assert refused.value.field == f"network-simulator:{key}"


def test_a_card_without_a_link_has_no_lease(driver: SimulatedNetwork) -> None:
    config = BridgeConfig("a", Card("eth0"), ipv4=Ipv4(AddressMode.DHCP))
    assert driver.bridges.bring_up(config).ipv4.address
    driver.configure({"network-simulator:carrier:eth0": "down"})
    state = driver.bridges.bring_up(config)
    assert (state.carrier, state.links_up, state.ipv4.address) == (False, 0, "")
    assert driver.hardware.nics()[0].speed == 0


def test_a_bond_has_as_many_links_as_its_cards(driver: SimulatedNetwork) -> None:
    driver.configure({"network-simulator:carrier:eth0": "down"})
    assert driver.bridges.bring_up(BridgeConfig("a", CardBond("bond0", ("eth0", "eth1", "eth2")))).links_up == 2
    with pytest.raises(DeviceInUse):
        driver.bridges.bring_up(BridgeConfig("b", CardBond("bond0", ("eth3",))))


def test_cards_come_and_go(driver: SimulatedNetwork) -> None:
    driver.configure({"network-simulator:nic:eth9": "present", "network-simulator:nic:eth0": "absent"})
    assert [nic.name for nic in driver.hardware.nics()] == ["eth1", "eth2", "eth3", "eth9"]


def test_the_settings_are_read(tmp_path: Path) -> None:
    settings = {"nics": "1", "speed": "1000", "backend": "openvswitch", "bridges": "br0, br1", "seed": "s"}
    driver = open_driver(tmp_path, {**settings, "sriov": "eth0", "lease.eth0": "10.0.0.7/8"})
    (nic,) = driver.hardware.nics()
    assert (nic.speed, nic.capabilities, driver.backend) == (1000, ("sriov",), Backend.OPENVSWITCH)
    assert driver.bridges.names() == {"br0", "br1"}
    state = driver.bridges.bring_up(BridgeConfig("x", Card("eth0"), ipv4=Ipv4(AddressMode.DHCP)))
    assert (state.ipv4.address, state.ipv4.netmask, state.ipv4.gateway) == ("10.0.0.7", "255.0.0.0", "10.0.0.1")
    driver.close()


@pytest.mark.parametrize(
    "settings",
    [{"nics": "x"}, {"nics": "65"}, {"backend": "x"}, {"bridges": "a b"}, {"lease.eth0": "x"}, {"colour": "red"}],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, settings: dict[str, str]) -> None:
    with pytest.raises(InvalidNetworkConfiguration) as refused:
        open_driver(tmp_path, settings)
    assert refused.value.field in settings


def test_seeds_give_other_macs() -> None:
    one, two = (NetworkSimulatorConfig(seed=seed).nic(0).mac for seed in "ab")
    assert one != two
    assert int(one[:2], 16) & 3 == 2


def test_many_threads_leave_whole_bridges(driver: SimulatedNetwork) -> None:
    def work(number: int) -> None:
        for turn in range(20):
            name = f"br{number}-{turn % 3}"
            driver.bridges.bring_up(BridgeConfig(name))
            driver.ports.attach(Port(f"p{number}", name))
            driver.ports.detach(f"p{number}")
            driver.bridges.take_down(name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (driver.bridges.names(), driver.placed) == (frozenset(), {})
