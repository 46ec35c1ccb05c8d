"""The simulated network's memory across restarts of the toolstack: lines of JSON, appended, made short at each start.

A line is written with one `write()` and without fsync: the simulated host does not lose its power when the toolstack
dies. A torn last line, which a kill may leave, is cut off.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import orjson

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
    StateUnusable,
    TaggedTraffic,
    TunnelProtocol,
    Uplink,
)

UPLINKS: dict[str, type[Any]] = {each.__name__: each for each in (Card, CardBond, TaggedTraffic, Overlay)}


class Journal:
    """One append-only file in a directory that no other process may use at the same time."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "network"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._lock = os.open(directory / "network.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateUnusable(str(self._path), error.strerror or "cannot be opened") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise StateUnusable(str(self._path), "another process uses it") from error

    def read(self) -> list[dict[str, Any]]:
        """Every line's value, in order; a torn last line is dropped; raises StateUnusable for damage elsewhere."""
        whole, _, _torn = self._path.read_bytes().rpartition(b"\n")
        values: list[dict[str, Any]] = []
        for number, line in enumerate(whole.split(b"\n") if whole else (), 1):
            try:
                values.append(orjson.loads(line))
            except ValueError as error:
                raise StateUnusable(str(self._path), f"line {number} is damaged: {error}") from error
        return values

    def append(self, value: dict[str, Any]) -> None:
        """Add one line; raises StateUnusable when the disk refuses."""
        line = orjson.dumps(value) + b"\n"
        try:
            end = os.lseek(self._file, 0, os.SEEK_END)
            written = os.write(self._file, line)
            if written != len(line):
                os.ftruncate(self._file, end)
                raise StateUnusable(str(self._path), "no space is left")
        except OSError as error:
            raise StateUnusable(str(self._path), error.strerror or "cannot be written") from error

    def rewrite(self, values: Iterable[dict[str, Any]]) -> None:
        """Replace all lines by these; a kill leaves either the old file or the new one."""
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(b"".join(orjson.dumps(value) + b"\n" for value in values))
            opened = os.open(fresh, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            fresh.replace(self._path)
        except OSError as error:
            raise StateUnusable(str(fresh), error.strerror or "cannot be written") from error
        os.close(self._file)
        self._file = opened

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._file)
        os.close(self._lock)


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
