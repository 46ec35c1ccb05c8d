"""How the simulated host's networking is made, from strings, with clear errors."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from xapi.network.checks import check_name
from xapi.network.interface import Backend, InvalidNetworkConfiguration, Nic

MOST_NICS = 64
LEASE = "lease."


@dataclass(frozen=True, slots=True)
class NetworkSimulatorConfig:
    """One simulated host's networking.

    `nics` cards of `speed` Mbit/s, those named in `sriov` with virtual functions; `bridges` are there already, made
    by the administrator; `seed` moves the MAC addresses, which two hosts of one pool must not share. `leases` are the
    addresses (192.0.2.7/24) that a DHCP server gives to a card's bridge, others getting some of TEST-NET-2.
    """

    nics: int = 2
    speed: int = 10_000
    backend: Backend = Backend.BRIDGE
    bridges: tuple[str, ...] = ()
    sriov: tuple[str, ...] = ()
    seed: str = ""
    leases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, str]) -> NetworkSimulatorConfig:
        """The configuration that these strings describe; raises InvalidNetworkConfiguration."""
        config = cls()
        for key, text in settings.items():
            match key:
                case "nics":
                    config = replace(config, nics=_number(key, text, MOST_NICS))
                case "speed":
                    config = replace(config, speed=_number(key, text, 1_000_000))
                case "backend":
                    config = replace(config, backend=_backend(key, text))
                case "bridges":
                    config = replace(config, bridges=_names(key, text))
                case "sriov":
                    config = replace(config, sriov=_names(key, text))
                case "seed":
                    config = replace(config, seed=text)
                case _ if key.startswith(LEASE):
                    config = replace(config, leases={**config.leases, key.removeprefix(LEASE): _lease(key, text)})
                case _:
                    raise InvalidNetworkConfiguration(
                        key, "is none of nics, speed, backend, bridges, sriov, seed, lease.NIC of the simulated network"
                    )
        return config

    def nic(self, number: int) -> Nic:
        """The card of a number: eth0, eth1 …"""
        name = f"eth{number}"
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return Nic(
            name=name,
            mac=":".join(f"{byte:02x}" for byte in ((digest[0] | 2) & 0xFE, *digest[1:6])),
            speed=self.speed,
            duplex=True,
            pci_bus_path=f"0000:{number + 2:02x}:00.0",
            vendor_id="1af4",
            vendor_name="xapi project",
            device_id="1000",
            device_name="Simulated network card",
            capabilities=("sriov",) if name in self.sriov else (),
        )


def _number(key: str, text: str, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > most:
        raise InvalidNetworkConfiguration(key, f"{text!r} is not a whole number up to {most}")
    return int(text)


def _backend(key: str, text: str) -> Backend:
    try:
        return Backend(text)
    except ValueError:
        raise InvalidNetworkConfiguration(key, f"{text!r} is neither bridge nor openvswitch") from None


def _names(key: str, text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        check_name(key, name)
    return names


def _lease(key: str, text: str) -> str:
    try:
        return str(ipaddress.IPv4Interface(text))
    except ValueError as error:
        raise InvalidNetworkConfiguration(key, str(error)) from error
