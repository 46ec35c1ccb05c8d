"""What every network driver refuses before it touches anything."""

from __future__ import annotations

import ipaddress
import re

from xapi.network.interface import (
    HIGHEST_TAG,
    LONGEST_NAME,
    AddressMode,
    Backend,
    BridgeConfig,
    Card,
    CardBond,
    InvalidNetworkConfiguration,
    NotSupported,
    Overlay,
    Port,
    TaggedTraffic,
)

_NAME = re.compile(r"[^\s/:]+\Z")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}\Z")
SMALLEST_MTU, LARGEST_MTU = 68, 65535


def check_bridge(config: BridgeConfig, backend: Backend) -> None:
    """Pass, or raise InvalidNetworkConfiguration or NotSupported."""
    check_name("name", config.name)
    _check_mtu(config.mtu)
    if config.mac:
        _check_mac("mac", config.mac)
    match config.uplink:
        case Card(device=device):
            check_name("uplink.device", device)
        case CardBond(device=device, members=members):
            check_name("uplink.device", device)
            if not members:
                raise InvalidNetworkConfiguration("uplink.members", "a bond has at least one member")
            if len(set(members)) != len(members):
                raise InvalidNetworkConfiguration("uplink.members", "a card occurs twice")
        case TaggedTraffic(parent=parent, tag=tag):
            if not 0 <= tag <= HIGHEST_TAG:
                raise InvalidNetworkConfiguration("uplink.tag", f"{tag} is outside 0..{HIGHEST_TAG}")
            _check_parent(config.name, parent)
        case Overlay(parent=parent):
            if backend is not Backend.OPENVSWITCH:
                raise NotSupported("a tunnel without Open vSwitch")
            _check_parent(config.name, parent)
    _check_addresses(config)


def _check_parent(name: str, parent: str) -> None:
    if parent == name:
        raise InvalidNetworkConfiguration("uplink.parent", "a bridge cannot rest upon itself")


def _check_addresses(config: BridgeConfig) -> None:
    if config.ipv4.mode is AddressMode.STATIC:
        try:
            ipaddress.IPv4Interface(f"{config.ipv4.address}/{config.ipv4.netmask}")
            if config.ipv4.gateway:
                ipaddress.IPv4Address(config.ipv4.gateway)
        except ValueError as error:
            raise InvalidNetworkConfiguration("ipv4", str(error)) from error
    if config.ipv6.mode is AddressMode.STATIC:
        try:
            for address in config.ipv6.addresses:
                ipaddress.IPv6Interface(address)
        except ValueError as error:
            raise InvalidNetworkConfiguration("ipv6", str(error)) from error


def check_port(port: Port) -> None:
    """Pass, or raise InvalidNetworkConfiguration."""
    check_name("name", port.name)
    _check_mtu(port.mtu)
    if port.mac:
        _check_mac("mac", port.mac)
    check_allowed(port.allowed_ipv4, port.allowed_ipv6)
    for tag in port.trunks:
        if not 0 <= tag <= HIGHEST_TAG:
            raise InvalidNetworkConfiguration("trunks", f"{tag} is outside 0..{HIGHEST_TAG}")


def check_allowed(ipv4: tuple[str, ...], ipv6: tuple[str, ...]) -> None:
    """Pass when all are addresses of their family."""
    try:
        for address in ipv4:
            ipaddress.IPv4Address(address)
        for address in ipv6:
            ipaddress.IPv6Address(address)
    except ValueError as error:
        raise InvalidNetworkConfiguration("allowed", str(error)) from error


def check_name(field: str, name: str) -> None:
    """Pass a name that the kernel takes for an interface."""
    if not _NAME.match(name) or name in (".", ".."):
        raise InvalidNetworkConfiguration(field, f"{name!r} is no name for an interface")
    if len(name.encode()) > LONGEST_NAME:
        raise InvalidNetworkConfiguration(field, f"{name!r} is longer than {LONGEST_NAME} bytes")


def _check_mtu(mtu: int) -> None:
    if not SMALLEST_MTU <= mtu <= LARGEST_MTU:
        raise InvalidNetworkConfiguration("mtu", f"{mtu} is outside {SMALLEST_MTU}..{LARGEST_MTU}")


def _check_mac(field: str, mac: str) -> None:
    if not _MAC.match(mac):
        raise InvalidNetworkConfiguration(field, f"{mac!r} is not a MAC address")
