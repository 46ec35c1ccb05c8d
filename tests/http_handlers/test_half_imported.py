from __future__ import annotations

from contextlib import ExitStack

from tests.http_handlers.doors import MIB, noise
from tests.http_handlers.test_export_import import everything, exported, furnish, make_vm, members
from xapi.datamodel.classes import SR, VDI, VM
from xapi.dispatch.context import Context
from xapi.dispatch.tasks import TaskInHand
from xapi.http_handlers.half_imported import remove_half_imported
from xapi.http_handlers.imported_objects import Import, Options
from xapi.http_handlers.xva import ova_xml


def test_what_a_killed_import_has_left_is_removed(doors):
    vm = make_vm(doors)
    furnish(doors, vm)
    description = ova_xml.parse(members(exported(doors, vm))["ova.xml"])
    before = everything(doors)
    ctx = Context(
        doors.toolstack,
        doors.toolstack.sessions.get(doors.session),
        TaskInHand(doors.toolstack.tasks, "import", doors.session),
    )
    importing = Import(ctx, description, Options(doors.sr))
    importing.check()
    undo = ExitStack()
    importing.make_disks(undo)
    importing.make(undo)
    undo.pop_all()  # as if the process had ended here
    ctx.task.succeed()
    assert everything(doors) != before
    assert remove_half_imported(doors.toolstack) == 3
    assert everything(doors) == before
    assert remove_half_imported(doors.toolstack) == 0


def test_a_disk_that_cannot_be_reached_stays(doors):
    with doors.db.transaction() as transaction:
        sr = transaction.create(SR, type="ext")
        vdi = transaction.create(VDI, SR=sr, location="x", managed=True, other_config={"import_task": "OpaqueRef:x"})
    assert remove_half_imported(doors.toolstack) == 0
    assert doors.db.find(VDI, vdi) is not None
    with doors.db.transaction() as transaction:
        transaction.delete(VDI, vdi)
        transaction.delete(SR, sr)


def test_a_whole_import_is_not_taken_for_a_half_one(doors):
    vm = make_vm(doors)
    doors.connect(vm, doors.disk(2 * MIB, {0: noise(512)}))
    assert doors.put("/import", exported(doors, vm)).status == 200
    before = everything(doors)
    assert remove_half_imported(doors.toolstack) == 0
    assert everything(doors) == before
    assert doors.db.find(VM, vm) is not None
