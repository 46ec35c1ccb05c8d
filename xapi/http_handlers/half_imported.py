"""What a toolstack that was killed during an import has left behind: VMs and disks that are not whole."""

from __future__ import annotations

import logging

from xapi.actions.vm.copies import remove_disk
from xapi.actions.vm.record import remove_rows
from xapi.datamodel.classes import VDI, VM
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL
from xapi.dispatch.context import Context
from xapi.dispatch.sessions import Session
from xapi.dispatch.tasks import TaskInHand
from xapi.dispatch.toolstack import Toolstack
from xapi.dispatch.translate import translated
from xapi.http_handlers.imported_objects import HALF_MADE, IMPORT_TASK

LOG = logging.getLogger("xapi.http_handlers")


def remove_half_imported(toolstack: Toolstack) -> int:
    """Remove the VMs and disks of imports that never ended; answers how many objects went.

    To be called before the doors open. Disks on an SR that is not attached now stay until it is, at another start.
    """
    task = TaskInHand(toolstack.tasks, "removing what an import left behind", NULL)
    ctx = Context(toolstack, Session(ref=NULL, user="", superuser=True), task)
    vms = [vm.ref for vm in toolstack.db.all(VM) if HALF_MADE in vm.other_config]
    disks = [vdi for vdi in toolstack.db.all(VDI) if IMPORT_TASK in vdi.other_config]
    count = len(vms)
    if vms:
        with toolstack.db.transaction() as transaction:
            for ref in vms:
                remove_rows(transaction, ref)
    for vdi in disks:
        try:
            with translated(ctx):
                remove_disk(ctx, vdi.ref)
            count += 1
        except Failure as failure:
            LOG.warning("the disk %s of a broken import stays: %s", vdi.uuid, ", ".join(failure.description))
    task.succeed()
    return count
