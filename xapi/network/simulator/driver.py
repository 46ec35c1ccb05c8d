"""The simulated network as a driver."""

from __future__ import annotations

import ipaddress
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from xapi.network.checks import check_allowed, check_bridge, check_port
from xapi.network.interface import (
    AddressMode,
    Backend,
    BridgeConfig,
    BridgeInUse,
    BridgeState,
    ControllerTarget,
    DeviceInUse,
    Filtering,
    Ipv4,
    Ipv6,
    NetworkDriver,
    Nic,
    NoSuchBridge,
    NoSuchPort,
    NotSupported,
    Port,
    StateUnusable,
    Uplink,
)
from xapi.network.plain import (
    bridge_from_plain,
    bridge_to_plain,
    controller_to_plain,
    port_from_plain,
    port_to_plain,
)
from xapi.network.rules import cards_of, check_uplink, root_of, users_of
from xapi.network.simulator.faults import Wishes
from xapi.network.simulator.journal import Journal
from xapi.network.simulator.settings import NetworkSimulatorConfig
from xapi.system.undo import on_failure

LEASES = ipaddress.IPv4Network("198.51.100.0/24")  # TEST-NET-2: nobody's addresses
PREFIX6 = ipaddress.IPv6Network("2001:db8::/64")  # for documentation


def open_driver(state_directory: Path, settings: Mapping[str, str]) -> NetworkDriver:
    """The simulated network whose memory lies in this directory; raises a NetworkError."""
    return SimulatedNetwork(state_directory, NetworkSimulatorConfig.from_mapping(settings))


class SimulatedNetwork:
    """The NetworkDriver protocol. Its parts share one lock, under which nothing waits."""

    def __init__(self, directory: Path, config: NetworkSimulatorConfig | None = None) -> None:
        self._config = config or NetworkSimulatorConfig()
        self.wishes = Wishes()
        self._lock = threading.RLock()
        self._journal = Journal(directory)
        self.configs: dict[str, BridgeConfig] = {name: BridgeConfig(name) for name in self._config.bridges}
        self.placed: dict[str, Port] = {}
        self.controller: ControllerTarget | None = None
        with on_failure(self._journal.close):
            self._remember()
        self.hardware = SimulatedHardware(self)
        self.bridges = SimulatedBridges(self)
        self.ports = SimulatedPorts(self)

    @property
    def backend(self) -> Backend:
        """What makes the bridges."""
        return self._config.backend

    def set_controller(self, target: ControllerTarget | None) -> None:
        """Let an SDN controller steer all bridges, or none any more."""
        self.wishes.strike("set_controller")
        if target is not None and self.backend is not Backend.OPENVSWITCH:
            raise NotSupported("an SDN controller without Open vSwitch")
        with self.changing() as journal:
            journal.append(controller_to_plain(target))
            self.controller = target

    def configure(self, keys: Mapping[str, str]) -> None:
        """Take all run-time keys (of host.other_config) at each call; raises InvalidNetworkConfiguration.

        Read are `network-simulator:fault:OPERATION` = error[,times=N][,after=N][,device=NAME],
        `network-simulator:carrier:NIC` = up or down, and `network-simulator:nic:NIC` = present or absent.
        """
        self.wishes.set(keys)

    def close(self) -> None:
        """Let go of files; bridges live on."""
        self._journal.close()

    @contextmanager
    def changing(self) -> Iterator[Journal]:
        """Nobody else changes anything meanwhile; what is appended to the journal is remembered."""
        with self._lock:
            yield self._journal

    def nics(self) -> dict[str, Nic]:
        """The cards that are there now, by name."""
        wishes = self.wishes
        numbers = {f"eth{number}": number for number in range(self._config.nics)}
        for name in wishes.added:
            if name.startswith("eth") and name[3:].isdecimal():
                numbers[name] = int(name[3:])
        found: dict[str, Nic] = {}
        for name, number in sorted(numbers.items(), key=lambda item: item[1]):
            if name not in wishes.absent:
                nic = self._config.nic(number)
                up = wishes.carriers.get(name, True)
                found[name] = nic if up else replace(nic, carrier=False, speed=0, duplex=False)
        return found

    def lease(self, uplink: Uplink | None, seed: str) -> ipaddress.IPv4Interface:
        """The address that the DHCP server has for a bridge: its card's, or one that follows from the MAC."""
        for device in cards_of(uplink):
            if device in self._config.leases:
                return ipaddress.IPv4Interface(self._config.leases[device])
        return ipaddress.IPv4Interface((LEASES[10 + zlib.crc32(seed.encode()) % 240], LEASES.prefixlen))

    def _remember(self) -> None:
        """Read what the journal tells, and make it short."""
        for line in self._journal.read():
            try:
                match line:
                    case {"bridge": plain}:
                        config = bridge_from_plain(plain)
                        self.configs[config.name] = config
                    case {"port": plain}:
                        port = port_from_plain(plain)
                        self.placed[port.name] = port
                    case {"controller": plain}:
                        self.controller = None if plain is None else ControllerTarget(**plain)
                    case {"no bridge": name}:
                        self.configs.pop(name, None)
                    case {"no port": name}:
                        self.placed.pop(name, None)
            except (KeyError, TypeError, ValueError) as error:
                raise StateUnusable("network", f"a line of the journal is damaged: {error}") from error
        self._journal.rewrite(
            [
                controller_to_plain(self.controller),
                *(bridge_to_plain(config) for config in self.configs.values()),
                *(port_to_plain(port) for port in self.placed.values()),
            ]
        )


