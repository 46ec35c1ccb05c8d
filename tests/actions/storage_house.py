"""A house with SRs of its own below a temporary directory, and what tests of storage need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes import house as fake_house
from tests.fakes.house import Caller, House
from tests.fakes.places import state_directory
from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.failure import Failure

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
NULL = "OpaqueRef:NULL"
DEAD = "OpaqueRef:00000000-0000-0000-0000-00000000dead"


NUMBERED = re.compile("SR_BACKEND_FAILURE_[0-9]+")


class DeclaredErrors(dict[str, Any]):
    """The declared errors; those of storage drivers are declared once and numbered by whoever raises them."""

    def __contains__(self, code: object) -> bool:
        return super().__contains__(code) or (isinstance(code, str) and NUMBERED.fullmatch(code) is not None)


fake_house.ERRORS = DeclaredErrors(fake_house.ERRORS)


@contextmanager
def storage_house(clock: Any = None, **simulator: str) -> Iterator[StorageHouse]:
    """Opens a house for the time of the block; `simulator` are settings of the hypervisor."""
    with state_directory() as directory:
        house = StorageHouse(Path(directory), clock, **simulator)
        yield house
        house.close()


class StorageHouse:
    def __init__(self, root: Path, clock: Any = None, **simulator: str) -> None:
        self.root = root
        self._clock = clock
        self._options: tuple[str, ...] = ()
        if simulator:
            lines = ["[simulator]", *(f'{key} = "{value}"' for key, value in simulator.items())]
            (root / "xapi.toml").write_text("\n".join(lines))
            self._options = ("--config", str(root / "xapi.toml"))
        self.house = House(root / "state", clock, self._options)
        self._places = 0

    @property
    def client(self) -> Caller:
        return self.house.client

    @property
    def host(self) -> str:
        return self.house.toolstack.this_host

    @property
    def db(self) -> Any:
        return self.house.toolstack.db

    @property
    def repositories(self) -> StorageRepositories:
        found: StorageRepositories = self.house.toolstack.parts[StorageRepositories]
        return found

    def restart(self) -> None:
        self.house.close()
        self.house = House(self.root / "state", self._clock, self._options)

    def close(self) -> None:
        self.house.close()

    def place(self) -> Path:
        """A path for an SR that nothing has yet."""
        self._places += 1
        return self.root / f"place-{self._places}"

    def sr(self, kind: str = "file", content: str = "user", *, shared: bool = False, **device_config: str) -> str:
        if kind == "file" and "location" not in device_config:
            device_config["location"] = str(self.place())
        made: str = self.client.SR.create(
            self.host, device_config, "0", f"a {kind} SR", "made by a test", kind, content, shared, {}
        )
        return made

    def iso_sr(self, *images: str) -> tuple[str, list[str]]:
        """An SR of ISO images, and the disks in it in the order of the images."""
        place = self.place()
        place.mkdir()
        for image in images:
            (place / image).write_bytes(bytes(64 << 10))
        sr = self.sr("iso", "iso", location=str(place), legacy_mode="true")
        by_location = {self.client.VDI.get_location(ref): ref for ref in self.client.SR.get_VDIs(sr)}
        return sr, [by_location[image] for image in images]

    def pbd(self, sr: str) -> str:
        found: str = self.client.SR.get_PBDs(sr)[0]
        return found

    def disk(self, sr: str, **values: Any) -> str:
        made: str = self.client.VDI.create(disk_record(sr, **values))
        return made

    def drive(self, vm: str, vdi: str, **values: Any) -> str:
        made: str = self.client.VBD.create(drive_record(vm, vdi, **values))
        return made

    def write(self, vdi: str, offset: int, data: bytes) -> None:
        handle, row = self.repositories.of_vdi(self.db, vdi)
        with handle.open_for_writing(row.location) as writer:
            writer.pwrite(offset, data)

    def read(self, vdi: str, offset: int, length: int) -> bytes:
        handle, row = self.repositories.of_vdi(self.db, vdi)
        with handle.open_for_reading(row.location) as reader:
            found: bytes = reader.pread(offset, length)
        return found

    def check_rows_follow_storage(self, sr: str) -> None:
        """Rows are as a scan would have them, and nothing is under way."""
        handle = self.repositories.get(self.db, sr)
        found = handle.scan()
        rows = [self.client.VDI.get_record(ref) for ref in self.client.SR.get_VDIs(sr)]
        assert {row["location"] for row in rows} == {facts.location for facts in found.vdis}
        by_location = {row["location"]: row for row in rows}
        for facts in found.vdis:
            row = by_location[facts.location]
            assert row["uuid"] == facts.uuid
            assert int(row["virtual_size"]) == facts.virtual_size
            assert int(row["physical_utilisation"]) == facts.physical_utilisation
            assert row["managed"] == facts.managed
            assert row["cbt_enabled"] == facts.cbt_enabled
            assert row["sm_config"].get("vhd-parent", "") == facts.parent
            assert row["current_operations"] == {}
        assert int(self.client.SR.get_virtual_allocation(sr)) == found.virtual
        assert self.client.SR.get_current_operations(sr) == {}


def disk_record(sr: str, **values: Any) -> dict[str, Any]:
    return {
        "name_label": "disk",
        "name_description": "of a test",
        "SR": sr,
        "virtual_size": str(10 * MEBIBYTE),
        "type": "user",
        "sharable": False,
        "read_only": False,
        "other_config": {"key": "value"},
        "xenstore_data": {},
        "sm_config": {},
        "tags": [],
        **values,
    }


def drive_record(vm: str, vdi: str, **values: Any) -> dict[str, Any]:
    return {
        "VM": vm,
        "VDI": vdi,
        "userdevice": "autodetect",
        "bootable": False,
        "mode": "RW",
        "type": "Disk",
        "empty": False,
        "unpluggable": True,
        "other_config": {},
        "qos_algorithm_type": "",
        "qos_algorithm_params": {},
        **values,
    }


def refusal(call: Any, *params: object) -> list[str]:
    """How a call is refused: its code and parameters."""
    try:
        answer = call(*params)
    except Failure as failure:
        return failure.description
    raise AssertionError(f"the call was not refused but answered {answer!r}")
