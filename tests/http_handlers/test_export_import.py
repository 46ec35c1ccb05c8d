from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import re
import socket
import ssl
import tarfile
import uuid
from contextlib import suppress
from typing import Any

import pytest
import zstandard

from tests.fakes.eventually import eventually
from tests.http_handlers.doors import MIB, Doors, noise, pieces
from tests.http_handlers.xva.test_legacy import APPLIANCE
from xapi.datamodel.classes import SR, VBD, VDI, VIF, VM, Network, Task, VMGuestMetrics
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.roles import VM_ADMIN
from xapi.http_handlers.xva import digests, ova_xml
from xapi.http_handlers.xva.archive import member_head

CONTENT = {0: noise(1024), 3 * MIB + 512: noise(MIB, 2), 9 * MIB: noise(100 * 512, 3)}


def make_vm(doors: Doors, name: str = "a VM", **fields: Any) -> str:
    vm = doors.client.VM.create(
        {
            "name_label": name,
            "name_description": "Zürich <&>",
            "memory_static_max": "268435456",
            "memory_dynamic_max": "268435456",
            "memory_dynamic_min": "134217728",
            "memory_static_min": "67108864",
            "VCPUs_max": "2",
            "VCPUs_at_startup": "1",
            "HVM_boot_policy": "BIOS order",
            "HVM_boot_params": {"order": "cd"},
            "platform": {"acpi": "1"},
            "other_config": {"key": "value", "mac_seed": str(uuid.uuid4())},
            "tags": ["b", "a"],
            **fields,
        }
    )
    return str(vm)


def furnish(doors: Doors, vm: str) -> tuple[str, str]:
    """Two disks, an empty CD drive and a card."""
    root, data = doors.disk(10 * MIB, CONTENT, name_label="root"), doors.disk(4 * MIB, name_label="data")
    doors.connect(vm, root, "0", bootable=True)
    doors.connect(vm, data, "1")
    doors.client.VBD.create({"VM": vm, "empty": True, "type": "CD", "mode": "RO", "userdevice": "3"})
    network = doors.client.network.get_all()[0]
    doors.client.VIF.create({"VM": vm, "network": network, "device": "0", "MAC": "02:00:00:00:00:07", "MTU": "1400"})
    return root, data


@pytest.fixture
def vm(doors: Doors) -> str:
    made = make_vm(doors)
    furnish(doors, made)
    return made


def exported(doors: Doors, vm: str, **query: str) -> bytes:
    answer = doors.get("/export", ref=vm, **query)
    assert answer.status == 200, answer.body
    return answer.body


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        assert len(names) == len(set(names))
        return {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]


