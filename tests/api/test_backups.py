"""Backup programs: images, differences, changed blocks, memory, and restoring, call by call as Xen Orchestra does.

The real thing runs if XAPI_CLIENTS names a directory with the npm package `@xen-orchestra/backups`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import XenAPI

from tests.fakes.served import Served

MEBIBYTE = 1 << 20
SIZE = 8 * MEBIBYTE
GRAIN = 64 << 10
NBD_PORT = 10809
CLIENTS = os.environ.get("XAPI_CLIENTS", "")
MARKS = {"xo:backup:job": "job", "xo:backup:datetime": "20260101T00:00:00Z", "xo:backup:exported": "true"}
GIVEN_AT_CREATION = {
    *("name_label", "name_description", "virtual_size", "type", "sharable", "read_only"),
    *("other_config", "xenstore_data", "tags"),
}


class Program:
    """A backup program's calls."""

    def __init__(self, running: Served, session: Any, directory: Path) -> None:
        self.running = running
        self.handle = session.handle
        self.api = session.xenapi
        self.host = self.api.host.get_all()[0]
        self.sr = self.api.SR.create(self.host, {"location": str(directory)}, "0", "d", "", "file", "user", False, {})

    def door(self, method: str, path: str, body: bytes = b"", **query: str) -> bytes:
        names = "&".join(f"{name}={value}" for name, value in {**query, "session_id": self.handle}.items())
        answer = self.running.request(method, f"{path}?{names}", body)
        assert answer.status == 200, answer.body
        return answer.body

    def export(self, vdi: str, kind: str, base: str = "") -> bytes:
        return self.door("GET", "/export_raw_vdi", vdi=vdi, format=kind, **({"base": base} if base else {}))

    def put(self, vdi: str, data: bytes, kind: str) -> None:
        self.door("PUT", "/import_raw_vdi", data, vdi=vdi, format=kind)

    def write(self, vdi: str, offset: int, data: bytes) -> None:
        head = offset.to_bytes(8, "little") + len(data).to_bytes(4, "little")
        self.door("PUT", "/import_raw_vdi", head + data + bytes(12), vdi=vdi, format="raw", chunked="true")

    def make_vm(self) -> tuple[str, str]:
        api = self.api
        vm = api.VM.clone(api.VM.get_by_name_label("Other install media")[0], "precious")
        api.VM.set_is_a_template(vm, False)
        vdi = api.VDI.create({"SR": self.sr, "virtual_size": str(SIZE), "type": "user", "name_label": "data"})
        api.VBD.create({"VM": vm, "VDI": vdi, "userdevice": "0", "mode": "RW", "type": "Disk", "bootable": True})
        network = next(ref for ref, row in api.network.get_all_records().items() if row["PIFs"])
        api.VIF.create({"VM": vm, "network": network, "device": "0", "MAC": ""})
        return vm, vdi

    def snapshot(self, vm: str) -> tuple[str, str]:
        """A marked snapshot of the VM, and that of its one disk."""
        api = self.api
        snapshot = api.VM.snapshot(vm, "backup", [])
        api.VM.set_is_a_template(snapshot, False)
        (vdi,) = {api.VBD.get_VDI(ref) for ref in api.VM.get_VBDs(snapshot)} - {"OpaqueRef:NULL"}
        for key, value in MARKS.items():
            for entity, ref in ((api.VM, snapshot), (api.VDI, vdi)):
                entity.remove_from_other_config(ref, key)
                entity.add_to_other_config(ref, key, value)
        return snapshot, vdi

    def restore(self, vm: dict[str, Any], vdi: dict[str, Any], drive: dict[str, Any], *images: bytes) -> str:
        """Make a VM again from what was kept: records as they were read, and images, the full one first."""
        api = self.api
        blocked = {"start": "Importing…", "start_on": "Importing…"}
        made = api.VM.create(
            {**vm, "affinity": "OpaqueRef:NULL", "blocked_operations": blocked, "is_a_template": False}
        )
        for ref in api.VM.get_VBDs(made):
            api.VBD.destroy(ref)
        disk = api.VDI.create({"SR": self.sr, "sm_config": {}, **{name: vdi[name] for name in GIVEN_AT_CREATION}})
        api.VBD.create({**drive, "VDI": disk, "VM": made, "currently_attached": False})
        for image in images:
            self.put(disk, image, "vhd")
        api.VM.set_blocked_operations(made, {})
        return made

    def content(self, vm: str) -> bytes:
        (vdi,) = {self.api.VBD.get_VDI(ref) for ref in self.api.VM.get_VBDs(vm)} - {"OpaqueRef:NULL"}
        return self.export(vdi, "raw")

    def destroy(self, vm: str) -> None:
        disks = [self.api.VBD.get_VDI(ref) for ref in self.api.VM.get_VBDs(vm)]
        if self.api.VM.get_power_state(vm) != "Halted":
            self.api.VM.hard_shutdown(vm)
        self.api.VM.destroy(vm)
        for disk in disks:
            self.api.VDI.destroy(disk)

    def close(self) -> None:
        for vdi in self.api.SR.get_VDIs(self.sr):
            with suppress(XenAPI.Failure):
                self.api.VDI.destroy(vdi)
        for pbd in self.api.SR.get_PBDs(self.sr):
            self.api.PBD.unplug(pbd)
        self.api.SR.forget(self.sr)


