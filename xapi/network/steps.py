"""Commands as data: what is to be run, and what undoes it. Building them is pure; `host_driver` runs them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Protocol

from xapi.network.interface import (
    AddressMode,
    Backend,
    BridgeConfig,
    ControllerTarget,
    Ipv4,
    Ipv6,
    Port,
)

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One command, its standard input, and the command that takes it back; None where there is nothing to take back."""

    do: Command
    undo: Command | None = None
    text: str = ""


class Builder(Protocol):
    """The commands of one kind of bridge."""

    @property
    def backend(self) -> Backend:
        """Which kind."""

    def bring_up(self, before: BridgeConfig | None, after: BridgeConfig) -> tuple[Step, ...]:
        """From what a bridge is, or from none, to what it should be."""

    def take_down(self, config: BridgeConfig) -> tuple[Step, ...]:
        """Away with a bridge; its uplink is free then."""

    def attach(self, before: Port | None, after: Port) -> tuple[Step, ...]:
        """A port onto its bridge."""

    def detach(self, port: Port) -> tuple[Step, ...]:
        """A port off its bridge."""

    def filter(self, before: Port, after: Port) -> tuple[Step, ...]:
        """What a port may carry."""

    def control(self, target: ControllerTarget | None) -> tuple[Step, ...]:
        """Who steers the bridges."""


def ip(*words: str) -> Command:
    """One call of iproute2."""
    return ("ip", *words)


def link(device: str, *words: str) -> Command:
    """One change of an interface."""
    return ip("link", "set", "dev", device, *words)


def addressing(before: BridgeConfig | None, after: BridgeConfig) -> tuple[Step, ...]:
    """The host's own addresses on a bridge, where they differ from before."""
    old4, old6 = (Ipv4(), Ipv6()) if before is None else (before.ipv4, before.ipv6)
    steps: list[Step] = []
    if old4 != after.ipv4:
        steps += _stop_ipv4(after.name, old4)
        steps += _start_ipv4(after.name, after.ipv4)
    if old6 != after.ipv6:
        if old6.mode is not AddressMode.NONE:
            steps.append(Step(ip("-6", "address", "flush", "dev", after.name, "scope", "global")))
        steps += _start_ipv6(after.name, after.ipv6)
    return tuple(steps)


def _stop_ipv4(name: str, old: Ipv4) -> list[Step]:
    if old.mode is AddressMode.NONE:
        return []
    flush = Step(ip("-4", "address", "flush", "dev", name, "scope", "global"))
    if old.mode is AddressMode.DHCP:
        return [Step(_dhclient(name, "-r")), flush]
    return [flush]


def _dhclient(name: str, *options: str) -> Command:
    files = ("-pf", f"/run/xapi-dhclient-{name}.pid", "-lf", f"/var/lib/dhcp/xapi-{name}.leases")
    return ("dhclient", *options, *files, name)


def _start_ipv4(name: str, wanted: Ipv4) -> list[Step]:
    if wanted.mode is AddressMode.DHCP:
        return [Step(_dhclient(name, "-1"), _dhclient(name, "-r"))]
    if wanted.mode is not AddressMode.STATIC:
        return []
    address = str(IPv4Interface(f"{wanted.address}/{wanted.netmask}"))
    drop = ip("address", "delete", address, "dev", name)
    steps = [Step(ip("address", "replace", address, "dev", name), drop)]
    if wanted.gateway:
        steps.append(Step(ip("route", "replace", "default", "via", wanted.gateway, "dev", name)))
    return steps


def _start_ipv6(name: str, wanted: Ipv6) -> list[Step]:
    match wanted.mode:
        case AddressMode.STATIC:
            steps = [
                Step(
                    ip("-6", "address", "replace", address, "dev", name),
                    ip("-6", "address", "delete", address, "dev", name),
                )
                for address in wanted.addresses
            ]
            if wanted.gateway:
                steps.append(Step(ip("-6", "route", "replace", "default", "via", wanted.gateway, "dev", name)))
            return steps
        case AddressMode.AUTOCONF:
            return [Step(("sysctl", "-q", "-w", f"net.ipv6.conf.{name}.accept_ra=2"))]
        case AddressMode.DHCP:
            return [Step(_dhclient(name, "-6", "-1"), _dhclient(name, "-6", "-r"))]
        case _:
            return []
