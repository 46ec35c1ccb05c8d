"""A host that can be started again and again on one state directory, with a machine made up for it."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.fakes.clock import FakeClock
from xapi.db.database import Database
from xapi.db.store import Store, open_engine, sqlite_url
from xapi.db.upgrade import prepare
from xapi.hypervisor.interface import CpuFacts, HostFacts
from xapi.services.startup import Started, Surroundings, identify, simulated_nics, start_in, storage_in
from xapi.storage.interface import Feature, SrDriverType

GIB = 1 << 30
MASK = "0000ffff-f0f0f0f0"

FACTS = HostFacts(
    cpus=tuple(CpuFacts(number, "Acme", 2500, "Acme One", 6, 85, "7", "fpu sse", "0000ffff") for number in range(4)),
    cpu_info={
        "cpu_count": "4",
        "socket_count": "1",
        "vendor": "Acme",
        "modelname": "Acme One",
        "features_hvm": MASK,
        "features_pv": MASK,
    },
    memory_total=64 * GIB,
    memory_overhead=GIB,
    control_domain_memory=2 * GIB,
    control_domain_vcpus=4,
    hypervisor="simulator",
    hypervisor_version="4.17.0",
    capabilities=("xen-3.0-x86_64", "hvm-3.0-x86_64"),
    boot_time=datetime(2023, 12, 31, 23, 0, tzinfo=UTC),
)


class MadeUpMachine:
    """The fake behind the Protocols `Hypervisor` and `Machine`."""

    def __init__(self, facts: HostFacts = FACTS) -> None:
        self._facts = facts

    @property
    def host(self) -> "MadeUpMachine":
        return self

    def facts(self) -> HostFacts:
        return self._facts

    def memory_free(self) -> int:
        return 40 * GIB


def driver_type(name: str) -> SrDriverType:
    return SrDriverType(
        name=name,
        label=f"{name} storage",
        description=f"Disks in {name}",
        configuration={"location": "where it is"},
        features={Feature.VDI_CREATE: 1, Feature.VDI_DELETE: 2},
        driver_filename=f"{name.upper()}SR",
        supported_image_formats=("vhd", "raw"),
    )


def empty_database(directory: Path) -> Path:
    """A database without rows. Making its tables takes longer than a start, so tests copy one."""
    path = directory / "empty.db"
    engine = open_engine(sqlite_url(path))
    prepare(engine, path)
    engine.dispose()
    return path


DRIVERS = tuple(driver_type(name) for name in ("ext", "file", "iso", "udev"))


class Home:
    """One installation; `start` is what a new process does."""

    def __init__(self, state: Path, empty: Path) -> None:
        self.state = state
        shutil.copy(empty, state / "xapi.db")
        self.clock = FakeClock()
        self.machine = MadeUpMachine()
        self.surroundings = Surroundings(
            state=state,
            hostname="host-1",
            address="192.0.2.7",
            nics=simulated_nics(identify(state).uuid, "192.0.2.7"),
            drivers=DRIVERS,
            local_storage=storage_in(state / "sr", "ext"),
            tools=state / "tools",
            linux_version="6.1.0",
        )
        self.database = self._open()

    def _open(self) -> Database:
        return Database(Store(open_engine(sqlite_url(self.state / "xapi.db"))))

    def change(self, **changes: object) -> None:
        """Let the next start find other surroundings."""
        self.surroundings = replace(self.surroundings, **changes)

    def start(self) -> Started:
        return start_in(self.database, self.clock, self.machine, identify(self.state), self.surroundings)

    def restart(self) -> Started:
        """Start once more, in a process that knows only what is on disk."""
        self.database.close()
        self.database = self._open()
        self.clock.advance(60)
        return self.start()

    def all(self, entity):
        return self.database.all(entity)

    def get(self, entity, ref):
        return self.database.get(entity, ref)

    def close(self) -> None:
        self.database.close()
