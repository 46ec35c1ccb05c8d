"""XenAPI's class PIF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.errors import (
    CLUSTERING_ENABLED,
    HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN,
    OTHER_OPERATION_IN_PROGRESS,
    PIF_DOES_NOT_ALLOW_UNPLUG,
    PIF_HAS_FCOE_SR_IN_USE,
    PIF_IS_PHYSICAL,
    PIF_TUNNEL_STILL_EXISTS,
    TRANSPORT_PIF_NOT_CONFIGURED,
    VIF_IN_USE,
    VLAN_TAG_INVALID,
)
from xapi.datamodel.model import (
    NOTHING,
    NULL,
    RW,
    DynamicRO,
    Entity,
    Map,
    Ref,
    SetOf,
    StaticRO,
    field,
    identity,
    many,
    message,
)
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.bond import Bond
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.network import Network
    from xapi.datamodel.classes.network_sriov import NetworkSriov
    from xapi.datamodel.classes.pif_metrics import PIFMetrics
    from xapi.datamodel.classes.tunnel import Tunnel
    from xapi.datamodel.classes.vlan import VLAN


class IpConfigurationMode(WireEnum):
    """Where an interface gets its IPv4 address: nowhere, from a DHCP server or from fixed settings."""

    NONE = "None"
    DHCP = "DHCP"
    STATIC = "Static"


class Ipv6ConfigurationMode(WireEnum):
    """Where an interface gets IPv6 addresses: nowhere, DHCP, fixed settings or router advertisements."""

    NONE = "None"
    DHCP = "DHCP"
    STATIC = "Static"
    AUTOCONF = "Autoconf"


class PifIgmpStatus(WireEnum):
    """Whether multicast filtering by IGMP snooping is on, off or not known."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    UNKNOWN = "unknown"


class PrimaryAddressType(WireEnum):
    """Address family that an interface prefers."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class PIF(Entity, role=POOL_OPERATOR):
    """A host's network interface, physical or built on others as a bond, VLAN or tunnel."""

    uuid: DynamicRO[str] = identity()
    device: StaticRO[str] = field("interface name in the host's control domain, for instance 'eth0'")
    network: StaticRO[Ref[Network]] = field("network the interface carries")
    host: StaticRO[Ref[Host]] = field("host the interface belongs to")
    MAC: StaticRO[str] = field("Ethernet address as six hexadecimal pairs")
    MTU: StaticRO[int] = field("largest packet in bytes")
    VLAN: StaticRO[int] = field("tag of the VLAN this interface gives access to, or -1 for untagged traffic")
    device_name: RW[str] = field(
        "deprecated copy of the interface name kept for the toolstack's own use", internal=True
    )
    metrics: DynamicRO[Ref[PIFMetrics]] = field("link state and hardware description of the interface")
    physical: DynamicRO[bool] = field(
        "true for a real network card, false for a bond, VLAN, tunnel or the like", default=False, since="miami"
    )
    currently_attached: DynamicRO[bool] = field(
        "true while the interface is up on its host", default=True, since="miami"
    )
    ip_configuration_mode: DynamicRO[IpConfigurationMode] = field(
        "how the host obtains an IPv4 address on this interface", default=IpConfigurationMode.NONE, since="miami"
    )
    IP: DynamicRO[str] = field("IPv4 address in use, or empty", default="", since="miami")
    netmask: DynamicRO[str] = field("IPv4 netmask in dotted form, or empty", default="", since="miami")
    gateway: DynamicRO[str] = field("IPv4 default gateway, or empty", default="", since="miami")
    DNS: DynamicRO[str] = field("comma-separated addresses of name servers, or empty", default="", since="miami")
    bond_slave_of: DynamicRO[Ref[Bond]] = field(
        "bond in which this interface is a member, or null", default=NULL, since="miami"
    )
    bond_master_of: DynamicRO[SetOf[Ref[Bond]]] = many(
        "Bond.master", "bond for which this interface stands as a whole, if any", since="miami"
    )
    VLAN_master_of: DynamicRO[Ref[classes.VLAN]] = field(
        "VLAN whose untagged side this interface is, or null", default=NULL, since="miami"
    )
    VLAN_slave_of: DynamicRO[SetOf[Ref[classes.VLAN]]] = many(
        "VLAN.tagged_PIF", "VLANs whose tagged traffic runs over this interface", since="miami"
    )
    management: DynamicRO[bool] = field(
        "true if the host's API and pool traffic use this interface", default=False, since="miami"
    )
    other_config: RW[Map[str, str]] = field(
        "free settings of clients and toolstack, such as ethtool options", default={}, since="miami"
    )
    disallow_unplug: DynamicRO[bool] = field(
        "true if the interface must stay up, for instance because storage depends on it", default=False, since="orlando"
    )
    tunnel_access_PIF_of: DynamicRO[SetOf[Ref[Tunnel]]] = many(
        "tunnel.access_PIF", "tunnel to which this interface gives access, if any", since="cowley"
    )
    tunnel_transport_PIF_of: DynamicRO[SetOf[Ref[Tunnel]]] = many(
        "tunnel.transport_PIF", "tunnels whose encapsulated traffic runs over this interface", since="cowley"
    )
    ipv6_configuration_mode: DynamicRO[Ipv6ConfigurationMode] = field(
        "how the host obtains an IPv6 address on this interface", default=Ipv6ConfigurationMode.NONE, since="tampa"
    )
    IPv6: DynamicRO[SetOf[str]] = field("IPv6 addresses in use, each with its prefix length", default=(), since="tampa")
    ipv6_gateway: DynamicRO[str] = field("IPv6 default gateway, or empty", default="", since="tampa")
    primary_address_type: DynamicRO[PrimaryAddressType] = field(
        "address family the host prefers on this interface, decisive for management",
        default=PrimaryAddressType.IPV4,
        since="tampa",
    )
    managed: StaticRO[bool] = field(
        "false if the toolstack leaves the interface to the administrator's own configuration",
        default=True,
        since="vgpu-productisation",
    )
    properties: DynamicRO[Map[str, str]] = field(
        "low-level settings such as 'gro', each 'on' or 'off'", default={}, since="creedence"
    )
    capabilities: DynamicRO[SetOf[str]] = field(
        "abilities of the hardware, such as 'sriov' or 'fcoe'", default=(), since="dundee"
    )
    igmp_snooping_status: DynamicRO[PifIgmpStatus] = field(
        "whether the bridge filters multicast by watching IGMP", default=PifIgmpStatus.UNKNOWN, since="inverness"
    )
    sriov_physical_PIF_of: DynamicRO[SetOf[Ref[NetworkSriov]]] = many(
        "network_sriov.physical_PIF",
        "SR-IOV set-up for which this interface supplies the hardware, if any",
        since="kolkata",
    )
    sriov_logical_PIF_of: DynamicRO[SetOf[Ref[NetworkSriov]]] = many(
        "network_sriov.logical_PIF",
        "SR-IOV set-up for which this interface is the network's side, if any",
        since="kolkata",
    )
    PCI: DynamicRO[Ref[classes.PCI]] = field("PCI device behind the interface, or null", default=NULL, since="kolkata")


