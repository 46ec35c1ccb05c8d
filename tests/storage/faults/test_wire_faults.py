"""What a client sees when an SR's file system fills up, goes away or becomes read-only under each of its calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.actions.storage_house import NULL, StorageHouse, storage_house
from tests.fakes.guests import halted
from xapi.datamodel.classes import sr as sr_messages
from xapi.datamodel.classes import vdi as vdi_messages
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Message
from xapi.storage.contract import MIB
from xapi.storage.errors import StorageFailure
from xapi.storage.mounts import mount_table
from xapi.storage.vhd.check import check
from xapi.storage.vhd.file import RealFile
from xapi.system.command import CommandFailed, run


class Site:
    """An SR of the type ext on a loop device, with disks, and a VM with one of them."""

    def __init__(self, house: StorageHouse, stack: ExitStack) -> None:
        self.house = house
        self.client = house.client
        self.image = house.place()
        with self.image.open("wb") as file:
            file.truncate(64 * MIB)
        self.loop = run(["losetup", "-f", "--show", str(self.image)]).text.strip()
        stack.callback(run, ["losetup", "-d", self.loop])
        self.other = house.sr("dummy")
        self.sr = house.sr("ext", device=self.loop)
        stack.callback(self.take_away)
        self.path = Path(str(house.repositories.get(house.db, self.sr).path))  # type: ignore[attr-defined]
        self.disk = self._disk()
        house.write(self.disk, 0, b"data" * 1024)
        self.clone = self.client.VDI.clone(self.disk, {})
        self.tracked = self._disk()
        self.client.VDI.enable_cbt(self.tracked)
        self.snapshot = self.client.VDI.snapshot(self.tracked, {})
        self.used = self._disk()
        self.vm = halted(self.client, name_label="of the site")
        house.drive(self.vm, self.used, bootable=True)
        self.client.SR.scan(self.sr)

    def _disk(self) -> str:
        return self.house.disk(self.sr, virtual_size=str(4 * MIB))

    def take_away(self) -> None:
        with suppress(Failure):
            self.client.VM.hard_shutdown(self.vm)
        with suppress(Failure):
            self.client.PBD.unplug(self.house.pbd(self.sr))
        for entry in reversed(mount_table()):
            if entry.target == str(self.path):
                run(["umount", "-l", entry.target])

    def plug_again(self) -> None:
        pbd = self.house.pbd(self.sr)
        self.client.PBD.unplug(pbd)
        self.client.PBD.plug(pbd)

    def disks(self) -> dict[str, Any]:
        return {ref: self.client.VDI.get_record(ref) for ref in self.client.SR.get_VDIs(self.sr)}

    def import_raw(self) -> None:
        for at in range(4):
            self.house.write(self.disk, at * MIB, bytes([at + 1]) * MIB)

    def export_raw(self) -> None:
        assert self.house.read(self.disk, 0, 4096) == b"data" * 1024

    def start(self) -> None:
        self.client.VM.start(self.vm, False, False)
        self.client.VM.hard_shutdown(self.vm)

    def move(self) -> None:
        moved = self.client.VDI.pool_migrate(self.used, self.other, {})
        assert moved != NULL


@dataclass(frozen=True)
class Call:
    """A call on a site's disks. What only looks may be done although nothing can be written."""

    message: str
    do: Callable[[Site], object]
    looks: bool = False


