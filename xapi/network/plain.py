"""Bridges, ports and controllers in values that JSON knows, and back: how drivers remember them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from xapi.network.interface import (
    AddressMode,
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
    TunnelProtocol,
    Uplink,
)

UPLINKS: dict[str, type[Any]] = {each.__name__: each for each in (Card, CardBond, TaggedTraffic, Overlay)}


def bridge_to_plain(config: BridgeConfig) -> dict[str, Any]:
    """A configuration in values that JSON knows."""
    plain = _plain(config)
    plain["uplink"] = None if config.uplink is None else {"kind": type(config.uplink).__name__, **plain["uplink"]}
    return {"bridge": plain}


def port_to_plain(port: Port) -> dict[str, Any]:
    """A port in values that JSON knows."""
    return {"port": _plain(port)}


def controller_to_plain(target: ControllerTarget | None) -> dict[str, Any]:
    """A controller, or that there is none, in values that JSON knows."""
    return {"controller": None if target is None else _plain(target)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if hasattr(value, "items") else value


def bridge_from_plain(plain: dict[str, Any]) -> BridgeConfig:
    """The configuration that was stored; raises KeyError, TypeError or ValueError for what is none."""
    uplink = plain["uplink"]
    ipv4, ipv6 = plain["ipv4"], plain["ipv6"]
    return BridgeConfig(
        **{
            **plain,
            "uplink": None if uplink is None else _uplink(dict(uplink)),
            "ipv4": Ipv4(**{**ipv4, "mode": AddressMode(ipv4["mode"]), "dns": tuple(ipv4["dns"])}),
            "ipv6": Ipv6(**{**ipv6, "mode": AddressMode(ipv6["mode"]), "addresses": tuple(ipv6["addresses"])}),
        }
    )


def _uplink(plain: dict[str, Any]) -> Uplink:
    kind = UPLINKS[plain.pop("kind")]
    if kind is CardBond:
        plain |= {"members": tuple(plain["members"]), "mode": BondMode(plain["mode"])}
    elif kind is Overlay:
        plain["protocol"] = TunnelProtocol(plain["protocol"])
    made: Uplink = kind(**plain)
    return made


def port_from_plain(plain: dict[str, Any]) -> Port:
    """The port that was stored; raises KeyError, TypeError or ValueError for what is none."""
    sets = {name: tuple(plain[name]) for name in ("allowed_ipv4", "allowed_ipv6", "trunks")}
    kinds = {"kind": PortKind(plain["kind"]), "filtering": Filtering(plain["filtering"])}
    return Port(**{**plain, **sets, **kinds})
