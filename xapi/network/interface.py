"""What a network driver takes and gives: narrow Protocols, the values that they use, and the errors that they raise.

A *bridge* is a virtual switch of this host, by its name; an *uplink* is what ties it to the world: a card, a bond of
cards, one VLAN of another bridge's uplink, or a tunnel over another bridge. A *port* is an interface on a bridge that
is not its uplink: a guest's card, or an interface of the host itself. Speeds are Mbit/s, MTUs bytes. A driver knows
no session, no database, no task and no environment variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

LONGEST_NAME = 15  # IFNAMSIZ of Linux, less its closing NUL
HIGHEST_TAG = 4094  # 802.1Q keeps 4095 for itself


class Backend(StrEnum):
    """What makes the bridges, in the words of XenAPI's `network_backend`."""

    BRIDGE = "bridge"
    OPENVSWITCH = "openvswitch"


class AddressMode(StrEnum):
    """How the host gets its address on a bridge."""

    NONE = "None"
    STATIC = "Static"
    DHCP = "DHCP"
    AUTOCONF = "Autoconf"


class BondMode(StrEnum):
    """How a bond spreads its traffic."""

    BALANCE_SLB = "balance-slb"
    ACTIVE_BACKUP = "active-backup"
    LACP = "lacp"


class TunnelProtocol(StrEnum):
    """How a tunnel wraps its packets."""

    GRE = "gre"
    VXLAN = "vxlan"


class PortKind(StrEnum):
    """Who makes a port's interface: the hypervisor for a guest, or the network driver for the host itself."""

    GUEST = "guest"
    HOST = "host"


class Filtering(StrEnum):
    """Which traffic a port may carry."""

    UNLOCKED = "unlocked"
    LOCKED = "locked"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Nic:
    """One network card of the host; a speed of 0 is not known."""

    name: str
    mac: str
    mtu: int = 1500
    carrier: bool = True
    speed: int = 0
    duplex: bool = False
    pci_bus_path: str = ""
    vendor_id: str = ""
    vendor_name: str = ""
    device_id: str = ""
    device_name: str = ""
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """An uplink that is one card; `properties` are on/off settings such as `gro`."""

    device: str
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CardBond:
    """An uplink of several cards; `properties` are those of the mode (`hashing_algorithm`, `lacp-time` …)."""

    device: str
    members: tuple[str, ...]
    mode: BondMode = BondMode.BALANCE_SLB
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaggedTraffic:
    """An uplink that is one VLAN of what the bridge `parent` has as its own uplink, `device`."""

    parent: str
    device: str
    tag: int


@dataclass(frozen=True, slots=True)
class Overlay:
    """An uplink of wrapped packets that travel over the bridge `parent`; an SDN controller says where to."""

    parent: str
    device: str
    protocol: TunnelProtocol = TunnelProtocol.GRE


Uplink = Card | CardBond | TaggedTraffic | Overlay


@dataclass(frozen=True, slots=True)
class Ipv4:
    """The host's IPv4 address on a bridge; the fields count in Static mode only, `dns` also in others."""

    mode: AddressMode = AddressMode.NONE
    address: str = ""
    netmask: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ipv6:
    """The host's IPv6 addresses on a bridge, each with its prefix length."""

    mode: AddressMode = AddressMode.NONE
    addresses: tuple[str, ...] = ()
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """What a bridge should be. Without an uplink it joins what is on this host only.

    `ethtool` are settings such as `speed`, `duplex`, `autoneg` and offloads for the uplink.
    """

    name: str
    uplink: Uplink | None = None
    mac: str = ""
    mtu: int = 1500
    ipv4: Ipv4 = field(default_factory=Ipv4)
    ipv6: Ipv6 = field(default_factory=Ipv6)
    igmp_snooping: bool = False
    ethtool: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BridgeState:
    """What a bridge is: the addresses are those in use, from wherever they came; `links_up` counts a bond's links."""

    config: BridgeConfig
    mtu: int
    carrier: bool
    links_up: int
    ipv4: Ipv4
    ipv6: Ipv6


@dataclass(frozen=True, slots=True)
class Port:
    """An interface on a bridge; the allowed addresses count when it is locked, `trunks` are tags that pass."""

    name: str
    bridge: str
    kind: PortKind = PortKind.GUEST
    mac: str = ""
    mtu: int = 1500
    filtering: Filtering = Filtering.UNLOCKED
    allowed_ipv4: tuple[str, ...] = ()
    allowed_ipv6: tuple[str, ...] = ()
    trunks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ControllerTarget:
    """An SDN controller: the switches connect to its address and port by TLS, or wait for it when `passive`."""

    passive: bool = False
    address: str = ""
    port: int = 6632


