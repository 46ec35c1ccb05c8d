"""The commands that make bridges of the Linux kernel; pure.

A bond in `balance-slb` is one that hashes source address and VLAN, which the kernel's `balance-xor` does since 5.12.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from xapi.network.interface import (
    Backend,
    BondMode,
    BridgeConfig,
    Card,
    CardBond,
    ControllerTarget,
    Filtering,
    NotSupported,
    Overlay,
    Port,
    PortKind,
    TaggedTraffic,
    Uplink,
)
from xapi.network.steps import Step, addressing, ip, link

BOND_OPTIONS: Final[Mapping[BondMode, tuple[str, ...]]] = {
    BondMode.BALANCE_SLB: ("mode", "balance-xor", "xmit_hash_policy", "vlan+srcmac"),
    BondMode.ACTIVE_BACKUP: ("mode", "active-backup"),
    BondMode.LACP: ("mode", "802.3ad"),
}
HASHES: Final[Mapping[str, str]] = {"src_mac": "layer2", "tcpudp_ports": "layer3+4"}


class BridgeCommands:
    """The Builder for bridges of the kernel."""

    backend = Backend.BRIDGE

    def bring_up(self, before: BridgeConfig | None, after: BridgeConfig) -> tuple[Step, ...]:
        """From what a bridge is, or from none, to what it should be."""
        steps: list[Step] = []
        snooping = "1" if after.igmp_snooping else "0"
        if before is None:
            options = ("type", "bridge", "forward_delay", "0", "stp_state", "0", "mcast_snooping", snooping)
            steps.append(Step(ip("link", "add", "name", after.name, *options), _delete(after.name)))
        elif before.igmp_snooping != after.igmp_snooping:
            steps.append(Step(link(after.name, "type", "bridge", "mcast_snooping", snooping)))
        old = before.uplink if before is not None else None
        if old is not None and _wiring(old) != _wiring(after.uplink):
            steps += disconnect(old)
        if after.uplink is not None:
            if _wiring(old) != _wiring(after.uplink):
                steps += connect(after.uplink, after.name, after.mtu)
            elif before is not None and before.mtu != after.mtu:
                steps.append(Step(link(device_of(after.uplink), "mtu", str(after.mtu))))
            steps += _tune(before, after, after.uplink)
        if after.mac and (before is None or before.mac != after.mac):
            steps.append(Step(link(after.name, "address", after.mac)))
        if before is None or before.mtu != after.mtu:
            undo = link(after.name, "mtu", str(before.mtu)) if before is not None else None
            steps.append(Step(link(after.name, "mtu", str(after.mtu)), undo))
        steps.append(Step(link(after.name, "up")))
        return (*steps, *addressing(before, after))

    def take_down(self, config: BridgeConfig) -> tuple[Step, ...]:
        """Away with a bridge; its uplink is free then."""
        without = replace(config, ipv4=type(config.ipv4)(), ipv6=type(config.ipv6)())
        gone = disconnect(config.uplink) if config.uplink is not None else []
        return (*addressing(config, without), *gone, Step(_delete(config.name)))

    def attach(self, before: Port | None, after: Port) -> tuple[Step, ...]:
        """A port onto its bridge; the host's own end of a HOST port has the same name with an `h` before it."""
        steps: list[Step] = []
        if after.trunks:
            raise NotSupported("a trunk of VLANs without Open vSwitch")
        if before is None and after.kind is PortKind.HOST:
            inner = host_end(after.name)
            peer = ("type", "veth", "peer", "name", inner)
            steps.append(Step(ip("link", "add", "name", after.name, *peer), _delete(after.name)))
            if after.mac:
                steps.append(Step(link(inner, "address", after.mac)))
            steps.append(Step(link(inner, "mtu", str(after.mtu), "up")))
        steps.append(Step(link(after.name, "mtu", str(after.mtu))))
        back = link(after.name, "nomaster") if before is None else link(after.name, "master", before.bridge)
        steps.append(Step(link(after.name, "master", after.bridge), back))
        steps.append(Step(link(after.name, "up")))
        return (*steps, *self.filter(before or replace(after, filtering=Filtering.UNLOCKED), after))

    def detach(self, port: Port) -> tuple[Step, ...]:
        """A port off its bridge."""
        gone = Step(_delete(port.name) if port.kind is PortKind.HOST else link(port.name, "nomaster"))
        return (*self.filter(port, replace(port, filtering=Filtering.UNLOCKED)), gone)

    def filter(self, before: Port, after: Port) -> tuple[Step, ...]:
        """What a port may carry, as a chain of nftables of its own."""
        if _filter_of(before) == _filter_of(after):
            return ()
        return (Step(("nft", "-f", "-"), text=rules(before, after)),)

    def control(self, target: ControllerTarget | None) -> tuple[Step, ...]:
        """The kernel's bridges cannot be steered."""
        if target is not None:
            raise NotSupported("an SDN controller without Open vSwitch")
        return ()


def _delete(device: str) -> tuple[str, ...]:
    return ip("link", "delete", "dev", device)


def host_end(name: str) -> str:
    """The host's own end of a HOST port, within the longest name that there may be."""
    return f"h{name}"[:15]


