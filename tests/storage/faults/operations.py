"""Every operation of a storage driver, as something that a fault can happen to: the one list that the tests go by."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xapi.storage.coalesce.collector import collect
from xapi.storage.coalesce.plan import Wishes
from xapi.storage.contract import GRANULE, MIB, write
from xapi.storage.interface import AttachedSr, CreateVdi, StorageFailure

SR = "5a000000-0000-4000-8000-000000000001"
PLAIN = "00000000-0000-4000-8000-000000000001"
TRACKED = "00000000-0000-4000-8000-000000000002"
OLDER = "00000000-0000-4000-8000-000000000003"
NEWER = "00000000-0000-4000-8000-000000000004"
CLONE = "00000000-0000-4000-8000-000000000005"
RAW = "00000000-0000-4000-8000-000000000006"
ON_RAW = "00000000-0000-4000-8000-000000000007"
ON_RAW_TOO = "00000000-0000-4000-8000-000000000008"
LONG = "00000000-0000-4000-8000-000000000009"


def fresh() -> str:
    return str(uuid.uuid4())


def furnish(sr: AttachedSr) -> None:
    """Fill an SR with the disks that the operations are about, but for collecting."""
    sr.create(CreateVdi(PLAIN, 4 * MIB, name_label="plain", sm_config={"custom": "value"}))
    write(sr, PLAIN, 0, b"plain" * 1024 + bytes(512 - 5120 % 512))
    sr.create(CreateVdi(TRACKED, 2 * MIB))
    sr.enable_cbt(TRACKED)
    write(sr, TRACKED, 0, b"1" * 512)
    sr.snapshot(TRACKED, OLDER)
    write(sr, TRACKED, 2 * GRANULE, b"2" * 512)
    sr.snapshot(TRACKED, NEWER)
    write(sr, TRACKED, 5 * GRANULE, b"3" * 512)
    sr.clone(PLAIN, CLONE)
    write(sr, PLAIN, MIB, b"more" * 128)
    for raw in (RAW, ON_RAW):
        sr.create(CreateVdi(raw, 2 * MIB, sm_config={"type": "raw"}))
        write(sr, raw, MIB, b"base" * 128)
    sr.clone(ON_RAW, ON_RAW_TOO)
    write(sr, ON_RAW, 0, b"leaf" * 128)


def furnish_chain(sr: AttachedSr) -> None:
    """Add a disk with a chain that is to be collected."""
    sr.create(CreateVdi(LONG, 4 * MIB))
    for number in range(3):
        write(sr, LONG, number * MIB, bytes([65 + number]) * 1024)
        sr.destroy(sr.snapshot(LONG, fresh()).location)


@dataclass(frozen=True)
class Operation:
    """What is done to the furnished SR, through which methods of a handle.

    `changes` is false for what only looks. `written` says which disk may be left half written, an old one or the new,
    `dropped` which one has less in it afterwards.
    What is `silent` does not raise.
    """

    name: str
    methods: tuple[str, ...]
    do: Callable[[Any], object]
    changes: bool = True
    written: str = ""
    dropped: str = ""
    silent: bool = False


def import_raw(sr: AttachedSr) -> None:
    with sr.open_for_writing(PLAIN) as disk:
        disk.pwrite(0, b"new" * 1024 + bytes(1024))
        disk.pwrite(2 * MIB, b"n" * MIB)
        disk.write_zeros(MIB, 4096)
        disk.flush()


def export_raw(sr: AttachedSr) -> None:
    with sr.open_for_reading(TRACKED) as disk:
        for extent in disk.extents():
            if not extent.zero:
                disk.pread(extent.offset, extent.length)


def copy(sr: AttachedSr) -> None:
    made = sr.create(CreateVdi(fresh(), 4 * MIB)).location
    try:
        with sr.open_for_reading(PLAIN) as source, sr.open_for_writing(made) as target:
            for extent in source.extents():
                if not extent.zero:
                    target.pwrite(extent.offset, source.pread(extent.offset, extent.length))
            target.flush()
    except StorageFailure:
        sr.destroy(made)
        raise


def attach(sr: AttachedSr) -> None:
    try:
        sr.attach(PLAIN, False)
        sr.activate(PLAIN)
        sr.deactivate(PLAIN)
    finally:
        sr.detach(PLAIN)


def coalesce(sr: Any) -> None:
    chains = sr.chains()
    chains.small = 0
    found = collect(chains, Wishes())
    for failure in found.failed.values():
        raise failure


OPERATIONS: tuple[Operation, ...] = (
    Operation("create", ("create",), lambda sr: sr.create(CreateVdi(fresh(), 2 * MIB, name_label="new"))),
    Operation("create raw", ("create",), lambda sr: sr.create(CreateVdi(fresh(), 2 * MIB, sm_config={"type": "raw"}))),
    Operation("destroy", ("destroy",), lambda sr: sr.destroy(CLONE)),
    Operation("destroy raw", ("destroy",), lambda sr: sr.destroy(RAW)),
    Operation("destroy a child of raw", ("destroy",), lambda sr: sr.destroy(ON_RAW)),
    Operation("destroy tracked", ("destroy",), lambda sr: sr.destroy(NEWER)),
    Operation("destroy data", ("destroy_data",), lambda sr: sr.destroy_data(OLDER)),
    Operation("update", ("update",), lambda sr: sr.update(PLAIN, "renamed", "described")),
    Operation("resize", ("resize",), lambda sr: sr.resize(PLAIN, 6 * MIB)),
    Operation("resize raw", ("resize",), lambda sr: sr.resize(RAW, 12 * MIB)),
    Operation("resize a child of raw", ("resize",), lambda sr: sr.resize(ON_RAW, 12 * MIB)),
    Operation("resize beyond its table", ("resize",), lambda sr: sr.resize(PLAIN, 258 * MIB)),
    Operation("resize online", ("resize_online",), lambda sr: sr.resize_online(TRACKED, 258 * MIB)),
    Operation("snapshot", ("snapshot",), lambda sr: sr.snapshot(PLAIN, fresh())),
    Operation("snapshot tracked", ("snapshot",), lambda sr: sr.snapshot(TRACKED, fresh())),
    Operation("snapshot raw", ("snapshot",), lambda sr: sr.snapshot(RAW, fresh())),
    Operation("clone raw", ("clone",), lambda sr: sr.clone(RAW, fresh())),
    Operation("clone an unwritten child of raw", ("clone",), lambda sr: sr.clone(ON_RAW_TOO, fresh())),
    Operation("reset", (), lambda sr: sr.reset(PLAIN), dropped=PLAIN),
    Operation("reset to raw", (), lambda sr: sr.reset(ON_RAW), dropped=ON_RAW),
    Operation("clone", ("clone",), lambda sr: sr.clone(PLAIN, fresh())),
    Operation("clone unwritten", ("clone",), lambda sr: sr.clone(CLONE, fresh())),
    Operation("enable cbt", ("enable_cbt",), lambda sr: sr.enable_cbt(PLAIN)),
    Operation("disable cbt", ("disable_cbt",), lambda sr: sr.disable_cbt(TRACKED)),
    Operation("changed blocks", ("changed_blocks",), lambda sr: sr.changed_blocks(OLDER, TRACKED), changes=False),
    Operation("import", ("open_for_writing",), import_raw, written=PLAIN),
    Operation("export", ("open_for_reading",), export_raw, changes=False),
    Operation("copy", ("create", "open_for_reading", "open_for_writing", "destroy"), copy, written="new"),
    Operation("attach a disk", ("attach", "activate", "deactivate", "detach"), attach, changes=False),
    Operation("coalesce", ("chains",), coalesce),
    Operation("find", ("find",), lambda sr: sr.find(TRACKED), changes=False),
    Operation("introduce", ("introduce",), lambda sr: sr.introduce(TRACKED, TRACKED), changes=False),
    Operation("generate config", ("generate_config",), lambda sr: sr.generate_config(TRACKED), changes=False),
    Operation("scan", ("scan",), lambda sr: sr.scan(), changes=False),
    Operation("stat", ("stat",), lambda sr: sr.stat(), changes=False, silent=True),
    Operation("update SR", ("update_sr",), lambda sr: sr.update_sr("new name", "new text")),
)
