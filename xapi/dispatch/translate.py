"""From what drivers raise to the errors that clients know."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from xapi.datamodel.classes import SR, VDI, VM
from xapi.datamodel.errors import (
    DEVICE_DETACH_REJECTED,
    DEVICE_NOT_ATTACHED,
    DOMAIN_BUILDER_ERROR,
    DOMAIN_EXISTS,
    FAILED_TO_START_EMULATOR,
    HOST_NOT_ENOUGH_FREE_MEMORY,
    INTERNAL_ERROR,
    INVALID_VALUE,
    OPERATION_NOT_ALLOWED,
    SR_NOT_EMPTY,
    TASK_CANCELLED,
    VDI_IN_USE,
    VDI_MISSING,
    VDI_READONLY,
    VM_BAD_POWER_STATE,
    VM_CRASHED,
    VM_HALTED,
    VM_LACKS_FEATURE,
    VM_REBOOTED,
    VM_SHUTDOWN_TIMEOUT,
    VM_SUSPEND_TIMEOUT,
    XENAPI_PLUGIN_FAILURE,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL
from xapi.dispatch.context import Context
from xapi.hypervisor import interface as hypervisor
from xapi.hypervisor.interface import HypervisorError, ShutdownReason
from xapi.storage import errors as storage
from xapi.storage.errors import StorageFailure

LOG = logging.getLogger("xapi.dispatch")


@contextmanager
def translated(ctx: Context) -> Iterator[None]:
    """Let a driver's error leave the block as the failure that the contract has for it."""
    try:
        yield
    except HypervisorError as error:
        LOG.info("%s: %s", type(error).__name__, error)
        raise from_hypervisor(ctx, error) from error
    except StorageFailure as error:
        LOG.info("%s: %s", type(error).__name__, error)
        raise from_storage(ctx, error) from error


def _vm(ctx: Context, uuid: str) -> str:
    row = ctx.db.by_uuid(VM, uuid)
    return NULL if row is None else row.ref


def from_hypervisor(ctx: Context, error: HypervisorError) -> Failure:
    """The failure for an error of the hypervisor driver."""
    match error:
        case hypervisor.OutOfMemory():
            return HOST_NOT_ENOUGH_FREE_MEMORY(error.needed, error.available)
        case hypervisor.DomainExists():
            return DOMAIN_EXISTS(_vm(ctx, error.uuid), "")
        case hypervisor.NoSuchDomain():
            return VM_BAD_POWER_STATE(_vm(ctx, error.uuid), "running", "halted")
        case hypervisor.WrongPower():
            return VM_BAD_POWER_STATE(_vm(ctx, error.uuid), error.expected, error.actual)
        case hypervisor.DomainCrashed():
            return VM_CRASHED(_vm(ctx, error.uuid))
        case hypervisor.GuestTimeout():
            slow = VM_SUSPEND_TIMEOUT if error.awaited == "suspend" else VM_SHUTDOWN_TIMEOUT
            return slow(_vm(ctx, error.uuid), error.seconds)
        case hypervisor.UnexpectedShutdown():
            rebooted = error.actual == ShutdownReason.REBOOT
            return (VM_REBOOTED if rebooted else VM_HALTED)(_vm(ctx, error.uuid))
        case hypervisor.GuestLacksFeature():
            return VM_LACKS_FEATURE(_vm(ctx, error.uuid))
        case hypervisor.GuestPluginFailed():
            return XENAPI_PLUGIN_FAILURE(error.function, error.plugin, error.why)
        case hypervisor.OperationCancelled():
            return TASK_CANCELLED(ctx.task.ref)
        case hypervisor.InvalidConfiguration():
            return INVALID_VALUE(error.field, error.why)
        case hypervisor.DeviceBusy():
            return DEVICE_DETACH_REJECTED("device", error.device, str(error))
        case hypervisor.NoSuchDevice():
            return DEVICE_NOT_ATTACHED(error.device)
        case hypervisor.DeviceRefused() | hypervisor.Unsupported():
            return OPERATION_NOT_ALLOWED(str(error))
        case hypervisor.InjectedFault():
            return FAILED_TO_START_EMULATOR(NULL, error.operation, str(error))
        case hypervisor.ImageDamaged():
            return DOMAIN_BUILDER_ERROR("restore", "", error.why)
        case _:
            return INTERNAL_ERROR(f"{type(error).__name__}: {error}")


def _vdi_at(ctx: Context, location: str) -> str:
    """The reference of the disk at a location, which mostly is its UUID; the location itself when no row has it."""
    known = ctx.db.by_uuid(VDI, location)
    if known is not None:
        return known.ref
    return next((row.ref for row in ctx.db.all(VDI) if row.location == location), location)


def from_storage(ctx: Context, error: StorageFailure) -> Failure:
    """The failure for an error of a storage driver: XenAPI's own where clients know it, else a numbered one.

    A full SR is SR_BACKEND_FAILURE_44 and a size that cannot be had 79, for these are what clients look for.
    """
    match error:
        case storage.SrNotEmpty():
            return SR_NOT_EMPTY()
        case storage.VdiInUse():
            return VDI_IN_USE(_vdi_at(ctx, error.location), error.operation)
        case storage.VdiReadOnly():
            return VDI_READONLY(_vdi_at(ctx, error.location))
        case storage.VdiMissing():
            sr = ctx.db.by_uuid(SR, error.sr_uuid)
            return VDI_MISSING(NULL if sr is None else sr.ref, _vdi_at(ctx, error.location))
        case _:
            return Failure(error.code, *error.params)
