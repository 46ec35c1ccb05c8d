from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.network.fake_kernel import FakeKernel
from xapi.network.bridge.commands import BridgeCommands
from xapi.network.contract import CHECKS, Bench, Check
from xapi.network.host_driver import HostNetwork, open_bridge_driver, open_openvswitch_driver
from xapi.network.interface import (
    AddressMode,
    Backend,
    BridgeConfig,
    BridgeInUse,
    Card,
    CardBond,
    ConfigurationFailed,
    DeviceInUse,
    Filtering,
    InvalidNetworkConfiguration,
    Ipv4,
    Port,
    PortKind,
    StateUnusable,
    TaggedTraffic,
)
from xapi.network.openvswitch.commands import OpenvswitchCommands
from xapi.network.steps import Builder
from xapi.system.command import CommandFailed, run

CARDS = ("eth0", "eth1")


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    (tmp_path / "net").mkdir()
    return FakeKernel(tmp_path / "net", CARDS)


@pytest.fixture(params=[BridgeCommands, OpenvswitchCommands])
def builder(request: pytest.FixtureRequest) -> Builder:
    made: Builder = request.param()
    return made


@pytest.fixture
def driver(tmp_path: Path, kernel: FakeKernel, builder: Builder) -> Iterator[HostNetwork]:
    made = HostNetwork(tmp_path / "state", builder, kernel, kernel.system)
    yield made
    made.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_holds(driver: HostNetwork, check: Check) -> None:
    check(Bench(driver, CARDS))


def test_cards_tell_what_the_kernel_knows(driver: HostNetwork, kernel: FakeKernel) -> None:
    (kernel.system / "eth0" / "speed").write_text("-1\n")
    (kernel.system / "eth1" / "device" / "vendor").write_text("0x8086\n")
    (kernel.system / "eth1" / "device" / "sriov_totalvfs").write_text("64\n")
    (kernel.system / "lo").mkdir()
    first, second = driver.hardware.nics()
    assert (first.name, first.mac, first.speed, first.duplex) == ("eth0", "02:00:00:00:00:00", 0, True)
    assert (second.speed, second.vendor_id, second.capabilities) == (1000, "8086", ("sriov",))


CONFIG = BridgeConfig(
    "xenbr0", Card("eth0"), mac="02:00:00:00:00:00", mtu=1400, ipv4=Ipv4(AddressMode.STATIC, "10.0.0.5", "255.0.0.0")
)


def test_a_failure_at_any_command_leaves_nothing_behind(tmp_path: Path, builder: Builder) -> None:
    steps = builder.bring_up(None, CONFIG)
    assert len(steps) > 2
    for number in range(len(steps)):
        system = tmp_path / f"net{number}"
        system.mkdir()
        kernel = FakeKernel(system, CARDS)
        calls = iter(range(100))

        def runner(command: tuple[str, ...], text: str, kernel: FakeKernel = kernel, at: int = number) -> str:
            if next(calls) == at:  # noqa: B023 - used before the loop goes on
                kernel.failing = {command[-1]}
                try:
                    return kernel(command, text)
                finally:
                    kernel.failing = set()
            return kernel(command, text)

        driver = HostNetwork(tmp_path / f"state{number}", builder, runner, system)
        with pytest.raises(ConfigurationFailed):
            driver.bridges.bring_up(CONFIG)
        assert driver.bridges.names() == frozenset()
        assert {path.name for path in system.iterdir()} == set(CARDS)
        assert driver.bridges.bring_up(CONFIG).mtu == 1400


def test_what_it_has_made_is_known_after_a_restart(driver: HostNetwork, kernel: FakeKernel, tmp_path: Path) -> None:
    driver.bridges.bring_up(CONFIG)
    driver.bridges.bring_up(BridgeConfig("other"))
    driver.ports.attach(Port("vif0.0", "xenbr0", PortKind.HOST))
    again = HostNetwork(tmp_path / "state", driver.builder, kernel, kernel.system)
    assert (again.configs, again.placed) == (driver.configs, driver.placed)
    shutil.rmtree(kernel.system / "other")  # as after a reboot
    again = HostNetwork(tmp_path / "state", driver.builder, kernel, kernel.system)
    assert again.bridges.names() == {"xenbr0"}
    (tmp_path / "state" / "bridges.json").write_text("x")
    with pytest.raises(StateUnusable):
        HostNetwork(tmp_path / "state", driver.builder, kernel, kernel.system)


