"""What the machine is made of, as far as Linux tells: processors, memory, firmware, kernel.

All functions take the root of the file system, so that tests can show them another machine. What cannot be read is left
out or empty, never an error: /proc and /sys differ between machines, containers and permissions.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from xapi.system.cpu_features import feature_string

ROOT = Path("/")

# The keys of XenAPI's host.bios_strings, and the files of the kernel's DMI table.
_FIRMWARE = {
    "bios-vendor": "bios_vendor",
    "bios-version": "bios_version",
    "system-manufacturer": "sys_vendor",
    "system-product-name": "product_name",
    "system-version": "product_version",
    "system-serial-number": "product_serial",
    "baseboard-manufacturer": "board_vendor",
    "baseboard-product-name": "board_name",
    "baseboard-version": "board_version",
    "baseboard-serial-number": "board_serial",
    "baseboard-asset-tag": "board_asset_tag",
    "enclosure-asset-tag": "chassis_asset_tag",
}


@dataclass(frozen=True, slots=True)
class Processor:
    """One logical processor, as the kernel numbers them; speed in MHz."""

    number: int
    vendor: str
    modelname: str
    family: int
    model: int
    stepping: str
    speed: int
    flags: str
    features: str  # the feature words of CPUID in hexadecimal, joined by hyphens
    socket: int
    core: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Physical memory in bytes."""

    total: int
    free: int
    available: int  # free, or used for caches that give way


@dataclass(frozen=True, slots=True)
class Kernel:
    """The operating system's own name for itself."""

    hostname: str
    release: str
    version: str
    machine: str
    distribution: str  # as /etc/os-release has it, such as "Debian GNU/Linux 12 (bookworm)"


def processors(root: Path = ROOT) -> tuple[Processor, ...]:
    """The logical processors that are online, in the kernel's order."""
    found = []
    for block in re.split(r"\n\s*\n", _read(root / "proc/cpuinfo")):
        values = {
            key.strip(): value.strip()
            for key, colon, value in (line.partition(":") for line in block.splitlines())
            if colon
        }
        number = _integer(values.get("processor", ""), -1)
        if number >= 0:
            found.append(_processor(number, values, root))
    return tuple(found)


def _processor(number: int, values: dict[str, str], root: Path) -> Processor:
    topology = root / f"sys/devices/system/cpu/cpu{number}"
    # cpuinfo has the speed of this moment on some machines; the nominal one is steadier where the kernel knows it.
    nominal = _integer(_read(topology / "cpufreq/cpuinfo_max_freq"), 0) // 1000
    flags = values.get("flags", values.get("Features", ""))
    return Processor(
        number=number,
        vendor=values.get("vendor_id", values.get("CPU implementer", "")),
        modelname=values.get("model name", ""),
        family=_integer(values.get("cpu family", values.get("CPU architecture", "")), 0),
        model=_integer(values.get("model", values.get("CPU part", "")), 0),
        stepping=values.get("stepping", values.get("CPU revision", "")),
        speed=nominal or int(_number(values.get("cpu MHz", ""))),
        flags=flags,
        features=feature_string(flags),
        socket=_integer(values.get("physical id", _read(topology / "topology/physical_package_id")), 0),
        core=_integer(values.get("core id", _read(topology / "topology/core_id")), number),
    )


def cpu_info(found: tuple[Processor, ...]) -> dict[str, str]:
    """XenAPI's host.cpu_info for these processors, all of which are taken to be like the first."""
    if not found:
        return {}
    first = found[0]
    cores = {(each.socket, each.core) for each in found}
    return {
        "cpu_count": str(len(found)),
        "socket_count": str(len({each.socket for each in found})),
        "threads_per_core": str(max(1, len(found) // len(cores))),
        "vendor": first.vendor,
        "speed": str(first.speed),
        "modelname": first.modelname,
        "family": str(first.family),
        "model": str(first.model),
        "stepping": first.stepping,
        "flags": first.flags,
        "features": first.features,
        "features_hvm": first.features,
        "features_hvm_host": first.features,
        "features_pv": first.features,
        "features_pv_host": first.features,
    }


def memory(root: Path = ROOT) -> Memory:
    """The memory that this kernel has; on a Xen host that is the control domain's share only."""
    values = dict(re.findall(r"^(\w+):\s*(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE))
    total, free = (int(values.get(key, 0)) * 1024 for key in ("MemTotal", "MemFree"))
    return Memory(total, free, int(values.get("MemAvailable", free // 1024)) * 1024)


def boot_time(root: Path = ROOT) -> datetime | None:
    """When this kernel started; None if it does not tell."""
    match = re.search(r"^btime (\d{1,11})$", _read(root / "proc/stat"), re.MULTILINE)
    return datetime.fromtimestamp(int(match[1]), UTC) if match else None


def kernel(root: Path = ROOT) -> Kernel:
    """Names and versions of the running kernel and of the distribution around it."""
    name = os.uname()
    match = re.search(r"^PRETTY_NAME=[\"']?(.*?)[\"']?$", _read(root / "etc/os-release"), re.MULTILINE)
    return Kernel(
        hostname=name.nodename,
        release=name.release,
        version=name.version,
        machine=platform.machine(),
        distribution=match[1] if match else "",
    )


def bios_strings(root: Path = ROOT) -> dict[str, str]:
    """XenAPI's host.bios_strings as far as DMI tells; serial numbers can be read by root only."""
    table = root / "sys/class/dmi/id"
    found = {key: _read(table / name).strip() for key, name in _FIRMWARE.items()}
    return {key: value for key, value in found.items() if value}


def has_iommu(root: Path = ROOT) -> bool:
    """Whether the kernel uses an IOMMU, without which no device can be passed through to a guest."""
    try:
        return any((root / "sys/class/iommu").iterdir())
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _integer(text: str, otherwise: int) -> int:
    try:
        return int(text.strip(), 0)
    except ValueError:
        return otherwise


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d*)?", text) else 0.0
