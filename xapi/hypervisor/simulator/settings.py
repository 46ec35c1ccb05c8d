"""How the simulated machine is made, from strings, with clear errors."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from xapi.hypervisor.interface import InvalidConfiguration

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_UNITS = {"": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB}
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
CHANGEABLE = frozenset({"boot_seconds", "shutdown_seconds", "migrate_seconds", "os", "agent"})
_AMOUNTS = frozenset({"memory", "control_domain_memory"})


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """One simulated machine.

    ``memory`` in bytes (text: with KiB, MiB, GiB or TiB); ``os`` is the profile of guests without a hint, ``agent``
    whether guests have one; ``migrate_seconds`` is how long a save or a migration takes. Without ``vhd_files`` guests
    get VHD disks through a socket each, as from hypervisors that cannot read such files. ``seed`` moves every invented
    number (performance data, serial numbers).
    """

    memory: int = TIB
    control_domain_memory: int = 4 * GIB
    cpus: int = 64
    sockets: int = 2
    threads_per_core: int = 2
    boot_seconds: float = 0.0
    shutdown_seconds: float = 0.0
    migrate_seconds: float = 0.0
    os: str = "debian"
    agent: bool = True
    vhd_files: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.memory < self.control_domain_memory + 256 * MIB:
            raise InvalidConfiguration("memory", "there must be 256 MiB beyond control_domain_memory")
        for name in ("cpus", "sockets", "threads_per_core", "control_domain_memory"):
            if getattr(self, name) < 1:
                raise InvalidConfiguration(name, "must be at least 1")
        if self.cpus % (self.sockets * self.threads_per_core):
            raise InvalidConfiguration("cpus", "must be a multiple of sockets times threads_per_core")
        for name in ("boot_seconds", "shutdown_seconds", "migrate_seconds"):
            check_seconds(name, getattr(self, name))

    @classmethod
    def from_mapping(cls, settings: Mapping[str, str]) -> "SimulatorConfig":
        """The configuration that these strings describe; ``-`` and ``_`` are the same in a name."""
        return cls().with_settings(settings)

    def with_settings(self, settings: Mapping[str, str]) -> "SimulatorConfig":
        """This configuration, changed by these strings; raises InvalidConfiguration."""
        kinds = {each.name: type(each.default) for each in fields(self)}
        changes: dict[str, Any] = {}
        for key, text in settings.items():
            name = key.replace("-", "_")
            if name not in kinds:
                raise InvalidConfiguration(key, f"is none of {', '.join(sorted(kinds))}")
            changes[name] = parse_amount(key, text) if name in _AMOUNTS else parse(key, text, kinds[name])
        return replace(self, **changes)


def parse(name: str, text: str, kind: type) -> Any:
    """A string as a bool, int, float or itself; raises InvalidConfiguration."""
    if kind is bool:
        if text.lower() not in _TRUTH:
            raise InvalidConfiguration(name, f"{text!r} is neither true nor false")
        return _TRUTH[text.lower()]
    try:
        return kind(text)
    except ValueError as error:
        raise InvalidConfiguration(name, f"{text!r} is not a number") from error


def parse_amount(name: str, text: str) -> int:
    """An amount of memory, ``64 GiB`` or plain bytes."""
    digits = text.rstrip("KMGTiBb ")
    unit = text[len(digits) :].strip()
    if unit not in _UNITS:
        raise InvalidConfiguration(name, f"{unit!r} is none of KiB, MiB, GiB, TiB")
    amount: int = parse(name, digits, int)
    return amount * _UNITS[unit]


def check_seconds(name: str, seconds: float) -> float:
    """The duration itself, when it is one of 0 to 86,400 seconds."""
    if not 0 <= seconds <= 86400:
        raise InvalidConfiguration(name, f"{seconds} is outside 0..86400 seconds")
    return seconds
