"""What the kernel would refuse, worked out beforehand from what bridges, ports and cards there are; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from xapi.network.interface import (
    BridgeConfig,
    BridgeInUse,
    Card,
    CardBond,
    DeviceInUse,
    InvalidNetworkConfiguration,
    NoSuchBridge,
    NoSuchNic,
    Overlay,
    Port,
    TaggedTraffic,
    Uplink,
)

Bridges = Mapping[str, BridgeConfig]


def cards_of(uplink: Uplink | None) -> tuple[str, ...]:
    """The cards that an uplink takes for itself."""
    match uplink:
        case Card(device=device):
            return (device,)
        case CardBond(members=members):
            return members
        case _:
            return ()


def parent_of(uplink: Uplink | None) -> str | None:
    """The bridge that an uplink rests upon, if it rests upon one."""
    return uplink.parent if isinstance(uplink, TaggedTraffic | Overlay) else None


def root_of(config: BridgeConfig, bridges: Bridges) -> BridgeConfig:
    """The bridge at the bottom, the one with real cards if there are any."""
    while (parent := parent_of(config.uplink)) is not None and parent in bridges:
        config = bridges[parent]
    return config


def above(name: str, bridges: Bridges) -> tuple[str, ...]:
    """The bridges that have this one as their parent."""
    return tuple(other.name for other in bridges.values() if parent_of(other.uplink) == name)


def users_of(name: str, bridges: Bridges, ports: Mapping[str, Port]) -> tuple[str, ...]:
    """What keeps a bridge from going: ports on it, and bridges above it."""
    return (*(port.name for port in ports.values() if port.bridge == name), *above(name, bridges))


def check_uplink(config: BridgeConfig, bridges: Bridges, nics: Collection[str]) -> None:
    """Pass a configuration whose uplink is there and free; NoSuchNic, NoSuchBridge, DeviceInUse and others."""
    others = [other for other in bridges.values() if other.name != config.name]
    for device in cards_of(config.uplink):
        if device not in nics:
            raise NoSuchNic(device)
        for other in others:
            if device in cards_of(other.uplink):
                raise DeviceInUse(device, other.name)
    match config.uplink:
        case CardBond(device=device):
            _check_bond_free(device, others)
        case TaggedTraffic() as uplink:
            _check_tag_free(uplink, bridges, others)
        case Overlay(parent=parent):
            if isinstance(_uplink_of(parent, bridges), Overlay):
                raise InvalidNetworkConfiguration("uplink.parent", "a tunnel cannot run in a tunnel")
    before = bridges.get(config.name)
    if before is not None and _device_of(before.uplink) != _device_of(config.uplink):
        resting = above(config.name, bridges)
        if resting:
            raise BridgeInUse(config.name, resting)


def _check_bond_free(device: str, others: list[BridgeConfig]) -> None:
    for other in others:
        if isinstance(other.uplink, CardBond) and other.uplink.device == device:
            raise DeviceInUse(device, other.name)


def _check_tag_free(uplink: TaggedTraffic, bridges: Bridges, others: list[BridgeConfig]) -> None:
    below = _uplink_of(uplink.parent, bridges)
    if not isinstance(below, Card | CardBond) or below.device != uplink.device:
        raise InvalidNetworkConfiguration("uplink.device", f"{uplink.device} is not the uplink of {uplink.parent}")
    for other in others:
        upper = other.uplink
        if isinstance(upper, TaggedTraffic) and (upper.device, upper.tag) == (uplink.device, uplink.tag):
            raise DeviceInUse(f"{uplink.device}.{uplink.tag}", other.name)


def _uplink_of(name: str, bridges: Bridges) -> Uplink | None:
    if name not in bridges:
        raise NoSuchBridge(name)
    return bridges[name].uplink


def _device_of(uplink: Uplink | None) -> str:
    return uplink.device if uplink is not None else ""
