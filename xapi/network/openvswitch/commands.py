"""The commands that make bridges of Open vSwitch; pure. One call of ovs-vsctl is done wholly or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from xapi.network.interface import (
    Backend,
    BondMode,
    BridgeConfig,
    Card,
    CardBond,
    ControllerTarget,
    Filtering,
    Ipv4,
    Ipv6,
    Overlay,
    Port,
    PortKind,
    TaggedTraffic,
    Uplink,
)
from xapi.network.steps import Command, Step, addressing, link

Clause = tuple[str, ...]


class OpenvswitchCommands:
    """The Builder for bridges of Open vSwitch."""

    backend = Backend.OPENVSWITCH

    def bring_up(self, before: BridgeConfig | None, after: BridgeConfig) -> tuple[Step, ...]:
        """From what a bridge is, or from none, to what it should be."""
        clauses: list[Clause] = []
        old = before.uplink if before is not None else None
        if old != after.uplink and before is not None and _is_tagged(old, after.uplink):
            clauses.append(("--if-exists", "del-br", after.name))
        elif old is not None and _port_of(old) != _port_of(after.uplink):
            clauses += _unplug(after.name, old)
        clauses += _make(after)
        undo = vsctl(("--if-exists", "del-br", after.name)) if before is None else vsctl(*_make(before))
        ups = [Step(link(card, "up")) for card in _cards(after.uplink)]
        return (Step(vsctl(*clauses), undo), *ups, Step(link(after.name, "up")), *addressing(before, after))

    def take_down(self, config: BridgeConfig) -> tuple[Step, ...]:
        """Away with a bridge; its uplink is free then."""
        stop = addressing(config, replace(config, ipv4=Ipv4(), ipv6=Ipv6()))
        return (*stop, Step(vsctl(("--if-exists", "del-br", config.name))))

    def attach(self, before: Port | None, after: Port) -> tuple[Step, ...]:
        """A port onto its bridge."""
        clauses: list[Clause] = [("--if-exists", "del-port", after.name), ("add-port", after.bridge, after.name)]
        if after.kind is PortKind.HOST:
            mac = (f'mac="{after.mac}"',) if after.mac else ()
            clauses.append(("set", "interface", after.name, "type=internal", *mac))
        if after.trunks:
            clauses.append(("set", "port", after.name, f"trunks={','.join(map(str, after.trunks))}"))
        clauses.append(("set", "interface", after.name, f"mtu_request={after.mtu}"))
        back = ("--if-exists", "del-port", after.name)
        undo = vsctl(back) if before is None else vsctl(back, ("add-port", before.bridge, before.name))
        moved = before is not None and before.bridge != after.bridge
        unfiltered = replace(after, filtering=Filtering.UNLOCKED)
        filters = self.filter(unfiltered if before is None or moved else before, after)
        return (Step(vsctl(*clauses), undo), Step(link(after.name, "up")), *filters)

    def detach(self, port: Port) -> tuple[Step, ...]:
        """A port off its bridge."""
        free = self.filter(port, replace(port, filtering=Filtering.UNLOCKED))
        return (*free, Step(vsctl(("--if-exists", "del-port", port.name))))

    def filter(self, before: Port, after: Port) -> tuple[Step, ...]:
        """What a port may carry, as flows of its bridge."""
        same = (before.filtering, before.allowed_ipv4, before.allowed_ipv6, before.mac) == (
            after.filtering,
            after.allowed_ipv4,
            after.allowed_ipv6,
            after.mac,
        )
        if same:
            return ()
        steps = [Step(("ovs-ofctl", "del-flows", after.bridge, f"in_port={after.name}"))]
        text = "".join(f"{flow}\n" for flow in flows(after))
        if text:
            steps.append(Step(("ovs-ofctl", "add-flows", after.bridge, "-"), text=text))
        return tuple(steps)

    def control(self, target: ControllerTarget | None) -> tuple[Step, ...]:
        """Who steers the bridges: the manager of all of them."""
        if target is None:
            return (Step(vsctl(("del-manager",))),)
        where = f"pssl:{target.port or 6632}" if target.passive else f"ssl:{target.address}:{target.port}"
        return (Step(vsctl(("set-manager", where)), vsctl(("del-manager",))),)


def vsctl(*clauses: Clause) -> Command:
    """One call of ovs-vsctl, which is one transaction."""
    return ("ovs-vsctl", "--timeout=20", *(word for clause in clauses for word in ("--", *clause)))


def _is_tagged(old: Uplink | None, new: Uplink | None) -> bool:
    """A bridge for one VLAN is a thing of its own kind: from and to it there is only a new beginning."""
    return isinstance(old, TaggedTraffic) or isinstance(new, TaggedTraffic)


def _cards(uplink: Uplink | None) -> tuple[str, ...]:
    match uplink:
        case Card(device=device):
            return (device,)
        case CardBond(members=members):
            return members
        case _:
            return ()


def _port_of(uplink: Uplink | None) -> str:
    return uplink.device if isinstance(uplink, Card | CardBond) else ""


def _unplug(bridge: str, uplink: Uplink) -> Iterable[Clause]:
    port = _port_of(uplink)
    return [("--if-exists", "del-port", bridge, port)] if port else []


def _make(config: BridgeConfig) -> list[Clause]:
    """The bridge with its uplink and settings, whether it is there or not."""
    name, uplink = config.name, config.uplink
    below = (uplink.parent, str(uplink.tag)) if isinstance(uplink, TaggedTraffic) else ()
    clauses: list[Clause] = [("--may-exist", "add-br", name, *below)]
    match uplink:
        case Card(device=device):
            clauses.append(("--may-exist", "add-port", name, device))
        case CardBond(device=device, members=members):
            # Another mode or another member is another port: there is no way to change both in place.
            clauses.append(("--if-exists", "del-port", name, device))
            clauses.append(("add-bond", name, device, *members, *bond_settings(uplink)))
        case Overlay(protocol=protocol):
            clauses.append(("br-set-external-id", name, "xapi-tunnel", protocol))
    if not below:
        if config.mac:
            clauses.append(("set", "bridge", name, f'other-config:hwaddr="{config.mac}"'))
        snooping = "true" if config.igmp_snooping else "false"
        clauses.append(("set", "bridge", name, f"mcast_snooping_enable={snooping}"))
    clauses.append(("set", "interface", name, f"mtu_request={config.mtu}"))
    clauses += [("set", "interface", card, f"mtu_request={config.mtu}") for card in _cards(uplink)]
    return clauses


def bond_settings(bond: CardBond) -> tuple[str, ...]:
    """The settings of a bond's port."""
    given = bond.properties
    if bond.mode is not BondMode.LACP:
        return (f"bond_mode={bond.mode}", "lacp=off")
    hashed = "balance-slb" if given.get("hashing_algorithm") == "src_mac" else "balance-tcp"
    kept = ("lacp-time", "lacp-fallback-ab")
    others = [f"other-config:{name}={given[name]}" for name in kept if name in given]
    if "lacp-aggregation-key" in given:
        others.append(f"other-config:lacp-aggregation-key={given['lacp-aggregation-key']}")
    return (f"bond_mode={hashed}", "lacp=active", *others)


def flows(port: Port) -> list[str]:
    """The flows of a port that is not unlocked: what is allowed goes its normal way, all else is dropped."""
    base = f"in_port={port.name}"
    if port.filtering is Filtering.UNLOCKED:
        return []
    found = [f"priority=9000,{base},actions=drop"]
    if port.filtering is Filtering.LOCKED:
        own = f"dl_src={port.mac}," if port.mac else ""
        for address in port.allowed_ipv4:
            found.append(f"priority=9100,{base},{own}ip,nw_src={address},actions=NORMAL")
            found.append(f"priority=9100,{base},{own}arp,arp_spa={address},actions=NORMAL")
        for address in port.allowed_ipv6:
            found.append(f"priority=9100,{base},{own}ipv6,ipv6_src={address},actions=NORMAL")
            found.append(f"priority=9100,{base},{own}icmp6,icmp_type=135,nd_target={address},actions=NORMAL")
    return found