@pytest.fixture
def program(running: Served, session: Any, tmp_path: Path) -> Iterator[Program]:
    made = Program(running, session, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("running_meanwhile", [False, True])
def test_a_full_image_and_differences_are_kept_and_restored(program, running_meanwhile):
    api = program.api
    vm, vdi = program.make_vm()
    program.put(vdi, os.urandom(3 * MEBIBYTE) + bytes(SIZE - 3 * MEBIBYTE), "raw")
    before = api.VM.get_blocked_operations(vm)
    for name in ("pool_migrate", "migrate_send"):
        api.VM.add_to_blocked_operations(vm, name, "VM migration is blocked during backup")
    kept, images, contents, base, previous = [], [], [], "", ""
    for number in range(3):
        if number:
            program.write(vdi, (number + 3) * MEBIBYTE, os.urandom(MEBIBYTE))
        if running_meanwhile:
            api.VM.start(vm, False, False)
        snapshot, disk = program.snapshot(vm)
        if running_meanwhile:
            api.VM.clean_shutdown(vm)
        images.append(program.export(disk, "vhd", base))
        contents.append(program.export(disk, "raw"))
        (drive,) = (api.VBD.get_record(ref) for ref in api.VM.get_VBDs(snapshot))
        kept.append((api.VM.get_record(snapshot), api.VDI.get_record(disk), drive))
        if previous:
            program.destroy(previous)
        base, previous = disk, snapshot
    for name in ("pool_migrate", "migrate_send"):
        api.VM.remove_from_blocked_operations(vm, name)
    assert api.VM.get_blocked_operations(vm) == before
    assert all(len(image) < 3 * MEBIBYTE < len(images[0]) for image in images[1:]), "a difference is small"
    for number, records in enumerate(kept):
        restored = program.restore(*records, *images[: number + 1])
        assert program.content(restored) == contents[number]
        api.VM.start(restored, False, False)
        program.destroy(restored)
    for ref in (previous, vm):
        program.destroy(ref)


def test_changed_blocks_tell_what_to_copy_after_the_snapshots_data_is_gone(program):
    api = program.api
    vm, vdi = program.make_vm()
    program.put(vdi, os.urandom(3 * MEBIBYTE) + bytes(SIZE - 3 * MEBIBYTE), "raw")
    api.VDI.enable_cbt(vdi)
    copy = bytearray(SIZE)
    base = ""
    for number in range(3):
        if number:
            program.write(vdi, number * MEBIBYTE, os.urandom(GRAIN))
        snapshot, disk = program.snapshot(vm)
        content = program.export(disk, "raw")
        changed = range(0, SIZE, GRAIN)
        if base:
            bits = base64.b64decode(api.VDI.list_changed_blocks(base, disk))
            changed = [at for at in changed if bits[at // GRAIN // 8] & 0x80 >> at // GRAIN % 8]
            assert changed == [number * MEBIBYTE]
            api.VDI.destroy(base)
        for at in changed:
            copy[at : at + GRAIN] = content[at : at + GRAIN]
        assert hashlib.sha256(copy).digest() == hashlib.sha256(content).digest()
        api.VM.destroy(snapshot)
        api.VDI.data_destroy(disk)
        assert api.VDI.get_type(disk) == "cbt_metadata"
        assert api.VDI.get_other_config(disk)["xo:backup:exported"] == "true"
        base = disk
    api.VDI.destroy(base)
    program.destroy(vm)


def test_a_suspended_vm_is_restored_and_goes_on(program):
    api = program.api
    vm, _ = program.make_vm()
    api.VM.set_suspend_SR(vm, program.sr)
    api.VM.start(vm, False, False)
    checkpoint = api.VM.checkpoint(vm, "with its memory")
    record = api.VM.get_record(checkpoint)
    assert record["power_state"] == "Suspended"
    memory = api.VDI.get_record(record["suspend_VDI"])
    image = program.export(record["suspend_VDI"], "vhd")
    disk = api.VBD.get_VDI(api.VM.get_VBDs(checkpoint)[0])
    data = program.export(disk, "vhd")
    kept = api.VDI.create({"SR": program.sr, "sm_config": {}, **{name: memory[name] for name in GIVEN_AT_CREATION}})
    program.put(kept, image, "vhd")
    drive = api.VBD.get_record(api.VM.get_VBDs(checkpoint)[0])
    restored = program.restore({**record, "suspend_VDI": kept}, api.VDI.get_record(disk), drive, data)
    assert api.VM.get_power_state(restored) == "Suspended"
    api.VM.resume(restored, False, False)
    assert api.VM.get_power_state(restored) == "Running"
    for ref in (restored, vm):
        program.destroy(ref)
    api.VM.hard_shutdown(checkpoint)
    program.destroy(checkpoint)


@pytest.mark.slow
@pytest.mark.skipif(
    not CLIENTS or not (Path(CLIENTS) / "node_modules/@xen-orchestra/backups").is_dir(),
    reason="XAPI_CLIENTS names no directory with the npm package @xen-orchestra/backups",
)
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
@pytest.mark.parametrize("mode", ["full", "differences", "nbd", "replication", "memory", "metadata"])
def test_xen_orchestras_own_backups(mode, tmp_path):
    with socket.socket() as probe:
        if mode == "nbd" and probe.connect_ex(("127.0.0.1", NBD_PORT)) == 0:
            pytest.skip("another server offers disks over NBD at the port that clients expect")
    served = Served()
    script = Path(__file__).with_name("xen_orchestra_backups.mjs")
    copied = Path(CLIENTS) / f".{tmp_path.name}-{script.name}"  # where node looks for the packages
    shutil.copy(script, copied)
    try:
        done = subprocess.run(
            ["node", str(copied), f"https://127.0.0.1:{served.https[1]}", served.password, str(tmp_path), mode],
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        copied.unlink()
        served.close()
    assert done.returncode == 0, done.stdout + done.stderr