def test_what_others_have_made_is_left_alone(driver: HostNetwork, kernel: FakeKernel) -> None:
    (kernel.system / "virbr0" / "bridge").mkdir(parents=True)
    assert driver.bridges.names() == {"virbr0"}
    with pytest.raises(DeviceInUse):
        driver.bridges.bring_up(BridgeConfig("virbr0"))
    driver.bridges.take_down("virbr0")
    assert driver.bridges.names() == {"virbr0"}


def test_a_bridge_with_a_guest_on_it_stays(tmp_path: Path, kernel: FakeKernel) -> None:
    driver = HostNetwork(tmp_path / "state", BridgeCommands(), kernel, kernel.system)
    driver.bridges.bring_up(CONFIG)
    (kernel.system / "xenbr0" / "brif" / "tap0").mkdir()
    with pytest.raises(BridgeInUse) as refused:
        driver.bridges.take_down("xenbr0")
    assert refused.value.users == ("tap0",)
    (kernel.system / "xenbr0" / "brif" / "tap0").rmdir()
    driver.bridges.take_down("xenbr0")


def test_the_openers_take_no_settings(tmp_path: Path) -> None:
    assert open_bridge_driver(tmp_path, {}).backend is Backend.BRIDGE
    assert open_openvswitch_driver(tmp_path, {}).backend is Backend.OPENVSWITCH
    with pytest.raises(InvalidNetworkConfiguration):
        open_bridge_driver(tmp_path, {"x": "y"})


# What is run, word by word


def words(builder: Builder, before: BridgeConfig | None, after: BridgeConfig) -> list[str]:
    return [" ".join(step.do) for step in builder.bring_up(before, after)]


def test_commands_for_a_bridge_of_the_kernel() -> None:
    assert words(BridgeCommands(), None, CONFIG) == [
        "ip link add name xenbr0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
        "ip link set dev eth0 mtu 1400",
        "ip link set dev eth0 master xenbr0",
        "ip link set dev eth0 up",
        "ip link set dev xenbr0 address 02:00:00:00:00:00",
        "ip link set dev xenbr0 mtu 1400",
        "ip link set dev xenbr0 up",
        "ip address replace 10.0.0.5/8 dev xenbr0",
    ]
    assert words(BridgeCommands(), CONFIG, replace(CONFIG, mtu=1500, ipv4=Ipv4())) == [
        "ip link set dev eth0 mtu 1500",
        "ip link set dev xenbr0 mtu 1500",
        "ip link set dev xenbr0 up",
        "ip -4 address flush dev xenbr0 scope global",
    ]


def test_commands_for_vlans_and_bonds_of_the_kernel() -> None:
    vlan = words(BridgeCommands(), None, BridgeConfig("xapi1", TaggedTraffic("xenbr0", "eth0", 7)))
    assert "ip link add link eth0 name eth0.7 type vlan id 7" in vlan
    bond = CardBond("bond0", ("eth0", "eth1"), properties={})
    made = words(BridgeCommands(), None, BridgeConfig("xapi2", bond))
    assert "ip link add name bond0 type bond mode balance-xor xmit_hash_policy vlan+srcmac miimon 100" in made
    assert made.index("ip link set dev eth1 down") < made.index("ip link set dev eth1 master bond0")


ETHTOOL = {"speed": "100", "autoneg": "off", "tx": "off"}


def test_only_settings_that_differ_are_made() -> None:
    tuned = replace(
        CONFIG, uplink=Card("eth0", {"gro": "off"}), ethtool={"speed": "100", "autoneg": "off", "tx": "off"}
    )
    made = words(BridgeCommands(), None, tuned)
    assert "ethtool -K eth0 gro off" in made
    assert "ethtool -s eth0 speed 100 autoneg off" in made
    assert "ethtool -K eth0 tx off" in made
    assert not [line for line in words(BridgeCommands(), tuned, tuned) if line.startswith("ethtool")]


def test_a_locked_port_has_a_chain_of_its_own() -> None:
    port = Port("tap0", "xenbr0", mac="02:00:00:00:00:01")
    locked = replace(port, filtering=Filtering.LOCKED, allowed_ipv4=("10.0.0.1",), allowed_ipv6=("fe80::1",))
    (step,) = BridgeCommands().filter(port, locked)
    assert step.do == ("nft", "-f", "-")
    assert step.text.splitlines()[-6:] == [
        "add rule bridge xapi port-tap0 ether saddr != 02:00:00:00:00:01 drop",
        "add rule bridge xapi port-tap0 ip saddr { 10.0.0.1 } accept",
        "add rule bridge xapi port-tap0 arp saddr ip { 10.0.0.1 } accept",
        "add rule bridge xapi port-tap0 ip6 saddr { fe80::1 } accept",
        "add rule bridge xapi port-tap0 drop",
        'add element bridge xapi ports { "tap0" : jump port-tap0 }',
    ]
    (step,) = BridgeCommands().filter(locked, port)
    assert step.text.endswith("delete chain bridge xapi port-tap0\n")
    assert BridgeCommands().filter(port, port) == ()