class NetworkError(Exception):
    """Every refusal or failure of a network driver is one of these."""


class InvalidNetworkConfiguration(NetworkError):
    """What was asked for contradicts itself or the kernel's rules; `field` names the culprit."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class NoSuchNic(NetworkError):
    """The host has no card of this name."""

    def __init__(self, device: str) -> None:
        super().__init__(f"the host has no card {device}")
        self.device = device


class NoSuchBridge(NetworkError):
    """The host has no bridge of this name."""

    def __init__(self, bridge: str) -> None:
        super().__init__(f"the host has no bridge {bridge}")
        self.bridge = bridge


class NoSuchPort(NetworkError):
    """No bridge has a port of this name."""

    def __init__(self, port: str) -> None:
        super().__init__(f"no bridge has a port {port}")
        self.port = port


class BridgeInUse(NetworkError):
    """The bridge cannot go: `users` are ports on it, or bridges above it."""

    def __init__(self, bridge: str, users: tuple[str, ...]) -> None:
        super().__init__(f"bridge {bridge} is used by {', '.join(users)}")
        self.bridge = bridge
        self.users = users


class DeviceInUse(NetworkError):
    """A card, VLAN or port belongs to another bridge or bond already."""

    def __init__(self, device: str, user: str) -> None:
        super().__init__(f"{device} is used by {user}")
        self.device = device
        self.user = user


class NotSupported(NetworkError):
    """This driver or its backend cannot do it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not supported here")
        self.what = what


class ConfigurationFailed(NetworkError):
    """The host could not do what was asked, though nothing was wrong with it; `why` is what the system said."""

    def __init__(self, device: str, why: str) -> None:
        super().__init__(f"{device}: {why}")
        self.device = device
        self.why = why


class StateUnusable(NetworkError):
    """The driver's own memory cannot be read or written."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class Hardware(Protocol):
    """The cards of the host."""

    def nics(self) -> tuple[Nic, ...]:
        """Every real network card, by name; none that a bond, a bridge or a hypervisor has made."""


class Bridges(Protocol):
    """Bridges come and go."""

    def bring_up(self, config: BridgeConfig) -> BridgeState:
        """Make the bridge what it should be, whether it is there or not; on any error it is as it was before.

        Raises NoSuchNic, NoSuchBridge for a missing parent, DeviceInUse when the uplink belongs to another bridge,
        InvalidNetworkConfiguration, NotSupported, ConfigurationFailed.
        """

    def take_down(self, name: str) -> None:
        """Remove the bridge and free its uplink; one that is not there is as good as removed.

        Raises BridgeInUse while there are ports on it, or bridges that have it as their parent.
        """

    def get(self, name: str) -> BridgeState:
        """What the bridge is now; raises NoSuchBridge."""

    def names(self) -> frozenset[str]:
        """The names of all bridges, those of the administrator included."""


class Ports(Protocol):
    """Interfaces on bridges."""

    def attach(self, port: Port) -> None:
        """Put an interface on a bridge, or move it there; a HOST port is made if need be.

        Raises NoSuchBridge, DeviceInUse when the name is that of a card, and NotSupported.
        """

    def detach(self, name: str) -> None:
        """Take an interface off its bridge, and remove it if it is a HOST port; raises NoSuchPort."""

    def set_filtering(
        self, name: str, filtering: Filtering, allowed_ipv4: tuple[str, ...], allowed_ipv6: tuple[str, ...]
    ) -> None:
        """Change which traffic a port may carry; raises NoSuchPort."""

    def on(self, bridge: str) -> tuple[Port, ...]:
        """The ports of a bridge by name; raises NoSuchBridge."""


class NetworkDriver(Protocol):
    """One driver: what it is and its parts."""

    @property
    def backend(self) -> Backend:
        """What makes the bridges."""

    @property
    def hardware(self) -> Hardware:
        """The cards are found here."""

    @property
    def bridges(self) -> Bridges:
        """Bridges are made here."""

    @property
    def ports(self) -> Ports:
        """Interfaces are put on bridges here."""

    def set_controller(self, target: ControllerTarget | None) -> None:
        """Let an SDN controller steer all bridges, or none any more; raises NotSupported without Open vSwitch."""

    def configure(self, keys: Mapping[str, str]) -> None:
        """Take all run-time keys (of host.other_config) at each call; raises InvalidNetworkConfiguration."""

    def close(self) -> None:
        """Let go of files; bridges live on."""
