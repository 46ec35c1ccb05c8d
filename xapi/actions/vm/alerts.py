"""The notices that tell of a VM's life (XenAPI's class message), posted together with the change that they tell of."""

from __future__ import annotations

from enum import Enum

from xapi.actions.message import post
from xapi.datamodel.classes import VM, Host
from xapi.datamodel.classes.message import Cls
from xapi.db.database import Transaction
from xapi.dispatch.context import Context

LOUD, QUIET = 2, 5


class VmAlert(Enum):
    """What can be told of a VM: the notice's name, its priority, and its words."""

    STARTED = ("VM_STARTED", QUIET, "'{name}' has started on {host}")
    SHUT_DOWN = ("VM_SHUTDOWN", QUIET, "'{name}' has shut down")
    STOPPED = ("VM_SHUTDOWN", QUIET, "'{name}' was stopped by force")
    STOPPED_ITSELF = ("VM_SHUTDOWN", QUIET, "the guest of '{name}' has shut down by itself")
    KEPT = ("VM_SHUTDOWN", QUIET, "the guest of '{name}' has stopped, and its domain is kept as it is")
    LOST = ("VM_SHUTDOWN", QUIET, "'{name}' was no longer there when the toolstack started")
    REBOOTED = ("VM_REBOOTED", QUIET, "'{name}' has rebooted")
    RESET = ("VM_REBOOTED", QUIET, "'{name}' was rebooted by force")
    REBOOTED_ITSELF = ("VM_REBOOTED", QUIET, "the guest of '{name}' has rebooted by itself")
    CRASHED = ("VM_CRASHED", LOUD, "'{name}' has crashed")
    PAUSED = ("VM_PAUSED", QUIET, "'{name}' was paused")
    UNPAUSED = ("VM_UNPAUSED", QUIET, "'{name}' goes on after a pause")
    SUSPENDED = ("VM_SUSPENDED", QUIET, "'{name}' was suspended")
    RESUMED = ("VM_RESUMED", QUIET, "'{name}' was resumed on {host}")
    MIGRATED = ("VM_MIGRATED", QUIET, "'{name}' was moved to {host}")
    CLONED = ("VM_CLONED", QUIET, "'{name}' was cloned; the copy is {other}")
    SNAPSHOTTED = ("VM_SNAPSHOTTED", QUIET, "a snapshot of '{name}' was taken: {other}")
    CHECKPOINTED = ("VM_CHECKPOINTED", QUIET, "a checkpoint of '{name}' was taken: {other}")
    REVERTED = ("VM_SNAPSHOT_REVERTED", QUIET, "'{name}' was put back to the snapshot {other}")


def tell(ctx: Context, transaction: Transaction, alert: VmAlert, vm: VM, other: str = "") -> None:
    """Post a notice about a VM; it costs no write of its own, and the oldest notices make room for it.

    `other` is the UUID of the copy or snapshot that it is about.
    """
    name, priority, words = alert.value
    place = transaction.find(Host, ctx.this_host)
    host = f"host {place.name_label} ({place.uuid})" if place is not None else "a host"
    body = words.format(name=vm.name_label, host=host, other=other)
    post(ctx.toolstack, transaction, name, priority, Cls.VM, vm.uuid, body)
