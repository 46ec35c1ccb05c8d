"""What a start must be told: everything about this host that neither the database nor the hypervisor knows."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from xapi.hypervisor.interface import HostFacts
from xapi.services.startup.versions import Product
from xapi.storage.interface import SrDriverType
from xapi.system.settings import Settings

ANYWHERE = frozenset({"", "0.0.0.0", "::"})
LOCAL_TYPES = ("ext", "file")


class Machine(Protocol):
    """The part of a hypervisor driver's host that a start asks; every driver has it."""

    def facts(self) -> HostFacts:
        """What the machine is."""

    def memory_free(self) -> int:
        """Bytes of memory that new domains may still have."""


class Hypervisor(Protocol):
    """The part of a hypervisor driver that a start asks."""

    @property
    def host(self) -> Machine:
        """The machine below."""


@dataclass(frozen=True, slots=True)
class HostNic:
    """One network card of the host; speed in Mbit/s, an address only where the card has one.

    `mode` is an ip_configuration_mode: None, DHCP or Static. Clients reach the host over the management card.
    """

    device: str
    mac: str
    carrier: bool = True
    speed: int = 1000
    duplex: bool = True
    mtu: int = 1500
    management: bool = False
    mode: str = "None"
    address: str = ""
    netmask: str = ""
    gateway: str = ""
    dns: str = ""
    vendor_id: str = ""
    vendor_name: str = ""
    device_id: str = ""
    device_name: str = ""
    pci_bus_path: str = ""


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """The local SR of a new host: its driver's type, and the device_config of its PBD.

    `directory` is made when it is missing; a file system on a device has none.
    """

    type: str = "ext"
    device_config: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    name_label: str = "Local storage"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and as what this toolstack starts. Paths are absolute.

    `inventory` is where a copy of the inventory goes, `tools` the directory with guest-tools.iso, if there is one;
    `drivers` are the storage drivers at hand (an SR is made of these types only), `https_port` is where clients
    connect.
    """

    state: Path
    hostname: str
    address: str
    nics: tuple[HostNic, ...]
    drivers: tuple[SrDriverType, ...] = ()
    local_storage: LocalStorage | None = None
    tools: Path | None = None
    inventory: Path | None = None
    https_port: int = 443
    https_only: bool = False
    network_backend: str = "bridge"
    linux_version: str = ""
    product: Product = field(default_factory=Product)

    @property
    def authority(self) -> str:
        """Host and port of this server as they stand in a URL."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return address if self.https_port == 443 else f"{address}:{self.https_port}"


def surroundings_of(
    settings: Settings, installation: str, drivers: tuple[SrDriverType, ...] = (), nics: tuple[HostNic, ...] = ()
) -> Surroundings:
    """What follows from the settings: simulated cards unless some are given, and local storage in the state.

    A server that listens on all addresses names that of the management card, or the loopback's.
    """
    managed = next((nic.address for nic in nics if nic.management and nic.address), "127.0.0.1")
    address = managed if settings.https.host in ANYWHERE else settings.https.host
    types = {driver.name for driver in drivers}
    return Surroundings(
        state=settings.state,
        hostname=platform.node() or "localhost",
        address=address,
        nics=nics or simulated_nics(installation, address),
        drivers=drivers,
        local_storage=next((storage_in(settings.state / "sr", kind) for kind in LOCAL_TYPES if kind in types), None),
        tools=settings.state / "tools" if "iso" in types else None,
        inventory=settings.inventory,
        https_port=settings.https.port,
        https_only=settings.http is None,
        linux_version=platform.release(),
    )


def storage_in(directory: Path, kind: str) -> LocalStorage:
    """Local storage in a directory, by a driver of type ext or file."""
    key = "device" if kind == "ext" else "location"
    return LocalStorage(kind, {key: str(directory)}, directory)


def simulated_nics(installation: str, address: str, count: int = 2) -> tuple[HostNic, ...]:
    """The cards of a simulated host: eth0 for management, and others without an address.

    The MACs are locally administered and follow from the installation's UUID.
    """
    return tuple(
        HostNic(
            device=f"eth{number}",
            mac=derived_mac(installation, f"eth{number}"),
            speed=10000,
            management=number == 0,
            mode="DHCP" if number == 0 else "None",
            address=address if number == 0 else "",
            netmask=("255.0.0.0" if address.startswith("127.") else "255.255.255.0") if number == 0 else "",
            vendor_id="1af4",
            vendor_name="xapi project",
            device_id="1000",
            device_name="Simulated network card",
            pci_bus_path=f"0000:{number + 2:02x}:00.0",
        )
        for number in range(count)
    )


def derived_mac(installation: str, device: str) -> str:
    """A locally administered unicast MAC that is always the same for a device of an installation."""
    digest = hashlib.sha256(f"{installation}/{device}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in ((digest[0] | 2) & 0xFE, *digest[1:6]))
