"""A simulator on a fake clock, with attachers that keep books."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.clock import FakeClock
from xapi.hypervisor.interface import (
    Disk,
    DiskMode,
    DomainConfig,
    DomainKind,
    FileBackend,
    Memory,
    Nic,
    Processors,
    Volume,
)
from xapi.hypervisor.run import Crew
from xapi.hypervisor.simulator.driver import Simulator
from xapi.hypervisor.simulator.settings import GIB, MIB, SimulatorConfig


def config_of(number: int, **changes: Any) -> DomainConfig:
    values: dict[str, Any] = {
        "uuid": f"00000000-0000-4000-8000-{number:012d}",
        "name": f"vm {number}",
        "kind": DomainKind.HVM,
        "memory": Memory(256 * MIB, 256 * MIB, 128 * MIB, 256 * MIB),
        "processors": Processors(maximum=4, at_startup=1),
        "disks": (Disk("xvda", 0, FileBackend(f"/images/{number}.vhd", "vhd"), bootable=True),),
        "nics": (Nic(0, f"02:00:00:00:{number // 256:02x}:{number % 256:02x}", "xenbr0"),),
        "os_hint": "Debian Bookworm 12",
    }
    return DomainConfig(**{**values, **changes})


class SimulatorBench:
    def __init__(self, directory: Path, **settings: Any) -> None:
        self.clock = FakeClock()
        self.directory = directory / "images"
        self.directory.mkdir()
        self.state = directory / "state"
        self.settings = SimulatorConfig(**{"memory": 16 * GIB, "cpus": 8, **settings})
        self.driver = self.open()

    def open(self, state: Path | None = None) -> Simulator:
        return Simulator(state or self.state, self.settings, self.clock, self.clock.advance)

    def reopen(self) -> Simulator:
        self.driver.close()
        self.driver = self.open()
        return self.driver

    def config(self, number: int) -> DomainConfig:
        return config_of(number)

    def spare_backend(self, number: int = 0) -> FileBackend:
        return FileBackend(f"/images/spare{number or ''}.iso")

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.driver.run_due()

    def settle(self, condition: Callable[[], bool]) -> None:
        for _ in range(600):
            if condition():
                return
            self.pass_time(1)
        raise AssertionError("it did not become true within ten minutes")


@dataclass
class Books:
    """Storage and networking that only write down who has what, and fail when told, or when misused."""

    directory: Path
    attached: dict[Volume, DiskMode] = field(default_factory=dict)
    activated: set[Volume] = field(default_factory=set)
    connected: list[tuple[str, Nic]] = field(default_factory=list)
    failing: Callable[[str], None] = lambda _what: None

    def attach(self, uuid: str, volume: Volume, mode: DiskMode) -> FileBackend:
        self.failing(f"attach {volume.key}")
        assert volume not in self.attached
        self.attached[volume] = mode
        return self.locate(uuid, volume)

    def locate(self, uuid: str, volume: Volume) -> FileBackend:
        assert volume in self.attached
        return FileBackend(str(self.directory / volume.key))

    def activate(self, uuid: str, volume: Volume, mode: DiskMode) -> None:
        self.failing(f"activate {volume.key}")
        assert volume in self.attached and volume not in self.activated
        self.activated.add(volume)

    def reset(self, uuid: str, volume: Volume) -> None:
        self.failing(f"reset {volume.key}")
        assert volume in self.activated

    def deactivate(self, uuid: str, volume: Volume) -> None:
        self.failing(f"deactivate {volume.key}")
        self.activated.remove(volume)

    def detach(self, uuid: str, volume: Volume) -> None:
        self.failing(f"detach {volume.key}")
        assert volume not in self.activated
        del self.attached[volume]

    def connect(self, uuid: str, nic: Nic) -> None:
        self.failing(f"connect {nic.device}")
        self.connected.append((uuid, nic))

    def disconnect(self, uuid: str, nic: Nic) -> None:
        self.failing(f"disconnect {nic.device}")
        self.connected.remove((uuid, nic))

    def crew(self, driver: Simulator, **more: Any) -> Crew:
        return Crew(driver, self, self, **more)

    def photograph(self) -> object:
        return (dict(self.attached), set(self.activated), sorted(map(str, self.connected)))