@message(PIF, errors=(VLAN_TAG_INVALID,), since="published rio, deprecated miami")
def create_VLAN(device: str, network: Ref[Network], host: Ref[Host], VLAN: int) -> Ref[PIF]:
    """Create a VLAN on the named device of a host; deprecated in favour of VLAN.create."""


@message(PIF, errors=(PIF_IS_PHYSICAL,), since="published rio, deprecated miami")
def destroy(self: Ref[PIF]) -> None:
    """Remove the interface of a VLAN; deprecated in favour of VLAN.destroy and Bond.destroy."""


@message(PIF, errors=(CLUSTERING_ENABLED,), since="miami")
def reconfigure_ip(self: Ref[PIF], mode: IpConfigurationMode, IP: str, netmask: str, gateway: str, DNS: str) -> None:
    """Change how the host gets its IPv4 address here and apply the change at once if it is up.

    Address, netmask and gateway count only in Static mode. Clients lose contact if it is the management interface.
    """


@message(PIF, errors=(CLUSTERING_ENABLED,), since="tampa")
def reconfigure_ipv6(self: Ref[PIF], mode: Ipv6ConfigurationMode, IPv6: str, gateway: str, DNS: str) -> None:
    """Change how the host gets its IPv6 address here and apply the change at once if it is up.

    In Static mode the address is given with its prefix length. Clients may lose contact on the management
    interface.
    """


@message(PIF, since="tampa")
def set_primary_address_type(self: Ref[PIF], primary_address_type: PrimaryAddressType) -> None:
    """Choose the address family the host prefers on this interface.

    On the management interface that family must have an address.
    """


@message(PIF, since="miami")
def scan(host: Ref[Host]) -> None:
    """Look for network cards on the host and add records for the new ones."""


@message(PIF, since="miami", param_since={"managed": "vgpu-productisation"})
def introduce(host: Ref[Host], MAC: str, device: str, managed: bool = True) -> Ref[PIF]:
    """Add the record of a network card found by its MAC address, on a network of its own.

    An empty device name lets the host find the name. An unmanaged PIF is left alone by the toolstack.
    """