def archive(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def imported(doors: Doors, body: Any, path: str = "/import", **query: str) -> list[str]:
    task = doors.task()
    answer = doors.put(path, body, task_id=task, **query)
    assert (answer.status, doors.ended(task)) == (200, ("success", [])), answer.body
    result = doors.db.get(Task, task).result
    found = re.fullmatch(r"<value><array><data>(.*)</data></array></value>", result)
    assert found, result
    return re.findall("<value>(OpaqueRef:[0-9a-f-]+)</value>", found[1])


def everything(doors: Doors) -> dict[str, set[str]]:
    """What an import could leave behind."""
    rows = {e.wire_name: {row.ref for row in doors.db.all(e)} for e in (VM, VDI, VBD, VIF, Network, VMGuestMetrics)}
    return rows | {"on disk": {facts.uuid for facts in doors.disks.scan().vdis}}


def disks_of(doors: Doors, vm: str) -> dict[str, str]:
    drives = [doors.db.get(VBD, ref) for ref in doors.db.get(VM, vm).VBDs]
    return {drive.userdevice: drive.VDI for drive in drives}


# The archive itself


def test_only_the_vm_tells_of_the_task_that_imports_it(doors, vm):
    archive = exported(doors, vm)
    task, db = doors.task(), doors.toolstack.db
    told: set[tuple[str, str]] = set()

    def look() -> None:
        for entity in (SR, VDI, VM, VBD, VIF, Network):
            for row in db.all(entity):
                if task in row.current_operations:
                    told.add((entity.wire_name, row.name_label if entity is VM else ""))

    forget = db.waiters.add([(entity, "") for entity in (SR, VDI, VM, VBD, VIF, Network, Task)], look)
    assert doors.put("/import", archive, task_id=task).status == 200
    forget()
    assert told == {("VM", "a VM")}
    assert doors.client.task.get_subtasks(task) == []


def test_the_archive_is_what_other_tools_expect(doors, vm):
    answer = doors.get("/export", ref=vm)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="export.xva"'
    files = members(answer.body)
    names = list(files)
    assert names[0] == "ova.xml"
    described = ova_xml.parse(files["ova.xml"])
    disks = {one.snapshot["name_label"]: one.id for one in described.of_class("VDI")}
    root = [name for name in names if name.startswith(disks["root"] + "/") and name[-8:].isdecimal()]
    assert [name.rpartition("/")[2] for name in root] == ["00000000", "00000003", "00000004", "00000009"]
    data = [name for name in names if name.startswith(disks["data"] + "/") and name[-8:].isdecimal()]
    assert [name.rpartition("/")[2] for name in data] == ["00000000", "00000003"]
    for name in root + data:
        checksum = names[names.index(name) + 1]
        assert checksum == name + digests.WRITTEN
        assert files[checksum].decode() == digests.DIGESTS[digests.WRITTEN](files[name])
        assert len(files[name]) == MIB
    prefixes = list(dict.fromkeys(name.partition("/")[0] for name in names[1:]))
    assert prefixes == sorted(prefixes)
    assert answer.body.endswith(bytes(1024))


def test_the_description_is_that_of_todays_hosts(doors, vm):
    described = ova_xml.parse(members(exported(doors, vm))["ova.xml"])
    assert list(described.version) == [
        "hostname",
        "date",
        "product_version",
        "product_brand",
        "build_number",
        "xapi_major",
        "xapi_minor",
        "export_vsn",
    ]
    assert (described.number("xapi_major"), described.number("export_vsn")) == (1, 2)
    assert [one.class_name for one in described.objects] == [
        "VM",
        "VBD",
        "VBD",
        "VBD",
        "VIF",
        "network",
        "VDI",
        "VDI",
        "SR",
    ]
    assert all(re.fullmatch(r"Ref:\d+", one.id) for one in described.objects)
    (record,) = described.of_class("VM")
    assert record.snapshot["uuid"] == doors.db.get(VM, vm).uuid
    assert record.snapshot["power_state"] == "Halted" and record.snapshot["affinity"] == "OpaqueRef:NULL"
    assert set(record.snapshot["VBDs"]) == {one.id for one in described.of_class("VBD")}
    assert not re.search("OpaqueRef:[0-9a-f]", members(exported(doors, vm))["ova.xml"].decode())


@pytest.mark.parametrize("method", ["true", "gzip"])
def test_a_compressed_archive(doors, vm, method):
    data = exported(doors, vm, use_compression=method)
    assert data[:2] == b"\x1f\x8b"
    assert gzip.decompress(data) == exported(doors, vm)
    assert exported(doors, vm, use_compression="false")[:7] == b"ova.xml"


def test_an_archive_compressed_by_zstandard(doors, vm):
    data = exported(doors, vm, use_compression="zstd")
    plain = zstandard.ZstdDecompressor().stream_reader(data).read()
    assert plain == exported(doors, vm)
    (made,) = imported(doors, zstandard.compress(plain, 9))
    assert doors.content(disks_of(doors, made)["0"]) == doors.content(disks_of(doors, vm)["0"])
    for cut in (20, len(data) // 2):
        before = everything(doors)
        answer = doors.put("/import", data[:-cut])
        assert answer.status == 400 and b"IMPORT_ERROR_PREMATURE_EOF" in answer.body
        assert everything(doors) == before


def test_a_vm_by_uuid_and_what_is_wrong_with_a_request(doors, vm):
    assert doors.get("/export", uuid=doors.db.get(VM, vm).uuid).status == 200
    assert doors.get("/export/", uuid=doors.db.get(VM, vm).uuid).status == 200
    assert doors.get("/export", uuid="11111111-2222-3333-4444-555555555555").status == 404
    assert doors.get("/export", ref="OpaqueRef:x").status == 404
    assert doors.get("/export").status == 400


def test_a_running_vm_is_not_exported(doors):
    running = make_vm(doors)
    with doors.db.transaction() as transaction:
        transaction.update(VM, running, power_state=VmPowerState.RUNNING)
    task = doors.task()
    answer = doors.get("/export", ref=running, task_id=task)
    assert answer.status == 500 and b"VM_BAD_POWER_STATE" in answer.body
    assert doors.ended(task)[1][:2] == ["VM_BAD_POWER_STATE", running]


def test_a_vm_is_occupied_while_it_is_exported_and_free_afterwards(doors):
    vm = make_vm(doors)
    doors.connect(vm, doors.disk(40 * MIB, {0: noise(40 * MIB)}))
    task = doors.task()
    path = doors.path("/export", {"ref": vm, "task_id": task})
    with socket.create_connection(doors.address, 30) as peer:
        peer.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        peer.recv(100)
        assert doors.client.VM.get_current_operations(vm) == {task: "export"}
        while peer.recv(1 << 20):
            pass
    assert doors.client.VM.get_current_operations(vm) == {}
    assert doors.ended(task) == ("success", [])


# There and back


@pytest.mark.parametrize("compression", ["", "true", "zstd"])
@pytest.mark.parametrize("sr", ["sr_id", "sr_uuid", ""])
def test_there_and_back(doors, vm, compression, sr):
    data = exported(doors, vm, use_compression=compression)
    where = {"sr_id": doors.sr, "sr_uuid": doors.client.SR.get_uuid(doors.sr)}
    (made,) = imported(doors, data, **({sr: where[sr]} if sr else {}))
    old, new = doors.client.VM.get_record(vm), doors.client.VM.get_record(made)
    assert new["uuid"] != old["uuid"] and new["current_operations"] == {}
    assert "start" in new["allowed_operations"]
    for name in ("name_label", "name_description", "VCPUs_max", "HVM_boot_params", "platform", "tags", "domain_type"):
        assert new[name] == old[name], name
    assert new["memory_dynamic_min"] == "134217728" and new["memory_target"] == old["memory_target"]
    assert new["other_config"]["key"] == "value"
    assert new["other_config"]["mac_seed"] != old["other_config"]["mac_seed"]
    before, after = disks_of(doors, vm), disks_of(doors, made)
    assert before.keys() == after.keys() == {"0", "1", "3"}
    for device in ("0", "1"):
        assert after[device] != before[device]
        assert doors.content(after[device]) == doors.content(before[device])
    assert after["3"] == "OpaqueRef:NULL"
    drives = {doors.db.get(VBD, ref).userdevice: doors.db.get(VBD, ref) for ref in doors.db.get(VM, made).VBDs}
    assert drives["0"].bootable and drives["3"].empty and not drives["0"].empty
    assert doors.db.get(VDI, after["0"]).name_label == "root"
    (card,) = (doors.db.get(VIF, ref) for ref in doors.db.get(VM, made).VIFs)
    (old_card,) = (doors.db.get(VIF, ref) for ref in doors.db.get(VM, vm).VIFs)
    assert card.MAC != "02:00:00:00:00:07" and card.MAC_autogenerated
    assert (card.network, card.MTU, card.device) == (old_card.network, 1400, "0")
    assert doors.db.get(VM, made).metrics in {
        row.ref for row in doors.db.all(type(doors.db.get(VM, made)).field_named["metrics"].type.entity)
    }


def test_a_sparse_disk_stays_sparse(doors, vm):
    (made,) = imported(doors, exported(doors, vm))
    vdi = disks_of(doors, made)["1"]
    assert doors.disks.find(doors.db.get(VDI, vdi).location).physical_utilisation < MIB


def test_a_huge_disk_with_little_in_it_costs_little(doors):
    vm = make_vm(doors)
    size, place, content = 1 << 40, (1 << 39) + 4096, noise(MIB, 8)
    doors.connect(vm, doors.disk(size, {place: content}))
    data = exported(doors, vm)
    assert len(data) < 5 * MIB
    (made,) = imported(doors, data)
    row = doors.db.get(VDI, disks_of(doors, made)["0"])
    with doors.disks.open_for_reading(row.location) as reader:
        assert reader.size == size
        assert reader.pread(place, MIB) == content
        assert sum(extent.length for extent in reader.extents() if not extent.zero) < 8 * MIB


def test_the_imported_vm_tells_of_the_import_while_it_lasts(doors, vm):
    data = exported(doors, vm)
    task = doors.task()
    seen: list[dict[str, str]] = []

    def body():
        yield from pieces(data[: 4 * MIB])
        for row in doors.db.all(VM):
            if task in row.current_operations:
                seen.append(
                    {
                        **row.current_operations,
                        "object_creation": doors.db.get(Task, task).other_config["object_creation"],
                    }
                )
                with pytest.raises(Exception, match="OTHER_OPERATION_IN_PROGRESS"):
                    doors.client.VM.start(row.ref, False, False)
        yield from pieces(data[4 * MIB :])

    assert doors.put("/import", body(), task_id=task).status == 200
    assert seen == [{task: VmOperations.IMPORT, "object_creation": "complete"}]


def test_an_absurd_length_and_http_1_0(doors, vm):
    data = exported(doors, vm)
    for lines in (b"HTTP/1.1\r\nHost: x\r\nContent-Length: 1125899906842624\r\nConnection: close", b"HTTP/1.0"):
        before = everything(doors)["VM"]
        path = doors.path("/import", {}).encode()
        received = doors.raw(b"PUT " + path + b" " + lines + b"\r\n\r\n", data, shut=lines == b"HTTP/1.0")
        assert received.startswith(b"HTTP/1.1 200"), received
        assert len(everything(doors)["VM"] - before) == 1


def test_an_empty_upload_makes_nothing(doors):
    before = everything(doors)
    for path in ("/import", "/import_metadata"):
        assert doors.put(path, b"").status == 200
    assert everything(doors) == before


def test_a_template_comes_back_as_one(doors):
    template = make_vm(doors, is_a_template=True)
    (made,) = imported(doors, exported(doors, template))
    assert doors.client.VM.get_is_a_template(made)


def test_a_suspended_vm_keeps_its_memory(doors, vm):
    image = doors.disk(2 * MIB, {0: noise(MIB, 9)}, type=VdiType.SUSPEND)
    with doors.db.transaction() as transaction:
        transaction.update(VM, vm, power_state=VmPowerState.SUSPENDED, suspend_VDI=image)
    (made,) = imported(doors, exported(doors, vm, preserve_power_state="true"))
    row = doors.db.get(VM, made)
    assert row.power_state is VmPowerState.SUSPENDED
    assert doors.content(row.suspend_VDI) == doors.content(image)
    (halted,) = imported(doors, exported(doors, vm))
    assert doors.db.get(VM, halted).power_state is VmPowerState.HALTED


def test_a_network_that_is_not_here_is_made(doors, vm):
    files = members(exported(doors, vm))
    text = files["ova.xml"].decode()
    label = doors.db.get(Network, doors.db.get(VIF, doors.db.get(VM, vm).VIFs[0]).network).name_label
    bridge = doors.db.get(Network, doors.db.get(VIF, doors.db.get(VM, vm).VIFs[0]).network).bridge
    by_bridge = text.replace(label, "nowhere else")
    (made,) = imported(doors, archive({**files, "ova.xml": by_bridge.encode()}))
    assert doors.db.get(Network, doors.db.get(VIF, doors.db.get(VM, made).VIFs[0]).network).name_label == label
    fresh = by_bridge.replace(f"<value>{bridge}</value>", "<value>br99</value>")
    (made,) = imported(doors, archive({**files, "ova.xml": fresh.encode()}))
    network = doors.db.get(VIF, doors.db.get(VM, made).VIFs[0]).network
    assert doors.db.get(Network, network).name_label == "nowhere else"


def test_unknown_fields_classes_and_versions_are_passed_over(doors, vm):
    files = members(exported(doors, vm))
    text = files["ova.xml"].decode()
    text = text.replace("<name>build_number</name>", "<name>something_new</name>")
    text = text.replace("<name>tags</name>", "<name>tags_of_tomorrow</name>")
    text = text.replace("<value>Halted</value>", "<value>Dreaming</value>")
    new = ova_xml.render({}, [("tomorrow", "Ref:99", b"<value><struct></struct></value>")]).decode()
    new = new[new.index("<array><data>") + len("<array><data>") : new.index("</data></array>")]
    text = text.replace("<array><data>", "<array><data>" + new, 1)
    (made,) = imported(doors, archive({**files, "ova.xml": text.encode()}))
    assert doors.client.VM.get_tags(made) == []
    assert doors.client.VM.get_power_state(made) == "Halted"


def test_an_older_archive_with_sha1(doors, vm):
    files = members(exported(doors, vm))
    old = {}
    for name, content in files.items():
        if name.endswith(digests.WRITTEN):
            continue
        old[name] = content
        if "/" in name:
            old[name + ".checksum"] = hashlib.sha1(content).hexdigest().encode()
    (made,) = imported(doors, archive(old))
    assert doors.content(disks_of(doors, made)["0"]) == doors.content(disks_of(doors, vm)["0"])
    newer = {
        k.replace(".checksum", ".xxhash"): digests.xxh64(old[k[:-9]]).encode() if k.endswith(".checksum") else v
        for k, v in old.items()
    }
    imported(doors, archive(newer))


def test_an_archive_gives_nobody_more_than_his_role(doors):
    vm = make_vm(doors, other_config={"pci": "0/0000:00:01.0", "plain": "1"})
    data = exported(doors, vm)
    assert doors.client.VM.get_other_config(imported(doors, data)[0])["pci"]
    somebody = doors.house.caller(VM_ADMIN)
    before = everything(doors)["VM"]
    assert doors.put("/import", data, session_id=somebody.session).status == 200
    (made,) = everything(doors)["VM"] - before
    kept = doors.client.VM.get_other_config(made)
    assert "pci" not in kept and kept["plain"] == "1"


def test_a_cd_is_found_again_by_its_name_or_is_left_out(doors, vm):
    with doors.db.transaction() as transaction:
        library = transaction.create(SR, name_label="isos", type="iso", content_type="iso")
        common = {"SR": library, "virtual_size": 2 * MIB, "read_only": True, "managed": True}
        kept = transaction.create(VDI, location="kept.iso", **common)
        gone = transaction.create(VDI, location="gone.iso", **common)
        for device, vdi in (("4", kept), ("5", gone)):
            transaction.create(VBD, VM=vm, VDI=vdi, userdevice=device, type="CD", mode="RO")
    data = exported(doors, vm)
    assert not any(name.startswith("Ref:") and b"iso" in content for name, content in members(data).items())
    with doors.db.transaction() as transaction:
        transaction.delete(VDI, gone)
    (made,) = imported(doors, data)
    disks = disks_of(doors, made)
    assert (disks["4"], disks["5"]) == (kept, "OpaqueRef:NULL")
    drives = {doors.db.get(VBD, ref).userdevice: doors.db.get(VBD, ref) for ref in doors.db.get(VM, made).VBDs}
    assert drives["5"].empty and not drives["4"].empty


def test_a_built_in_template_is_the_one_that_is_here(doors):
    template = next(row for row in doors.db.all(VM) if row.is_default_template)
    before = everything(doors)
    assert imported(doors, exported(doors, template.ref)) == []
    assert everything(doors) == before


def test_memory_of_an_archive_from_before_it_was_dynamic(doors):
    vm = make_vm(doors)
    files = members(exported(doors, vm))
    old = files["ova.xml"].replace(b"<name>parent</name>", b"<name>not_yet</name>")
    (made,) = imported(doors, archive({"ova.xml": old}))
    row = doors.db.get(VM, made)
    assert row.memory_dynamic_min == row.memory_dynamic_max == row.memory_target == row.memory_static_max


def test_the_disks_that_others_depend_on_are_told_if_wanted(doors):
    vm = make_vm(doors)
    base = doors.disk(2 * MIB, name_label="base copy")
    doors.connect(vm, doors.disk(2 * MIB, sm_config={"vhd-parent": doors.db.get(VDI, base).uuid}))

    def count(door: str, **query: str) -> int:
        data = doors.get(door, ref=vm, **query).body
        return len(ova_xml.parse(members(data)["ova.xml"]).of_class("VDI"))

    for door in ("/export_metadata", "/export"):
        assert (count(door), count(door, include_vhd_parents="true")) == (1, 2)
    assert len(disks_of(doors, imported(doors, doors.get("/export", ref=vm, include_vhd_parents="true").body)[0])) == 1


# Restoring


def test_a_restore_keeps_identities(doors, vm):
    row, data = doors.db.get(VM, vm), exported(doors, vm)
    doors.client.VM.destroy(vm)
    (made,) = imported(doors, data, restore="true")
    new = doors.db.get(VM, made)
    assert (new.uuid, new.other_config["mac_seed"], new.version) == (row.uuid, row.other_config["mac_seed"], 1)
    assert doors.db.get(VIF, new.VIFs[0]).MAC == "02:00:00:00:00:07"
    doors.client.VM.destroy(made)


def test_a_restore_does_not_double_a_vm(doors):
    seed = {"mac_seed": "99999999-2222-3333-4444-555555555555"}
    vm = make_vm(doors, other_config=seed)
    data = exported(doors, vm)
    refused = doors.put("/import", data, restore="true")
    assert refused.status == 500 and b"VM_TO_IMPORT_IS_NOT_NEWER_VERSION" in refused.body
    with doors.db.transaction() as transaction:
        transaction.update(VM, vm, power_state=VmPowerState.RUNNING)
    assert b"VM_BAD_POWER_STATE" in doors.put("/import", data, restore="true").body
    with doors.db.transaction() as transaction:
        transaction.update(VM, vm, power_state=VmPowerState.HALTED)
    identity = doors.db.get(VM, vm).uuid
    (made,) = imported(doors, data, restore="true", force="true")
    assert doors.db.get(VM, made).uuid == identity and doors.db.find(VM, vm) is None
    twin = make_vm(doors, other_config=seed)
    doors.client.VM.destroy(made)
    assert b"DUPLICATE_VM: " + twin.encode() in doors.put("/import", data, restore="true").body


# What goes wrong leaves nothing behind

LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
BILLION_LAUGHS = f'<!DOCTYPE a [<!ENTITY a0 "ha">{LAUGHS}]><value>&a9;</value>'.encode()


def sized(file: tuple[str, bytes]) -> tuple[str, int]:
    return file[0], len(file[1])


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def note() -> bytes:
    """An extended head that says nothing of importance."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 0
    return info.tobuf(tarfile.USTAR_FORMAT)


def broken(files: dict[str, bytes]) -> dict[str, tuple[bytes, str]]:
    names = list(files)
    block = names[1]
    text = files["ova.xml"].decode()

    def changed(**replaced: bytes) -> dict[str, bytes]:
        return {**files, **{names[int(index[1:])]: value for index, value in replaced.items()}}

    def xml(old: str, new: str, count: int = -1) -> bytes:
        assert old in text
        return archive({**files, "ova.xml": text.replace(old, new, count).encode()})

    def renamed(old: str, new: str) -> bytes:
        return archive({new if name == old else name: content for name, content in files.items()})

    def in_a_row(*pieces: tuple[str, bytes], kind: bytes = b"0") -> bytes:
        """Files in an order and with names that no dictionary has, the last one of a kind of its own."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for number, (name, content) in enumerate(pieces, 1):
                info = tarfile.TarInfo(name)
                info.type = kind if number == len(pieces) else b"0"
                info.linkname = "" if info.isreg() else "/etc/passwd"
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return data.getvalue()

    whole = archive(files)
    listed = list(files.items())
    description, first = listed[0], listed[1:3]
    return {
        "link": (in_a_row(description, (block, b""), kind=tarfile.SYMTYPE), "IMPORT_ERROR"),
        "hard link": (in_a_row(description, (block, b""), kind=tarfile.LNKTYPE), "IMPORT_ERROR"),
        "device": (in_a_row(description, (block, b""), kind=tarfile.CHRTYPE), "IMPORT_ERROR"),
        "directory": (in_a_row(description, ("Ref:1", b""), kind=tarfile.DIRTYPE), "IMPORT_ERROR"),
        "description twice": (in_a_row(description, description, *listed[1:]), "IMPORT_ERROR_UNEXPECTED_FILE"),
        "block twice": (in_a_row(description, *first, *first, *listed[3:]), "IMPORT_ERROR"),
        "checksum twice": (
            in_a_row(description, *first, first[1], *listed[3:]),
            "IMPORT_ERROR_UNEXPECTED_FILE",
        ),
        "tables without end": (
            in_a_row(description, *[("checksum.xml", b"")] * 1000, *listed[1:]),
            "IMPORT_ERROR_UNEXPECTED_FILE",
        ),
        "notes without end": (
            gzip.compress(member_head(*sized(description)) + padded(description[1]) + note() * 100),
            "IMPORT_ERROR",
        ),
        "description that unpacks to a gibibyte": (
            gzip.compress(member_head("ova.xml", 1 << 30) + bytes(64 * MIB)),
            "IMPORT_ERROR",
        ),
        "entities that grow": (archive({**files, "ova.xml": BILLION_LAUGHS}), "IMPORT_ERROR"),
        "cut short": (whole[: len(whole) // 2], "IMPORT_ERROR_PREMATURE_EOF"),
        "cut in the description": (whole[:3000], "IMPORT_ERROR_PREMATURE_EOF"),
        "nothing but the description": (archive({"ova.xml": files["ova.xml"]}), "IMPORT_ERROR_PREMATURE_EOF"),
        "checksum": (archive(changed(_2=b"0" * 40)), "IMPORT_ERROR_SOME_CHECKSUMS_FAILED"),
        "no checksum": (archive({n: c for n, c in files.items() if n != names[2]}), "IMPORT_ERROR_UNEXPECTED_FILE"),
        "no description": (archive({n: c for n, c in files.items() if n != "ova.xml"}), "IMPORT_ERROR_UNEXPECTED_FILE"),
        "stranger": (archive({**files, "passwd": b"root"}), "IMPORT_ERROR_UNEXPECTED_FILE"),
        "traversal": (renamed(block, "Ref:1/../../00000000"), "IMPORT_ERROR"),
        "absolute": (renamed(block, "/etc/passwd"), "IMPORT_ERROR"),
        "no number": (renamed(block, block[:-3] + "abc"), "IMPORT_ERROR_UNEXPECTED_FILE"),
        "beyond the end": (renamed(block, block[:-8] + "00000999"), "IMPORT_ERROR"),
        "longer than the disk": (archive(changed(_1=bytes(11 * MIB))), "IMPORT_ERROR"),
        "no tar": (b"hello" * 1000, "IMPORT_ERROR"),
        "no xml": (archive({**files, "ova.xml": b"<x"}), "IMPORT_ERROR"),
        "document type": (
            archive({**files, "ova.xml": b'<!DOCTYPE a [<!ENTITY b "c">]>' + files["ova.xml"]}),
            "IMPORT_ERROR",
        ),
        "newer release": (
            xml("<name>xapi_major</name><value>1<", "<name>xapi_major</name><value>99<"),
            "IMPORT_INCOMPATIBLE_VERSION",
        ),
        "two of a name": (xml("<value>Ref:1</value>", "<value>Ref:0</value>"), "IMPORT_ERROR"),
        "no disk": (xml("<value>VDI</value>", "<value>DVI</value>"), "IMPORT_ERROR_FAILED_TO_FIND_OBJECT"),
        "no network": (xml("<value>network</value>", "<value>work</value>"), "IMPORT_ERROR_FAILED_TO_FIND_OBJECT"),
        "two drives in one place": (
            xml("<name>userdevice</name><value>1<", "<name>userdevice</name><value>0<"),
            "IMPORT_ERROR",
        ),
        "absurd card": (xml("<name>device</name><value>0<", "<name>device</name><value>zero<"), "IMPORT_ERROR"),
        "absurd size": (xml(f"<value>{10 * MIB}</value>", f"<value>{1 << 60}</value>"), "SR_BACKEND_FAILURE_79"),
        "negative size": (xml(f"<value>{10 * MIB}</value>", "<value>-1</value>"), "SR_BACKEND_FAILURE_79"),
        "compressed and cut": (gzip.compress(whole)[:-1000], "IMPORT_ERROR_PREMATURE_EOF"),
        "compressed and damaged": (b"\x1f\x8b\xff" + gzip.compress(whole)[3:], "IMPORT_ERROR"),
        "disk that grows": (
            xml(f"<value>{10 * MIB}</value>", f"<value>{20 * MIB}</value>"),
            "IMPORT_ERROR_PREMATURE_EOF",
        ),
    }


CASES = [
    "link", "hard link", "device", "directory", "description twice", "block twice", "checksum twice",
    "tables without end", "notes without end", "description that unpacks to a gibibyte",
    "entities that grow",
    "cut short", "cut in the description", "nothing but the description", "checksum", "no checksum", "no description",
    "stranger", "traversal", "absolute", "no number", "beyond the end", "longer than the disk", "no tar", "no xml",
    "document type", "newer release", "two of a name", "no disk", "no network", "two drives in one place",
    "absurd card", "absurd size", "negative size", "compressed and cut", "compressed and damaged", "disk that grows",
]  # fmt: skip


@pytest.fixture(scope="module")
def spoiled(doors: Doors) -> dict[str, tuple[bytes, str]]:
    vm = make_vm(doors, other_config={"mac_seed": "spoiled"})
    furnish(doors, vm)
    return broken(members(exported(doors, vm)))


@pytest.mark.parametrize("case", CASES)
def test_a_broken_archive_leaves_nothing_behind(doors, spoiled, case):
    assert set(CASES) == spoiled.keys()
    data, code = spoiled[case]
    before = everything(doors)
    task = doors.task()
    answer = doors.put("/import", data, task_id=task)
    assert answer.status == (500 if code.startswith("SR_") else 400), answer.body
    status, error = doors.ended(task)
    assert (status, error[0]) == ("failure", code), error
    assert everything(doors) == before


def test_force_takes_an_archive_of_a_newer_release(doors, spoiled):
    (made,) = imported(doors, spoiled["newer release"][0], force="true")
    assert len(disks_of(doors, made)) == 3


def test_force_takes_a_block_with_a_wrong_checksum(doors, spoiled):
    (made,) = imported(doors, spoiled["checksum"][0], force="true")
    assert len(disks_of(doors, made)) == 3


def test_a_peer_that_goes_away_leaves_nothing_behind(doors, vm):
    data, before = exported(doors, vm), everything(doors)
    task = doors.task()
    path = doors.path("/import", {"task_id": task}).encode()
    doors.raw(
        b"PUT " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data), data[: 4 * MIB], shut=True
    )
    assert doors.ended(task) == ("failure", ["IMPORT_ERROR_PREMATURE_EOF"])
    assert everything(doors) == before


def test_a_cancelled_import_leaves_nothing_behind(doors, vm):
    data, before = exported(doors, vm), everything(doors)
    task = doors.task()

    def body():
        yield data[: 4 * MIB]
        doors.client.task.cancel(task)
        yield from pieces(data[4 * MIB :])

    assert doors.put("/import", body(), task_id=task).status == 500
    assert doors.ended(task) == ("cancelled", ["TASK_CANCELLED", task])
    assert everything(doors) == before


def test_a_cancelled_export_stops_though_nobody_reads_it(doors):
    vm = make_vm(doors)
    doors.connect(vm, doors.disk(48 * MIB, {number * MIB: noise(MIB, number) for number in range(48)}))
    task = doors.task()
    path = doors.path("/export", {"ref": vm, "task_id": task}).encode()
    with socket.create_connection(doors.address, 30) as peer:
        peer.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: doors.db.get(Task, task).progress, lambda progress: progress > 0)
        doors.client.task.cancel(task)
        ended = eventually(lambda: doors.ended(task), lambda ended: ended[0] != "pending", 5.0)
        assert ended == ("cancelled", ["TASK_CANCELLED", task])
        received = 0
        with suppress(ConnectionResetError):
            while data := peer.recv(MIB):
                received += len(data)
        assert 0 < received < 48 * MIB
    assert doors.client.VM.get_current_operations(vm) == {}
    assert len(exported(doors, vm)) > 48 * MIB


def test_an_sr_that_cannot_take_disks(doors, vm):
    data = exported(doors, vm)
    isos = [ref for ref, sr in doors.client.SR.get_all_records().items() if sr["content_type"] == "iso"]
    assert b"SR_OPERATION_NOT_SUPPORTED" in doors.put("/import", data, sr_id=isos[0]).body
    with doors.db.transaction() as transaction:
        lonely = transaction.create(SR, name_label="lonely", type="ext", content_type="user")
    assert b"SR_HAS_NO_PBDS" in doors.put("/import", data, sr_id=lonely).body
    assert doors.put("/import", data, sr_uuid="11111111-2222-3333-4444-555555555555").status == 404


# Without disks


def test_metadata_there_and_back(doors, vm):
    answer = doors.get("/export_metadata", ref=vm)
    assert answer.status == 200 and list(members(answer.body)) == ["ova.xml"]
    (made,) = imported(doors, answer.body, "/import_metadata")
    assert disks_of(doors, made) == disks_of(doors, vm)
    doors.client.VM.destroy(made)


def test_a_dry_run_makes_nothing(doors, vm):
    data = doors.get("/export_metadata", ref=vm).body
    before = everything(doors)
    assert imported(doors, data, "/import_metadata", dry_run="true") == []
    assert everything(doors) == before


def test_metadata_of_a_disk_that_is_not_here(doors, vm):
    data = doors.get("/export_metadata", ref=vm).body
    location = doors.db.get(VDI, disks_of(doors, vm)["0"]).location
    gone = archive({"ova.xml": members(data)["ova.xml"].replace(location.encode(), b"elsewhere")})
    before = everything(doors)
    answer = doors.put("/import_metadata", gone)
    assert answer.status == 500 and f"VDI_LOCATION_MISSING: {doors.sr}, elsewhere".encode() in answer.body
    assert everything(doors) == before
    (made,) = imported(doors, gone, "/import_metadata", force="true")
    assert disks_of(doors, made).keys() == {"1", "3"}
    doors.client.VM.destroy(made)


def test_metadata_with_snapshots(doors, vm):
    with doors.db.transaction() as transaction:
        snapshot = transaction.create(
            VM,
            name_label="before",
            is_a_snapshot=True,
            is_a_template=True,
            snapshot_of=vm,
            power_state=VmPowerState.HALTED,
        )
        transaction.update(VM, vm, parent=snapshot)
    data = doors.get("/export_metadata", ref=vm).body
    (made,) = imported(doors, data, "/import_metadata")
    row = doors.db.get(VM, made)
    (copy,) = row.snapshots
    assert doors.db.get(VM, copy).is_a_snapshot and row.parent == copy
    assert (
        len(
            ova_xml.parse(
                members(doors.get("/export_metadata", ref=vm, export_snapshots="false").body)["ova.xml"]
            ).of_class("VM")
        )
        == 1
    )
    refused = doors.get("/export_metadata", ref=snapshot)
    assert refused.status == 500 and b"OPERATION_NOT_ALLOWED" in refused.body


def test_all_metadata_leaves_the_built_in_templates_out(doors, vm):
    described = ova_xml.parse(members(doors.get("/export_metadata", all="true").body)["ova.xml"])
    labels = {one.snapshot["name_label"] for one in described.of_class("VM")}
    assert "a VM" in labels and "Debian Bookworm 12" not in labels
    assert any(one.snapshot["is_control_domain"] for one in described.of_class("VM"))
    without = ova_xml.parse(members(doors.get("/export_metadata", all="true", include_dom0="false").body)["ova.xml"])
    assert not any(one.snapshot["is_control_domain"] for one in without.of_class("VM"))


# As people do it


def test_curl_takes_a_vm_there_and_back(doors, vm, tmp_path):
    login = doors.url.replace("//", f"//root:{doors.password}@")
    path = tmp_path / "vm.xva"
    identity = doors.db.get(VM, vm).uuid
    done = doors.curl(f"{login}/export?uuid={identity}", "-o", str(path))
    assert (done.code, done.status) == (0, "200"), done.output
    before = everything(doors)["VM"]
    done = doors.curl("-T", str(path), f"{login}/import?sr_uuid={doors.client.SR.get_uuid(doors.sr)}")
    assert (done.code, done.status) == (0, "200"), done.output
    (made,) = everything(doors)["VM"] - before
    assert doors.content(disks_of(doors, made)["0"]) == doors.content(disks_of(doors, vm)["0"])
    done = doors.curl("--fail", "-T", str(tmp_path / "vm.xva"), f"{doors.url}/import")
    assert done.code == 22 and done.status == "401"


def test_over_tls(doors, vm):
    context = ssl.create_default_context(cafile=str(doors.certificate))
    context.check_hostname = False
    connection = http.client.HTTPSConnection(*doors.tls, timeout=30, context=context)
    connection.request("GET", doors.path("/export", {"ref": vm}))
    data = connection.getresponse().read()
    assert data == exported(doors, vm)
    before = everything(doors)["VM"]
    connection.request("PUT", doors.path("/import", {}), data)
    assert connection.getresponse().status == 200
    connection.close()
    assert len(everything(doors)["VM"] - before) == 1


def test_an_archive_of_the_first_release(doors):
    content = noise(2 * MIB, 30)
    half = len(content) // 2
    files = {
        "ova.xml": APPLIANCE.replace(b"3000000", str(len(content)).encode()),
        "sda/chunk-000000000.gz": gzip.compress(content[:half]),
        "sda/chunk-000000001.gz": gzip.compress(content[half:]),
    }
    (made,) = imported(doors, archive(files))
    row = doors.db.get(VM, made)
    assert (row.name_label, row.memory_dynamic_max, row.domain_type) == ("Debian Sarge import", 268435456, "pv")
    assert doors.content(disks_of(doors, made)["sda"])[: len(content)] == content
    before = everything(doors)
    assert doors.put("/import", archive({k: v for k, v in files.items() if "1.gz" not in k})).status == 400
    assert everything(doors) == before