CALLS: tuple[Call, ...] = (
    Call("VDI.create", lambda site: site.house.disk(site.sr, virtual_size=str(4 * MIB))),
    Call("VDI.snapshot", lambda site: site.client.VDI.snapshot(site.disk, {})),
    Call("VDI.clone", lambda site: site.client.VDI.clone(site.disk, {})),
    Call("VDI.resize", lambda site: site.client.VDI.resize(site.disk, str(600 * MIB))),
    Call("VDI.resize_online", lambda site: site.client.VDI.resize_online(site.disk, str(600 * MIB))),
    Call("VDI.copy", lambda site: site.client.VDI.copy(site.disk, site.sr)),
    Call("VDI.destroy", lambda site: site.client.VDI.destroy(site.clone)),
    Call("VDI.enable_cbt", lambda site: site.client.VDI.enable_cbt(site.disk)),
    Call("VDI.disable_cbt", lambda site: site.client.VDI.disable_cbt(site.tracked)),
    Call("VDI.data_destroy", lambda site: site.client.VDI.data_destroy(site.snapshot)),
    Call(
        "VDI.list_changed_blocks",
        lambda site: site.client.VDI.list_changed_blocks(site.snapshot, site.tracked),
        looks=True,
    ),
    Call("VDI.set_name_label", lambda site: site.client.VDI.set_name_label(site.disk, "renamed")),
    Call("VDI.set_name_description", lambda site: site.client.VDI.set_name_description(site.disk, "described")),
    Call("VDI.update", lambda site: site.client.VDI.update(site.disk), looks=True),
    Call("VDI.checksum", lambda site: site.client.VDI.checksum(site.disk), looks=True),
    Call("VDI.generate_config", lambda site: site.client.VDI.generate_config(site.house.host, site.disk), looks=True),
    # What cannot be removed behind a disk that has moved is removed by the next start.
    Call("VDI.pool_migrate", lambda site: site.move(), looks=True),
    Call("import_raw_vdi", lambda site: site.import_raw()),
    Call("export_raw_vdi", lambda site: site.export_raw(), looks=True),
    Call("VM.start", lambda site: site.start(), looks=True),
    Call("SR.scan", lambda site: site.client.SR.scan(site.sr), looks=True),
    Call("SR.update", lambda site: site.client.SR.update(site.sr)),
    Call("SR.set_name_label", lambda site: site.client.SR.set_name_label(site.sr, "renamed")),
    Call("SR.set_name_description", lambda site: site.client.SR.set_name_description(site.sr, "described")),
)
ROWS_ONLY = {
    *("VDI.pool_introduce", "VDI.db_introduce", "VDI.db_forget", "VDI.force_unlock", "VDI.forget", "VDI.introduce"),
    *("VDI.get_nbd_info", "VDI.read_database_pool_uuid", "VDI.open_database"),
    "VDI.revert",  # is not implemented
    *("SR.make", "SR.introduce", "SR.forget", "SR.get_supported_types", "SR.set_shared", "SR.create_new_blob"),
    *("SR.enable_database_replication", "SR.disable_database_replication", "SR.get_live_hosts"),
    *("SR.assert_can_host_ha_statefile", "SR.assert_supports_database_replication"),
    *("SR.get_data_sources", "SR.record_data_source", "SR.query_data_source", "SR.forget_data_source_archives"),
    # These begin without an SR that is plugged; `test_sr_wire.py` has them.
    *("SR.create", "SR.destroy", "SR.probe", "SR.probe_ext"),
}
SAMPLE = {"VDI.create", "VDI.snapshot", "VM.start", "import_raw_vdi"}
each = pytest.mark.parametrize(
    "call",
    [pytest.param(call, marks=() if call.message in SAMPLE else pytest.mark.slow) for call in CALLS],
    ids=[call.message for call in CALLS],
)


def test_every_message_of_disks_meets_the_faults() -> None:
    declared = {
        f"{kind}.{name}"
        for kind, module in (("VDI", vdi_messages), ("SR", sr_messages))
        for name, message in vars(module).items()
        if isinstance(message, Message)
    }
    setters = {name for name in declared if ".set_" in name and not name.endswith(("_label", "_description"))}
    assert declared - setters - ROWS_ONLY <= {call.message for call in CALLS}


@pytest.fixture(scope="module")
def house() -> Iterator[StorageHouse]:
    if os.geteuid() != 0:
        pytest.skip("needs root, for loop devices and mounts")
    with storage_house() as opened:
        try:
            place = opened.place()
            place.write_bytes(bytes(MIB))
            run(["losetup", "-d", run(["losetup", "-f", "--show", str(place)]).text.strip()])
        except CommandFailed as error:
            pytest.skip(f"needs loop devices and losetup (Debian: mount): {error}")
        yield opened


