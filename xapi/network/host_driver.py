"""The driver for real hosts: it checks, has commands built, runs them, and undoes what it did when one fails.

What it has made is remembered in one file, replaced as a whole after each change, so that a restarted toolstack knows
its bridges; bridges that somebody else made are seen in `/sys/class/net`, and left alone.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import orjson

from xapi.network.bridge.commands import BridgeCommands
from xapi.network.checks import check_allowed, check_bridge, check_port
from xapi.network.interface import (
    AddressMode,
    Backend,
    BridgeConfig,
    BridgeInUse,
    BridgeState,
    ConfigurationFailed,
    ControllerTarget,
    DeviceInUse,
    Filtering,
    InvalidNetworkConfiguration,
    Ipv4,
    Ipv6,
    NetworkDriver,
    Nic,
    NoSuchBridge,
    NoSuchPort,
    NotSupported,
    Port,
    StateUnusable,
)
from xapi.network.openvswitch.commands import OpenvswitchCommands
from xapi.network.plain import (
    bridge_from_plain,
    bridge_to_plain,
    controller_to_plain,
    port_from_plain,
    port_to_plain,
)
from xapi.network.rules import cards_of, check_uplink, root_of, users_of
from xapi.network.steps import Builder, Command, Step
from xapi.system.atomic_file import write_atomically
from xapi.system.command import CommandFailed, run

LOG = logging.getLogger("xapi.network")
SYSTEM = Path("/sys/class/net")
SECONDS = 60.0
Runner = Callable[[Command, str], str]


def run_command(command: Command, text: str = "") -> str:
    """Run one command with a standard input and answer what it wrote; raises CommandFailed."""
    return run(command, timeout=SECONDS, input=text.encode()).text


def open_bridge_driver(state_directory: Path, settings: Mapping[str, str]) -> NetworkDriver:
    """The driver for bridges of the Linux kernel."""
    return _open(state_directory, settings, BridgeCommands())


def open_openvswitch_driver(state_directory: Path, settings: Mapping[str, str]) -> NetworkDriver:
    """The driver for bridges of Open vSwitch."""
    return _open(state_directory, settings, OpenvswitchCommands())


def _open(state_directory: Path, settings: Mapping[str, str], builder: Builder) -> NetworkDriver:
    for key in settings:
        raise InvalidNetworkConfiguration(key, "this network driver has no settings")
    return HostNetwork(state_directory, builder)


class HostNetwork:
    """The NetworkDriver protocol on a real host. `cards` count as network cards even if they are none."""

    def __init__(
        self,
        directory: Path,
        builder: Builder,
        runner: Runner = run_command,
        system: Path = SYSTEM,
        cards: Collection[str] = (),
    ) -> None:
        self._path = directory / "bridges.json"
        self.builder = builder
        self._runner = runner
        self.system = system
        self._cards = cards
        self.lock = threading.RLock()
        self.configs: dict[str, BridgeConfig] = {}
        self.placed: dict[str, Port] = {}
        self.controller: ControllerTarget | None = None
        self._remember()
        self.hardware = HostHardware(self)
        self.bridges = HostBridges(self)
        self.ports = HostPorts(self)

    @property
    def backend(self) -> Backend:
        """What makes the bridges."""
        return self.builder.backend

    def set_controller(self, target: ControllerTarget | None) -> None:
        """Let an SDN controller steer all bridges, or none any more."""
        with self.lock:
            self.do("controller", self.builder.control(target))
            self.controller = target
            self.save()

    def configure(self, keys: Mapping[str, str]) -> None:
        """Take all run-time keys; none concerns a real host."""

    def close(self) -> None:
        """Let go of files; there are none."""

    def do(self, device: str, steps: Sequence[Step]) -> None:
        """Run commands one after the other; when one fails, undo those before it, and raise ConfigurationFailed."""
        done: list[Step] = []
        for step in steps:
            try:
                self._runner(step.do, step.text)
            except CommandFailed as error:
                for past in reversed(done):
                    self._undo(past)
                raise ConfigurationFailed(device, str(error)) from error
            done.append(step)

    def _undo(self, step: Step) -> None:
        if step.undo is None:
            return
        try:
            self._runner(step.undo, "")
        except CommandFailed as error:
            LOG.error("could not undo %s: %s", " ".join(step.do), error)

    def ask(self, command: Command) -> str:
        """What a command that changes nothing writes; raises ConfigurationFailed."""
        try:
            return self._runner(command, "")
        except CommandFailed as error:
            raise ConfigurationFailed(command[0], str(error)) from error

    def is_card(self, name: str) -> bool:
        """Whether an interface is a real card, which has a device of its own behind it."""
        return name in self._cards or (self.system / name / "device").exists()

    def interfaces(self) -> list[str]:
        """The names of all interfaces of the host."""
        try:
            return sorted(path.name for path in self.system.iterdir())
        except OSError as error:
            raise ConfigurationFailed(str(self.system), error.strerror or "cannot be read") from error

    def read(self, name: str, entry: str) -> str:
        """One fact that the kernel tells of an interface; empty when it has none, as a card that is down."""
        try:
            return (self.system / name / entry).read_text().strip()
        except OSError:
            return ""

    def save(self) -> None:
        """Remember what there is; raises StateUnusable."""
        content = {
            "bridges": [bridge_to_plain(config)["bridge"] for config in self.configs.values()],
            "ports": [port_to_plain(port)["port"] for port in self.placed.values()],
            **controller_to_plain(self.controller),
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, orjson.dumps(content))
        except OSError as error:
            raise StateUnusable(str(self._path), error.strerror or "cannot be written") from error

    def _remember(self) -> None:
        """Read what was there at the last change, as far as it still is: a host that was rebooted has none of it."""
        try:
            content: dict[str, Any] = orjson.loads(self._path.read_bytes())
            there = set(self.interfaces())
            self.configs = {one["name"]: bridge_from_plain(one) for one in content["bridges"] if one["name"] in there}
            ports = (port_from_plain(one) for one in content["ports"])
            self.placed = {port.name: port for port in ports if port.bridge in self.configs and port.name in there}
            target = content["controller"]
            self.controller = None if target is None else ControllerTarget(**target)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateUnusable(str(self._path), str(error)) from error


class HostHardware:
    """The Hardware protocol."""

    def __init__(self, network: HostNetwork) -> None:
        self._network = network

    def nics(self) -> tuple[Nic, ...]:
        """Every card that the kernel knows, by name."""
        network = self._network
        return tuple(self._nic(name) for name in network.interfaces() if network.is_card(name))

    def _nic(self, name: str) -> Nic:
        read = self._network.read
        speed, functions = _number(read(name, "speed")), _number(read(name, "device/sriov_totalvfs"))
        device = self._network.system / name / "device"
        return Nic(
            name=name,
            mac=read(name, "address").lower(),
            mtu=_number(read(name, "mtu")) or 1500,
            carrier=read(name, "carrier") == "1",
            speed=max(speed, 0),
            duplex=read(name, "duplex") == "full",
            pci_bus_path=os.path.basename(os.path.realpath(device)) if device.exists() else "",
            vendor_id=read(name, "device/vendor").removeprefix("0x"),
            device_id=read(name, "device/device").removeprefix("0x"),
            capabilities=("sriov",) if functions > 0 else (),
        )


class HostBridges:
    """The Bridges protocol."""

    def __init__(self, network: HostNetwork) -> None:
        self._network = network

    def bring_up(self, config: BridgeConfig) -> BridgeState:
        """Make the bridge what it should be; on any error it is as it was before, as far as that can be had."""
        network = self._network
        check_bridge(config, network.backend)
        with network.lock:
            before = network.configs.get(config.name)
            if before is None and config.name in network.interfaces():
                raise DeviceInUse(config.name, "an interface of that name")
            nics = [name for name in network.interfaces() if network.is_card(name)]
            check_uplink(config, network.configs, nics)
            if before != config:
                network.do(config.name, network.builder.bring_up(before, config))
                network.configs[config.name] = config
                network.save()
            return self._state(config)

    def take_down(self, name: str) -> None:
        """Remove the bridge and free its uplink; one that is not there is as good as removed."""
        network = self._network
        with network.lock:
            config = network.configs.get(name)
            if config is None:
                return
            users = users_of(name, network.configs, network.placed) or self._strangers(config)
            if users:
                raise BridgeInUse(name, users)
            network.do(name, network.builder.take_down(config))
            del network.configs[name]
            network.save()

    def _strangers(self, config: BridgeConfig) -> tuple[str, ...]:
        """The interfaces on a bridge of the kernel that are not its uplink: guests, or somebody's own."""
        try:
            found = {path.name for path in (self._network.system / config.name / "brif").iterdir()}
        except FileNotFoundError:
            return ()
        uplink = config.uplink
        return tuple(sorted(name for name in found if uplink is None or not name.startswith(uplink.device)))

    def get(self, name: str) -> BridgeState:
        """What the bridge is now."""
        with self._network.lock:
            config = self._network.configs.get(name)
            if config is None:
                raise NoSuchBridge(name)
            return self._state(config)

    def names(self) -> frozenset[str]:
        """The names of all bridges, those of the administrator included."""
        network = self._network
        with network.lock:
            kernel = (name for name in network.interfaces() if (network.system / name / "bridge").is_dir())
            return frozenset({*network.configs, *kernel})

    def _state(self, config: BridgeConfig) -> BridgeState:
        read = self._network.read
        cards = cards_of(root_of(config, self._network.configs).uplink)
        links = sum(read(card, "carrier") == "1" for card in cards)
        ipv4, ipv6 = self._addresses(config)
        mtu = _number(read(config.name, "mtu")) or config.mtu
        return BridgeState(config, mtu, links > 0 or config.uplink is None, links, ipv4, ipv6)

    def _addresses(self, config: BridgeConfig) -> tuple[Ipv4, Ipv6]:
        """The addresses in use, asked from the kernel where they came from outside."""
        outside = (AddressMode.DHCP, AddressMode.AUTOCONF)
        ipv4, ipv6 = config.ipv4, config.ipv6
        if ipv4.mode not in outside and ipv6.mode not in outside:
            return ipv4, ipv6
        ask = self._network.ask
        shown = orjson.loads(ask(("ip", "-json", "address", "show", "dev", config.name)))
        found = [one for link in shown for one in link.get("addr_info", ()) if one.get("scope") == "global"]
        if ipv4.mode in outside:
            mine = next((one for one in found if one["family"] == "inet"), None)
            routes = orjson.loads(ask(("ip", "-json", "route", "show", "default", "dev", config.name)) or "[]")
            gateway = next((route["gateway"] for route in routes if "gateway" in route), "")
            if mine is not None:
                netmask = str(IPv4Network((0, mine["prefixlen"])).netmask)
                ipv4 = Ipv4(ipv4.mode, mine["local"], netmask, gateway, ipv4.dns)
        if ipv6.mode in outside:
            given = tuple(f"{one['local']}/{one['prefixlen']}" for one in found if one["family"] == "inet6")
            ipv6 = Ipv6(ipv6.mode, given)
        return ipv4, ipv6