class SimulatedHardware:
    """The Hardware protocol."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network

    def nics(self) -> tuple[Nic, ...]:
        """Every card, in the order of their numbers."""
        self._network.wishes.strike("nics")
        return tuple(self._network.nics().values())


class SimulatedBridges:
    """The Bridges protocol."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network

    def bring_up(self, config: BridgeConfig) -> BridgeState:
        """Make the bridge what it should be; on any error it is as it was before."""
        network = self._network
        network.wishes.strike("bring_up", config.name)
        check_bridge(config, network.backend)
        with network.changing() as journal:
            if config.name in network.nics() or config.name in network.placed:
                raise DeviceInUse(config.name, "an interface of that name")
            check_uplink(config, network.configs, network.nics())
            if network.configs.get(config.name) != config:
                journal.append(bridge_to_plain(config))
                network.configs[config.name] = config
            return self._state(config)

    def take_down(self, name: str) -> None:
        """Remove the bridge and free its uplink; one that is not there is as good as removed."""
        network = self._network
        network.wishes.strike("take_down", name)
        with network.changing() as journal:
            if name not in network.configs:
                return
            users = users_of(name, network.configs, network.placed)
            if users:
                raise BridgeInUse(name, users)
            journal.append({"no bridge": name})
            del network.configs[name]

    def get(self, name: str) -> BridgeState:
        """What the bridge is now."""
        with self._network.changing():
            config = self._network.configs.get(name)
            if config is None:
                raise NoSuchBridge(name)
            return self._state(config)

    def names(self) -> frozenset[str]:
        """The names of all bridges."""
        with self._network.changing():
            return frozenset(self._network.configs)

    def _state(self, config: BridgeConfig) -> BridgeState:
        nics = self._network.nics()
        cards = cards_of(root_of(config, self._network.configs).uplink)
        links = sum(card in nics and nics[card].carrier for card in cards)
        carrier = links > 0 or config.uplink is None
        seed = config.mac or config.name
        lease = _lease4(config.ipv4, self._network.lease(config.uplink, seed), carrier and bool(cards))
        return BridgeState(
            config, config.mtu, carrier, links, lease, _lease6(config.ipv6, seed, carrier and bool(cards))
        )


class SimulatedPorts:
    """The Ports protocol."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network

    def attach(self, port: Port) -> None:
        """Put an interface on a bridge, or move it there."""
        network = self._network
        network.wishes.strike("attach", port.name)
        check_port(port)
        if port.trunks and network.backend is not Backend.OPENVSWITCH:
            raise NotSupported("a trunk of VLANs without Open vSwitch")
        with network.changing() as journal:
            if port.bridge not in network.configs:
                raise NoSuchBridge(port.bridge)
            if port.name in network.nics() or port.name in network.configs:
                raise DeviceInUse(port.name, "a card or bridge of that name")
            if network.placed.get(port.name) != port:
                journal.append(port_to_plain(port))
                network.placed[port.name] = port

    def detach(self, name: str) -> None:
        """Take an interface off its bridge."""
        network = self._network
        network.wishes.strike("detach", name)
        with network.changing() as journal:
            if name not in network.placed:
                raise NoSuchPort(name)
            journal.append({"no port": name})
            del network.placed[name]

    def set_filtering(
        self, name: str, filtering: Filtering, allowed_ipv4: tuple[str, ...], allowed_ipv6: tuple[str, ...]
    ) -> None:
        """Change which traffic a port may carry."""
        network = self._network
        network.wishes.strike("set_filtering", name)
        check_allowed(allowed_ipv4, allowed_ipv6)
        with network.changing() as journal:
            port = network.placed.get(name)
            if port is None:
                raise NoSuchPort(name)
            changed = replace(port, filtering=filtering, allowed_ipv4=allowed_ipv4, allowed_ipv6=allowed_ipv6)
            journal.append(port_to_plain(changed))
            network.placed[name] = changed

    def on(self, bridge: str) -> tuple[Port, ...]:
        """The ports of a bridge by name."""
        with self._network.changing():
            if bridge not in self._network.configs:
                raise NoSuchBridge(bridge)
            found = (port for port in self._network.placed.values() if port.bridge == bridge)
            return tuple(sorted(found, key=lambda port: port.name))


def _lease4(wanted: Ipv4, lease: ipaddress.IPv4Interface, reachable: bool) -> Ipv4:
    """The address in use: what was set, or what the simulated DHCP server gives."""
    match wanted.mode:
        case AddressMode.STATIC:
            return wanted
        case AddressMode.DHCP if reachable:
            gateway = "" if lease.ip.is_loopback else str(lease.network[1])
            dns = wanted.dns or ((gateway,) if gateway else ())
            return Ipv4(AddressMode.DHCP, str(lease.ip), str(lease.netmask), gateway, dns)
        case _:
            return Ipv4(wanted.mode, dns=wanted.dns)


def _lease6(wanted: Ipv6, seed: str, reachable: bool) -> Ipv6:
    match wanted.mode:
        case AddressMode.STATIC:
            return wanted
        case AddressMode.DHCP | AddressMode.AUTOCONF if reachable:
            number = 0x1000 + zlib.crc32(seed.encode())
            return Ipv6(wanted.mode, (f"{PREFIX6[number]}/{PREFIX6.prefixlen}",), str(PREFIX6[1]))
        case _:
            return Ipv6(wanted.mode)