@pytest.fixture
def site(house: StorageHouse) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(house, stack)


def refused(site: Site, call: Call) -> Failure | None:
    try:
        call.do(site)
    except Failure as failure:
        return failure
    except StorageFailure as failure:  # the doors for raw disks answer with what the driver says
        return Failure(failure.code, *failure.params)
    return None


def check_rows_and_files(site: Site) -> None:
    """After a scan, rows are what is there, nothing is under way, and every file passes the check."""
    site.client.SR.scan(site.sr)
    site.house.check_rows_follow_storage(site.sr)
    for row in site.disks().values():
        assert not row["missing"], row
    for path in site.path.glob("*.vhd"):
        file = RealFile.open(str(path))
        try:
            assert check(file) == []
        finally:
            file.close()


def works_again(site: Site, call: Call) -> None:
    with suppress(Failure) if call.message in ("VDI.destroy", "VDI.data_destroy", "VDI.pool_migrate") else ExitStack():
        call.do(site)
    check_rows_and_files(site)


def fill(path: Path) -> None:
    with (path / "ballast").open("wb", buffering=0) as file:
        for size in (MIB, 4096, 512):
            with suppress(OSError):
                while file.write(b"\xff" * size) == size:
                    pass
        with suppress(OSError):
            os.fsync(file.fileno())


@each
def test_full(call: Call, site: Site) -> None:
    before = site.disks()
    fill(site.path)
    failure = refused(site, call)
    if failure is not None:
        assert failure.code == "SR_BACKEND_FAILURE_44", failure
        assert "space" in failure.params[1]
        site.client.SR.scan(site.sr)
        assert site.disks().keys() == before.keys()
    (site.path / "ballast").unlink()
    works_again(site, call)


@each
def test_read_only(call: Call, site: Site) -> None:
    before = site.disks()
    run(["mount", "-o", "remount,ro", str(site.path)])
    failure = refused(site, call)
    if not call.looks:
        assert failure is not None
        assert failure.code == "SR_BACKEND_FAILURE_47", failure
        assert "cannot be written to" in failure.params[1]
    after = site.disks()
    assert after.keys() == before.keys()
    run(["mount", "-o", "remount,rw", str(site.path)])
    works_again(site, call)


@each
def test_unmounted(call: Call, site: Site) -> None:
    before = site.disks()
    run(["umount", "-l", str(site.path)])
    failure = refused(site, call)
    assert failure is not None
    assert failure.code == "SR_BACKEND_FAILURE_47", failure
    assert "mounted" in failure.params[1]
    assert site.disks() == before, "rows are not lost with a mount"
    assert os.listdir(site.path) == []
    site.plug_again()
    works_again(site, call)


def test_a_full_sr_gets_room_by_destroying_a_disk(site: Site) -> None:
    site.import_raw()
    fill(site.path)
    failure = refused(site, CALLS[0])
    assert failure is not None
    assert failure.code == "SR_BACKEND_FAILURE_44"
    record = site.client.SR.get_record(site.sr)
    assert int(record["physical_size"]) - int(record["physical_utilisation"]) < 4 * MIB, "the figures tell"
    site.client.VDI.destroy(site.disk)
    assert int(site.client.SR.get_physical_utilisation(site.sr)) < int(record["physical_utilisation"])
    CALLS[0].do(site)
    check_rows_and_files(site)


def test_a_guest_finds_out_when_it_starts_that_its_disk_has_gone(site: Site) -> None:
    run(["umount", "-l", str(site.path)])
    failure = refused(site, Call("VM.start", lambda site: site.start()))
    assert failure is not None
    assert failure.code == "SR_BACKEND_FAILURE_47"
    assert site.client.VM.get_power_state(site.vm) == "Halted"
    site.plug_again()
    site.start()
