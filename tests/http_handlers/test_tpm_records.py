from __future__ import annotations

import base64
import uuid

import pytest

from tests.http_handlers.doors import MIB, Doors, noise
from tests.http_handlers.test_export_import import archive, everything, exported, imported, make_vm, members
from xapi.datamodel.classes import VM, VTPM, Secret
from xapi.http_handlers.xva import ova_xml

CONTENT = base64.b64encode(noise(3000)).decode()


@pytest.fixture
def vm(doors: Doors) -> str:
    made = make_vm(doors)
    give_tpm(doors, made)
    return made


def give_tpm(doors: Doors, vm: str, content: str = CONTENT) -> str:
    with doors.db.transaction() as transaction:
        secret = transaction.create(Secret, value=content)
        return str(
            transaction.create(VTPM, uuid=str(uuid.uuid4()), VM=vm, is_unique=True, is_protected=True, contents=secret)
        )


def tpm_of(doors: Doors, vm: str) -> VTPM:
    (ref,) = doors.db.get(VM, vm).VTPMs
    return doors.db.get(VTPM, ref)


def described(data: bytes) -> ova_xml.Description:
    return ova_xml.parse(members(data)["ova.xml"])


def secrets(doors: Doors) -> int:
    return len(doors.db.all(Secret))


def test_the_record_is_that_of_todays_hosts(doors, vm):
    description = described(exported(doors, vm))
    (tpm,) = description.of_class("VTPM")
    (record,) = description.of_class("VM")
    assert description.objects[-1] == tpm and record.snapshot["VTPMs"] == [tpm.id]
    assert tpm.snapshot == {
        "vTPM'_VM": record.id,
        "vTPM'_uuid": tpm_of(doors, vm).uuid,
        "vTPM'_is_unique": True,
        "vTPM'_is_protected": True,
        "vTPM'_content": CONTENT,
    }


def test_a_copy_has_a_tpm_of_its_own_with_the_same_content(doors, vm):
    (made,) = imported(doors, exported(doors, vm))
    old, new = tpm_of(doors, vm), tpm_of(doors, made)
    assert new.uuid != old.uuid and new.contents != old.contents
    assert (new.is_unique, new.is_protected) == (True, True)
    assert doors.client.VTPM.get_contents(new.ref) == CONTENT
    before = secrets(doors)
    doors.client.VM.destroy(made)
    assert secrets(doors) == before - 1


def test_a_restore_keeps_its_identity(doors, vm):
    data, identity = exported(doors, vm), tpm_of(doors, vm).uuid
    (made,) = imported(doors, data, restore="true", force="true")
    assert doors.db.find(VM, vm) is None
    assert tpm_of(doors, made).uuid == identity
    doors.client.VM.destroy(made)
    (again,) = imported(doors, data, restore="true")
    assert tpm_of(doors, again).uuid == identity


def test_a_restore_does_not_take_the_identity_of_anothers_tpm(doors, vm):
    data, identity = exported(doors, vm), tpm_of(doors, vm).uuid
    doors.client.VM.destroy(vm)
    other = make_vm(doors, name="another")
    ref = give_tpm(doors, other)
    with doors.db.transaction() as transaction:
        transaction.update(VTPM, ref, uuid=identity)
    before = everything(doors), secrets(doors)
    answer = doors.put("/import", data, restore="true")
    assert answer.status == 400 and b"IMPORT_ERROR" in answer.body and identity.encode() in answer.body
    assert (everything(doors), secrets(doors)) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CONTENT.encode(), b"no base64!"),
        (b"<name>vTPM'_VM</name><value>Ref:0", b"<name>vTPM'_VM</name><value>Ref:999"),
        (b"<name>vTPM'_VM</name>", b"<name>VM_</name>"),
    ],
    ids=["content", "VM", "no VM"],
)
def test_a_record_that_cannot_be_right_leaves_nothing_behind(doors, vm, old, new):
    files = members(exported(doors, vm))
    assert old in files["ova.xml"].replace(b"&apos;", b"'")
    spoilt = files["ova.xml"].replace(b"&apos;", b"'").replace(old, new)
    before = everything(doors), secrets(doors)
    answer = doors.put("/import", archive({**files, "ova.xml": spoilt}))
    assert answer.status == 400 and b"IMPORT_ERROR" in answer.body
    assert (everything(doors), secrets(doors)) == before


def test_two_tpms_in_one_vm(doors, vm):
    give_tpm(doors, vm)
    before = everything(doors), secrets(doors)
    assert doors.put("/import", exported(doors, vm)).status == 400
    assert (everything(doors), secrets(doors)) == before


def classes(doors: Doors, vm: str, **query: str) -> set[str]:
    answer = doors.get("/export_metadata", ref=vm, **query)
    assert answer.status == 200, answer.body
    return {one.class_name for one in described(answer.body).objects}


def test_devices_can_be_left_out_of_metadata(doors, vm):
    doors.connect(vm, doors.disk(2 * MIB))
    network = doors.client.network.get_all()[0]
    doors.client.VIF.create({"VM": vm, "network": network, "device": "0", "MAC": "", "MTU": "1500"})
    whole = {"VM", "VBD", "VDI", "SR", "VIF", "network", "VTPM"}
    assert classes(doors, vm) == whole
    assert classes(doors, vm, excluded_device_types="vtpm") == whole - {"VTPM"}
    assert classes(doors, vm, excluded_device_types="VBD,vgpu") == whole - {"VBD", "VDI", "SR"}
    assert classes(doors, vm, excluded_device_types="vif,%20vbd,vtpm") == {"VM"}
    answer = doors.get("/export_metadata", ref=vm, excluded_device_types="floppy")
    assert answer.status == 400 and b"INVALID_VALUE: excluded_device_types, floppy" in answer.body