class HostPorts:
    """The Ports protocol."""

    def __init__(self, network: HostNetwork) -> None:
        self._network = network

    def attach(self, port: Port) -> None:
        """Put an interface on a bridge, or move it there."""
        network = self._network
        check_port(port)
        if port.trunks and network.backend is not Backend.OPENVSWITCH:
            raise NotSupported("a trunk of VLANs without Open vSwitch")
        with network.lock:
            if port.bridge not in network.bridges.names():
                raise NoSuchBridge(port.bridge)
            if network.is_card(port.name) or port.name in network.bridges.names():
                raise DeviceInUse(port.name, "a card or bridge of that name")
            before = network.placed.get(port.name)
            if before != port:
                network.do(port.name, network.builder.attach(before, port))
                network.placed[port.name] = port
                network.save()

    def detach(self, name: str) -> None:
        """Take an interface off its bridge."""
        network = self._network
        with network.lock:
            port = self._port(name)
            network.do(name, network.builder.detach(port))
            del network.placed[name]
            network.save()

    def set_filtering(
        self, name: str, filtering: Filtering, allowed_ipv4: tuple[str, ...], allowed_ipv6: tuple[str, ...]
    ) -> None:
        """Change which traffic a port may carry."""
        network = self._network
        check_allowed(allowed_ipv4, allowed_ipv6)
        with network.lock:
            port = self._port(name)
            changed = Port(
                port.name,
                port.bridge,
                port.kind,
                port.mac,
                port.mtu,
                filtering,
                allowed_ipv4,
                allowed_ipv6,
                port.trunks,
            )
            network.do(name, network.builder.filter(port, changed))
            network.placed[name] = changed
            network.save()

    def on(self, bridge: str) -> tuple[Port, ...]:
        """The ports of a bridge by name."""
        with self._network.lock:
            if bridge not in self._network.bridges.names():
                raise NoSuchBridge(bridge)
            found = (port for port in self._network.placed.values() if port.bridge == bridge)
            return tuple(sorted(found, key=lambda port: port.name))

    def _port(self, name: str) -> Port:
        port = self._network.placed.get(name)
        if port is None:
            raise NoSuchPort(name)
        return port


def _number(text: str) -> int:
    return int(text) if text.removeprefix("-").isdecimal() else 0
