"""What every network driver must satisfy: checks that a test suite runs on each driver, on hosts where it can run.

Each check takes a `Bench`, asserts, and leaves the host as it was. `CHECKS` is all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from xapi.network.interface import (
    AddressMode,
    Backend,
    BondMode,
    BridgeConfig,
    BridgeInUse,
    Card,
    CardBond,
    ControllerTarget,
    DeviceInUse,
    Filtering,
    InvalidNetworkConfiguration,
    Ipv4,
    Ipv6,
    NetworkDriver,
    NetworkError,
    NoSuchBridge,
    NoSuchNic,
    NoSuchPort,
    NotSupported,
    Overlay,
    Port,
    PortKind,
    TaggedTraffic,
)

PREFIX = "xt"  # names that a test may take on a real host
HERE, THERE = f"{PREFIX}br0", f"{PREFIX}br1"


@dataclass(frozen=True, slots=True)
class Bench:
    """A driver to be checked, with two cards of the host that nobody needs meanwhile."""

    driver: NetworkDriver
    cards: tuple[str, str]


Check = Callable[[Bench], None]
CHECKS: list[Check] = []


def _check(function: Check) -> Check:
    def check(bench: Bench) -> None:
        before = bench.driver.bridges.names()
        function(bench)
        assert bench.driver.bridges.names() == before, "the check has left bridges behind"

    check.__name__ = function.__name__
    check.__doc__ = function.__doc__
    CHECKS.append(check)
    return check


def refusal(kind: type[NetworkError], call: Callable[[], object]) -> NetworkError:
    """The error with which a call is refused; AssertionError when it is not."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


@_check
def cards_are_named_once_and_have_macs(bench: Bench) -> None:
    """Every card has a name of its own and a MAC address."""
    nics = bench.driver.hardware.nics()
    assert len({nic.name for nic in nics}) == len(nics)
    assert set(bench.cards) <= {nic.name for nic in nics}
    assert all(nic.mac.count(":") == 5 and nic.mac == nic.mac.lower() for nic in nics)


@_check
def a_bridge_comes_and_goes(bench: Bench) -> None:
    """A bridge is there from bring_up to take_down; both may be repeated."""
    bridges = bench.driver.bridges
    config = BridgeConfig(HERE, Card(bench.cards[0]))
    for _ in range(2):
        state = bridges.bring_up(config)
        assert state.config == config
        assert HERE in bridges.names()
    assert bridges.get(HERE).config == config
    for _ in range(2):
        bridges.take_down(HERE)
        assert HERE not in bridges.names()
    refusal(NoSuchBridge, lambda: bridges.get(HERE))


@_check
def a_bridge_is_changed_in_place(bench: Bench) -> None:
    """Bringing a bridge up again gives it another MTU, address and uplink."""
    bridges = bench.driver.bridges
    config = BridgeConfig(HERE)
    bridges.bring_up(config)
    address = Ipv4(AddressMode.STATIC, "192.0.2.5", "255.255.255.0", "192.0.2.1")
    changed = replace(config, uplink=Card(bench.cards[1]), mtu=1400, ipv4=address)
    state = bridges.bring_up(changed)
    assert (state.mtu, state.ipv4) == (1400, address)
    assert bridges.bring_up(replace(changed, ipv4=Ipv4())).ipv4.address == ""
    bridges.take_down(HERE)


@_check
def a_card_belongs_to_one_bridge(bench: Bench) -> None:
    """A card of one bridge is refused to another, also inside a bond, and free when its bridge is gone."""
    bridges, (one, two) = bench.driver.bridges, bench.cards
    bridges.bring_up(BridgeConfig(HERE, Card(one)))
    error = refusal(DeviceInUse, lambda: bridges.bring_up(BridgeConfig(THERE, Card(one))))
    assert isinstance(error, DeviceInUse)
    assert (error.device, error.user) == (one, HERE)
    refusal(DeviceInUse, lambda: bridges.bring_up(BridgeConfig(THERE, CardBond(f"{PREFIX}bond", (one, two)))))
    assert THERE not in bridges.names()
    bridges.take_down(HERE)
    bridges.bring_up(BridgeConfig(THERE, Card(one)))
    bridges.take_down(THERE)


@_check
def a_bond_counts_its_links(bench: Bench) -> None:
    """A bond of two cards has at most two links, and its mode changes in place."""
    bridges = bench.driver.bridges
    bond = CardBond(f"{PREFIX}bond", bench.cards, BondMode.ACTIVE_BACKUP)
    assert 0 <= bridges.bring_up(BridgeConfig(HERE, bond)).links_up <= 2
    lacp = replace(bond, mode=BondMode.LACP, properties={"lacp-time": "fast"})
    assert bridges.bring_up(BridgeConfig(HERE, lacp)).config.uplink == lacp
    bridges.take_down(HERE)