def device_of(uplink: Uplink) -> str:
    """The interface that stands on the bridge for an uplink."""
    return f"{uplink.device}.{uplink.tag}" if isinstance(uplink, TaggedTraffic) else uplink.device


def _wiring(uplink: Uplink | None) -> Uplink | None:
    """What of an uplink cannot be changed in place."""
    return replace(uplink, properties={}) if isinstance(uplink, Card) else uplink


def connect(uplink: Uplink, bridge: str, mtu: int) -> list[Step]:
    """An uplink onto a bridge."""
    device = device_of(uplink)
    steps: list[Step] = []
    match uplink:
        case Overlay():
            raise NotSupported("a tunnel without Open vSwitch")
        case TaggedTraffic(device=below, tag=tag):
            made = ip("link", "add", "link", below, "name", device, "type", "vlan", "id", str(tag))
            steps.append(Step(made, _delete(device)))
        case CardBond(members=members):
            made = ip("link", "add", "name", device, "type", "bond", *bond_options(uplink), "miimon", "100")
            steps.append(Step(made, _delete(device)))
            for member in members:
                steps.append(Step(link(member, "down")))
                steps.append(Step(link(member, "master", device), link(member, "nomaster")))
    steps.append(Step(link(device, "mtu", str(mtu))))
    steps.append(Step(link(device, "master", bridge), link(device, "nomaster")))
    steps.append(Step(link(device, "up")))
    return steps


def disconnect(uplink: Uplink) -> list[Step]:
    """An uplink off its bridge; what was made for it goes."""
    if isinstance(uplink, Card):
        return [Step(link(uplink.device, "nomaster"))]
    return [Step(_delete(device_of(uplink)))]


def bond_options(bond: CardBond) -> tuple[str, ...]:
    """The kernel's options for a bond's mode."""
    options = BOND_OPTIONS[bond.mode]
    if bond.mode is not BondMode.LACP:
        return options
    given = bond.properties
    rate = given.get("lacp-time", "slow")
    key = ("ad_user_port_key", given["lacp-aggregation-key"]) if "lacp-aggregation-key" in given else ()
    hashed = HASHES.get(given.get("hashing_algorithm", ""), "layer3+4")
    return (*options, "lacp_rate", rate, "xmit_hash_policy", hashed, *key)


def _tune(before: BridgeConfig | None, after: BridgeConfig, uplink: Uplink) -> list[Step]:
    """Settings of the cards that differ from before, or from what a card has by itself."""
    old = before.uplink if before is not None else None
    usual = old.properties if isinstance(old, Card) else {"gro": "on"}
    steps: list[Step] = []
    if isinstance(uplink, Card):
        for name, value in uplink.properties.items():
            if usual.get(name) != value:
                steps.append(Step(("ethtool", "-K", uplink.device, name, value)))
    known = before.ethtool if before is not None else {}
    changed = {name: value for name, value in after.ethtool.items() if known.get(name) != value}
    speeds = [word for name in ("speed", "duplex", "autoneg") if name in changed for word in (name, changed[name])]
    if speeds:
        steps.append(Step(("ethtool", "-s", device_of(uplink), *speeds)))
    for name, value in changed.items():
        if name not in ("speed", "duplex", "autoneg"):
            steps.append(Step(("ethtool", "-K", device_of(uplink), name, value)))
    return steps


def _filter_of(port: Port) -> tuple[object, ...]:
    if port.filtering is not Filtering.LOCKED:
        return (port.filtering,)
    return (port.filtering, port.mac, port.allowed_ipv4, port.allowed_ipv6)


def rules(before: Port, after: Port) -> str:
    """The nftables script from one filter to another; a port without a filter has no chain."""
    chain = f"port-{after.name}"
    lines = [
        "add table bridge xapi",
        "add map bridge xapi ports { type ifname : verdict; }",
        "add chain bridge xapi ingress { type filter hook prerouting priority 0; policy accept; }",
        "flush chain bridge xapi ingress",
        "add rule bridge xapi ingress iifname vmap @ports",
    ]
    if before.filtering is not Filtering.UNLOCKED:
        lines.append(f'delete element bridge xapi ports {{ "{after.name}" }}')
        lines.append(f"flush chain bridge xapi {chain}")
        lines.append(f"delete chain bridge xapi {chain}")
    if after.filtering is not Filtering.UNLOCKED:
        lines.append(f"add chain bridge xapi {chain}")
        lines += [f"add rule bridge xapi {chain} {rule}" for rule in _verdicts(after)]
        lines.append(f'add element bridge xapi ports {{ "{after.name}" : jump {chain} }}')
    return "\n".join(lines) + "\n"


def _verdicts(port: Port) -> list[str]:
    if port.filtering is Filtering.DISABLED:
        return ["drop"]
    found = [f"ether saddr != {port.mac} drop"] if port.mac else []
    if port.allowed_ipv4:
        allowed = ", ".join(port.allowed_ipv4)
        found.append(f"ip saddr {{ {allowed} }} accept")
        found.append(f"arp saddr ip {{ {allowed} }} accept")
    if port.allowed_ipv6:
        found.append(f"ip6 saddr {{ {', '.join(port.allowed_ipv6)} }} accept")
    return [*found, "drop"]