def test_commands_for_open_vswitch() -> None:
    first = words(OpenvswitchCommands(), None, CONFIG)
    assert first[0] == (
        "ovs-vsctl --timeout=20 -- --may-exist add-br xenbr0 -- --may-exist add-port xenbr0 eth0"
        ' -- set bridge xenbr0 other-config:hwaddr="02:00:00:00:00:00"'
        " -- set bridge xenbr0 mcast_snooping_enable=false"
        " -- set interface xenbr0 mtu_request=1400 -- set interface eth0 mtu_request=1400"
    )
    assert first[1:] == [
        "ip link set dev eth0 up",
        "ip link set dev xenbr0 up",
        "ip address replace 10.0.0.5/8 dev xenbr0",
    ]
    vlan = words(OpenvswitchCommands(), None, BridgeConfig("xapi1", TaggedTraffic("xenbr0", "eth0", 7)))
    assert "add-br xapi1 xenbr0 7" in vlan[0]
    again = words(OpenvswitchCommands(), CONFIG, replace(CONFIG, uplink=Card("eth1")))
    assert "--if-exists del-port xenbr0 eth0 -- --may-exist add-br" in again[0]


def test_flows_of_a_locked_port() -> None:
    port = Port("vif1.0", "xenbr0", mac="02:00:00:00:00:01")
    locked = replace(port, filtering=Filtering.LOCKED, allowed_ipv4=("10.0.0.1",))
    clear, add = OpenvswitchCommands().filter(port, locked)
    assert clear.do == ("ovs-ofctl", "del-flows", "xenbr0", "in_port=vif1.0")
    assert add.text.splitlines() == [
        "priority=9000,in_port=vif1.0,actions=drop",
        "priority=9100,in_port=vif1.0,dl_src=02:00:00:00:00:01,ip,nw_src=10.0.0.1,actions=NORMAL",
        "priority=9100,in_port=vif1.0,dl_src=02:00:00:00:00:01,arp,arp_spa=10.0.0.1,actions=NORMAL",
    ]


REAL = """
import sys, tempfile, pathlib
from xapi.network.bridge.commands import BridgeCommands
from xapi.network.contract import CHECKS, Bench
from xapi.network.host_driver import HostNetwork, run_command
run_command(("ip", "link", "add", "name", "xtcard0", "type", "veth", "peer", "name", "xtcard1"))
with tempfile.TemporaryDirectory() as directory:
    driver = HostNetwork(pathlib.Path(directory), BridgeCommands(), cards=("xtcard0", "xtcard1"))
    for check in CHECKS:
        # Containers often have no VLANs, bonds or nftables: those are for hosts that have them.
        if check.__name__ in sys.argv[1:]:
            check(Bench(driver, ("xtcard0", "xtcard1")))
            print(check.__name__)
"""
ANYWHERE = [
    "cards_are_named_once_and_have_macs",
    "a_bridge_comes_and_goes",
    "a_bridge_is_changed_in_place",
    "what_contradicts_itself_is_refused",
    "tunnels_and_controllers_need_open_vswitch",
    "ports_are_checked",
]


def namespace() -> list[str]:
    """How to have a network of one's own; nothing where that is not allowed."""
    unshare = shutil.which("unshare")
    if unshare is None or shutil.which("ip") is None:
        return []
    own = [unshare, "--map-root-user", "--net", "--mount"]
    probe = "ip link add name p type bridge && ip link add name q type veth peer name r"
    mounted = f"mount -t sysfs none /sys && {probe}"
    try:
        run([*own, "sh", "-c", mounted])
    except CommandFailed:
        return []
    return [*own, "sh", "-c", 'mount -t sysfs none /sys && exec "$0" "$@"']


def test_the_contract_holds_on_a_real_kernel() -> None:
    own = namespace()
    if not own:
        pytest.skip("no network namespace with bridges can be had here")
    done = run([*own, sys.executable, "-c", REAL, *ANYWHERE])
    assert sorted(done.text.split()) == sorted(ANYWHERE)