@_check
def a_vlan_rests_upon_another_bridge(bench: Bench) -> None:
    """A VLAN needs its parent, holds it, and has its tag for itself."""
    bridges, (one, two) = bench.driver.bridges, bench.cards
    vlan = BridgeConfig(THERE, TaggedTraffic(HERE, one, 7))
    refusal(NoSuchBridge, lambda: bridges.bring_up(vlan))
    bridges.bring_up(BridgeConfig(HERE, Card(one)))
    wrong = BridgeConfig(THERE, TaggedTraffic(HERE, two, 7))
    refusal(InvalidNetworkConfiguration, lambda: bridges.bring_up(wrong))
    bridges.bring_up(vlan)
    again = BridgeConfig(f"{PREFIX}br2", TaggedTraffic(HERE, one, 7))
    refusal(DeviceInUse, lambda: bridges.bring_up(again))
    upon = BridgeConfig(f"{PREFIX}br2", TaggedTraffic(THERE, one, 8))
    refusal(InvalidNetworkConfiguration, lambda: bridges.bring_up(upon))
    error = refusal(BridgeInUse, lambda: bridges.take_down(HERE))
    assert isinstance(error, BridgeInUse)
    assert error.users == (THERE,)
    bridges.take_down(THERE)
    bridges.take_down(HERE)


@_check
def what_contradicts_itself_is_refused(bench: Bench) -> None:
    """Names, MTUs, tags, MAC and IP addresses that no kernel takes are refused before anything is made."""
    bring_up, (one, _) = bench.driver.bridges.bring_up, bench.cards
    good = BridgeConfig(HERE, Card(one))
    for bad in (
        replace(good, name=""),
        replace(good, name="a b"),
        replace(good, name="x" * 16),
        replace(good, mtu=0),
        replace(good, mac="x"),
        replace(good, uplink=TaggedTraffic(THERE, one, 4095)),
        replace(good, uplink=TaggedTraffic(HERE, one, 1)),
        replace(good, uplink=CardBond(f"{PREFIX}bond", ())),
        replace(good, uplink=CardBond(f"{PREFIX}bond", (one, one))),
        replace(good, ipv4=Ipv4(AddressMode.STATIC, "x", "255.0.0.0")),
        replace(good, ipv6=Ipv6(AddressMode.STATIC, ("10.0.0.1/8",))),
    ):
        refusal(InvalidNetworkConfiguration, lambda bad=bad: bring_up(bad))  # type: ignore[misc]
    refusal(NoSuchNic, lambda: bring_up(replace(good, uplink=Card(f"{PREFIX}none"))))


@_check
def tunnels_and_controllers_need_open_vswitch(bench: Bench) -> None:
    """A plain bridge refuses them; Open vSwitch has both."""
    driver, tunnel = bench.driver, BridgeConfig(THERE, Overlay(HERE, f"{PREFIX}tun"))
    driver.bridges.bring_up(BridgeConfig(HERE, Card(bench.cards[0])))
    if driver.backend is Backend.OPENVSWITCH:
        driver.bridges.bring_up(tunnel)
        refusal(BridgeInUse, lambda: driver.bridges.take_down(HERE))
        driver.bridges.take_down(THERE)
        driver.set_controller(ControllerTarget(address="192.0.2.9"))
    else:
        refusal(NotSupported, lambda: driver.bridges.bring_up(tunnel))
        refusal(NotSupported, lambda: driver.set_controller(ControllerTarget(address="192.0.2.9")))
    driver.set_controller(None)
    driver.bridges.take_down(HERE)


@_check
def ports_hold_their_bridge(bench: Bench) -> None:
    """A port is on one bridge, which cannot go before it; it may be moved and filtered."""
    bridges, ports = bench.driver.bridges, bench.driver.ports
    port = Port(f"{PREFIX}port", HERE, PortKind.HOST, mac="02:00:00:00:00:01")
    refusal(NoSuchBridge, lambda: ports.attach(port))
    refusal(NoSuchBridge, lambda: ports.on(HERE))
    bridges.bring_up(BridgeConfig(HERE))
    bridges.bring_up(BridgeConfig(THERE))
    for _ in range(2):
        ports.attach(port)
    assert [one.name for one in ports.on(HERE)] == [port.name]
    refusal(BridgeInUse, lambda: bridges.take_down(HERE))
    ports.set_filtering(port.name, Filtering.LOCKED, ("192.0.2.5",), ())
    assert ports.on(HERE)[0].filtering is Filtering.LOCKED
    ports.attach(replace(port, bridge=THERE))
    assert ports.on(HERE) == ()
    bridges.take_down(HERE)
    ports.detach(port.name)
    refusal(NoSuchPort, lambda: ports.detach(port.name))
    refusal(NoSuchPort, lambda: ports.set_filtering(port.name, Filtering.DISABLED, (), ()))
    bridges.take_down(THERE)


@_check
def ports_are_checked(bench: Bench) -> None:
    """A port takes no name of a card, and no address that is none."""
    bridges, ports = bench.driver.bridges, bench.driver.ports
    bridges.bring_up(BridgeConfig(HERE))
    refusal(DeviceInUse, lambda: ports.attach(Port(bench.cards[0], HERE)))
    refusal(InvalidNetworkConfiguration, lambda: ports.attach(Port(f"{PREFIX}port", HERE, allowed_ipv4=("x",))))
    refusal(InvalidNetworkConfiguration, lambda: ports.attach(Port(f"{PREFIX}port", HERE, trunks=(4095,))))
    bridges.take_down(HERE)


def run_contract(bench: Bench) -> list[str]:
    """Run every check and answer their names; AssertionError or NetworkError from the first that fails."""
    for check in CHECKS:
        check(bench)
    return [check.__name__ for check in CHECKS]