@message(PIF, errors=(PIF_TUNNEL_STILL_EXISTS, CLUSTERING_ENABLED), since="miami")
def forget(self: Ref[PIF]) -> None:
    """Drop the record of a network card and bring it down.

    Refused for the management interface and for members or carriers of bonds, VLANs and tunnels.
    """


@message(
    PIF,
    errors=(HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN, VIF_IN_USE, PIF_DOES_NOT_ALLOW_UNPLUG, PIF_HAS_FCOE_SR_IN_USE),
    since="miami",
)
def unplug(self: Ref[PIF]) -> None:
    """Bring the interface down on its host.

    Refused for the management interface, when unplugging is forbidden, or if the failover plan of HA would break.
    """


@message(PIF, errors=(OTHER_OPERATION_IN_PROGRESS, CLUSTERING_ENABLED), since="orlando")
def set_disallow_unplug(self: Ref[PIF], value: bool) -> None:
    """Forbid or permit bringing the interface down."""


@message(PIF, errors=(TRANSPORT_PIF_NOT_CONFIGURED,), since="miami")
def plug(self: Ref[PIF]) -> None:
    """Bring the interface up on its host, along with what it is built on."""


@message(
    PIF,
    hidden=True,
    param_since={
        "device": "miami",
        "network": "miami",
        "host": "miami",
        "MAC": "miami",
        "MTU": "miami",
        "VLAN": "miami",
        "physical": "miami",
        "ip_configuration_mode": "miami",
        "IP": "miami",
        "netmask": "miami",
        "gateway": "miami",
        "DNS": "miami",
        "bond_slave_of": "miami",
        "VLAN_master_of": "miami",
        "management": "miami",
        "other_config": "miami",
        "disallow_unplug": "orlando",
        "ipv6_configuration_mode": "boston",
        "IPv6": "boston",
        "ipv6_gateway": "boston",
        "primary_address_type": "boston",
        "managed": "vgpu-productisation",
        "properties": "creedence",
    },
)
def pool_introduce(
    device: str,
    network: Ref[Network],
    host: Ref[Host],
    MAC: str,
    MTU: int,
    VLAN: int,
    physical: bool,
    ip_configuration_mode: IpConfigurationMode,
    IP: str,
    netmask: str,
    gateway: str,
    DNS: str,
    bond_slave_of: Ref[Bond],
    VLAN_master_of: Ref[VLAN],
    management: bool,
    other_config: Map[str, str],
    disallow_unplug: bool = False,
    ipv6_configuration_mode: Ipv6ConfigurationMode = Ipv6ConfigurationMode.NONE,
    IPv6: SetOf[str] = (),
    ipv6_gateway: str = "",
    primary_address_type: PrimaryAddressType = PrimaryAddressType.IPV4,
    managed: bool = True,
    properties: Map[str, str] = NOTHING,
) -> Ref[PIF]:
    """Add an interface's record with all values given; used while a host joins a pool."""


@message(
    PIF,
    since="orlando",
    param_since={
        "ipv6_configuration_mode": "boston",
        "IPv6": "boston",
        "ipv6_gateway": "boston",
        "primary_address_type": "boston",
        "managed": "vgpu-productisation",
        "properties": "creedence",
    },
)
def db_introduce(
    device: str,
    network: Ref[Network],
    host: Ref[Host],
    MAC: str,
    MTU: int,
    VLAN: int,
    physical: bool,
    ip_configuration_mode: IpConfigurationMode,
    IP: str,
    netmask: str,
    gateway: str,
    DNS: str,
    bond_slave_of: Ref[Bond],
    VLAN_master_of: Ref[VLAN],
    management: bool,
    other_config: Map[str, str],
    disallow_unplug: bool = False,
    ipv6_configuration_mode: Ipv6ConfigurationMode = Ipv6ConfigurationMode.NONE,
    IPv6: SetOf[str] = (),
    ipv6_gateway: str = "",
    primary_address_type: PrimaryAddressType = PrimaryAddressType.IPV4,
    managed: bool = True,
    properties: Map[str, str] = NOTHING,
) -> Ref[PIF]:
    """Create only the database record of an interface, without touching the host."""


@message(PIF, since="orlando")
def db_forget(self: Ref[PIF]) -> None:
    """Remove only the database record of an interface, without touching the host."""


@message(PIF, since="creedence")
def set_property(self: Ref[PIF], name: str, value: str) -> None:
    """Set one low-level setting, such as 'gro', and apply it to the interface.

    Only unbonded physical PIFs and whole bonds can be changed; an unknown name or value is refused.
    """
