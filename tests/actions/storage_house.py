"""A house with storage of its own below a temporary directory, and what tests of it need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes.house import Caller, House
from xapi.actions.attach_disks import AttachDisks
from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.failure import Failure
from xapi.services.startup.storage import prepare_drivers
from xapi.storage.interface import SrDriver

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
NULL = "OpaqueRef:NULL"
DEAD = "OpaqueRef:00000000-0000-0000-0000-00000000dead"


def give_drivers(house: House, drivers: tuple[SrDriver, ...]) -> StorageRepositories:
    """Let the house have exactly these drivers, and nothing attached."""
    repositories = StorageRepositories(drivers)
    toolstack = house.toolstack
    toolstack.parts[StorageRepositories] = repositories
    toolstack.parts[AttachDisks] = AttachDisks(toolstack.db, repositories)
    with toolstack.db.transaction() as transaction:
        prepare_drivers(transaction, tuple(driver.type for driver in drivers))
    return repositories


def make_sr(client: Caller, host: str, place: Path, kind: str = "file", content: str = "user") -> str:
    made: str = client.SR.create(
        host, {"location": str(place)}, "0", f"a {kind} SR", "made by a test", kind, content, False, {}
    )
    return made


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


def make_disk(client: Caller, sr: str, **values: Any) -> str:
    made: str = client.VDI.create(disk_record(sr, **values))
    return made


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


def make_drive(client: Caller, vm: str, vdi: str, **values: Any) -> str:
    made: str = client.VBD.create(drive_record(vm, vdi, **values))
    return made


def refusal(call: Any, *params: object) -> list[str]:
    """How a call is refused: its code and parameters."""
    try:
        answer = call(*params)
    except Failure as failure:
        return failure.description
    raise AssertionError(f"the call was not refused but answered {answer!r}")


def write(house: House, vdi: str, offset: int, data: bytes) -> None:
    repositories = house.toolstack.parts[StorageRepositories]
    handle, row = repositories.of_vdi(house.toolstack.db, vdi)
    with handle.open_for_writing(row.location) as writer:
        writer.pwrite(offset, data)


def read(house: House, vdi: str, offset: int, length: int) -> bytes:
    repositories = house.toolstack.parts[StorageRepositories]
    handle, row = repositories.of_vdi(house.toolstack.db, vdi)
    with handle.open_for_reading(row.location) as reader:
        found: bytes = reader.pread(offset, length)
    return found
