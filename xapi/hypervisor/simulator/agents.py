"""What the agents in simulated guests report, shaped as Xen's guest agents write it."""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import IPv6Address

from xapi.hypervisor.interface import GuestAgent, LockingMode, Nic
from xapi.hypervisor.simulator.domain import Domain

_LINUX_FEATURES = frozenset(
    {
        "feature-suspend",
        "feature-poweroff",
        "feature-reboot",
        "feature-vcpu-hotplug",
        "feature-balloon",
        "feature-guest-agent-plugin",
    }
)
_WINDOWS_FEATURES = _LINUX_FEATURES | {"feature-static-ip-setting", "feature-ts2"}
_LINUX_DRIVERS = {"major": "8", "minor": "4", "micro": "0", "build": "1"}
_WINDOWS_DRIVERS = {"major": "9", "minor": "4", "micro": "0", "build": "146"}


def _linux(distro: str, name: str, major: str, minor: str, kernel: str) -> dict[str, str]:
    return {"name": name, "uname": kernel, "distro": distro, "major": major, "minor": minor}


PROFILES: Mapping[str, Mapping[str, str]] = {
    "debian": _linux("debian", "Debian GNU/Linux 12 (bookworm)", "12", "5", "6.1.0-18-amd64"),
    "ubuntu": _linux("ubuntu", "Ubuntu 24.04.1 LTS", "24", "04", "6.8.0-45-generic"),
    "rhel": _linux("rhel", "Red Hat Enterprise Linux 9.4 (Plow)", "9", "4", "5.14.0-427.13.1.el9_4.x86_64"),
    "centos": _linux("centos", "CentOS Stream 9", "9", "0", "5.14.0-480.el9.x86_64"),
    "rocky": _linux("rocky", "Rocky Linux 9.4 (Blue Onyx)", "9", "4", "5.14.0-427.13.1.el9_4.x86_64"),
    "almalinux": _linux("almalinux", "AlmaLinux 9.4 (Seafoam Ocelot)", "9", "4", "5.14.0-427.13.1.el9_4.x86_64"),
    "oracle": _linux("oracle", "Oracle Linux Server 9.4", "9", "4", "5.15.0-205.149.5.1.el9uek.x86_64"),
    "suse": _linux("sles", "SUSE Linux Enterprise Server 15 SP6", "15", "6", "6.4.0-150600.21-default"),
    "windows": {
        "name": "Microsoft Windows Server 2022 Standard|C:\\Windows|\\Device\\Harddisk0\\Partition2",
        "distro": "windows",
        "major": "10",
        "minor": "0",
        "spmajor": "0",
        "spminor": "0",
    },
}
_HINTS = {
    "red hat": "rhel",
    "redhat": "rhel",
    "alma": "almalinux",
    "sles": "suse",
    "microsoft": "windows",
    "win": "windows",
    "gooroom": "debian",
}


def profile_of(hint: str, fallback: str) -> str:
    """The name of the profile that a hint (a template's name, a knob) speaks of."""
    lowered = hint.lower()
    for word in PROFILES:
        if word in lowered:
            return word
    for word, profile in _HINTS.items():
        if word in lowered:
            return profile
    return fallback if fallback in PROFILES else "debian"


def features_of(profile: str) -> frozenset[str]:
    """What an agent of this profile announces."""
    return _WINDOWS_FEATURES if profile == "windows" else _LINUX_FEATURES


def agent_of(domain: Domain, profile: str, now: float) -> GuestAgent:
    """Everything that the agent reports now."""
    total = domain.actual // 1024
    free = total * (40 + zlib.crc32(domain.uuid.encode()) % 40) // 100
    return GuestAgent(
        os_version=PROFILES[profile],
        pv_drivers_version=_WINDOWS_DRIVERS if profile == "windows" else _LINUX_DRIVERS,
        networks=_networks(domain.nics),
        memory={"meminfo_total": str(total), "meminfo_free": str(free)},
        other={"platform-feature-multiprocessor-suspend": "1", "has-vendor-device": "0", "data-updated": "1"},
        features=features_of(profile),
        updated=datetime.fromtimestamp(now, UTC),
    )


def _networks(nics: tuple[Nic, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for nic in nics:
        if nic.locking is LockingMode.DISABLED:
            continue
        octets = [int(part, 16) for part in nic.mac.split(":")]
        ipv4 = nic.static_ipv4.address.partition("/")[0] if nic.static_ipv4 else _ipv4(octets)
        found[f"{nic.device}/ip"] = found[f"{nic.device}/ipv4/0"] = ipv4
        found[f"{nic.device}/ipv6/0"] = _ipv6(0xFE80, octets)
        found[f"{nic.device}/ipv6/1"] = (
            nic.static_ipv6.address.partition("/")[0] if nic.static_ipv6 else _ipv6(0xFD00, octets)
        )
    return found


def _ipv4(octets: list[int]) -> str:
    """10.x from the card's own three octets: two cards of one vendor never share an address."""
    return f"10.{octets[3]}.{octets[4]}.{min(max(octets[5], 1), 254)}"


def _ipv6(prefix: int, octets: list[int]) -> str:
    """An address with the interface identifier of EUI-64: ff:fe in the middle, one bit inverted."""
    identifier = bytes([octets[0] ^ 2, octets[1], octets[2], 0xFF, 0xFE, *octets[3:]])
    return str(IPv6Address((prefix << 112) | int.from_bytes(identifier)))
