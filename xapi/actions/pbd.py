"""The links between hosts and storage repositories (XenAPI's class PBD)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xapi.actions.sr.attaching import attach_and_scan, plug_at_start
from xapi.actions.sr.paths import forget_paths
from xapi.actions.sr.work import repositories_of
from xapi.actions.storage_repositories import SECRET_SUFFIX
from xapi.datamodel.classes import PBD, SR, VBD, VDI, VM, Host, Secret
from xapi.datamodel.classes import pbd as api
from xapi.datamodel.classes.sr import StorageOperations
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.errors import (
    HANDLE_INVALID,
    HOST_OFFLINE,
    OPERATION_NOT_ALLOWED,
    PBD_EXISTS,
    SR_NOT_SHARABLE,
    VALUE_NOT_SUPPORTED,
    VDI_IN_USE,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys, implements
from xapi.dispatch.occupy import occupied
from xapi.lifecycle.view import View
from xapi.storage.device_config import IN_CHARGE


def check_device_config(device_config: Mapping[str, str]) -> None:
    """Pass settings that a client may give; VALUE_NOT_SUPPORTED for the key by which hosts agree on their roles."""
    if IN_CHARGE in device_config:
        reason = "This key is for internal use only"
        raise VALUE_NOT_SUPPORTED(IN_CHARGE, device_config[IN_CHARGE], reason)


def with_own_secrets(transaction: Transaction, device_config: Mapping[str, str]) -> dict[str, str]:
    """The settings with a copy of each secret, so that it can go when the PBD goes."""
    known = {secret.uuid: secret for secret in transaction.all(Secret)} if _secrets(device_config) else {}
    own: dict[str, str] = {}
    for key, value in device_config.items():
        original = known.get(value) if key.endswith(SECRET_SUFFIX) else None
        if original is None:
            own[key] = value
        else:
            made = transaction.create(Secret, value=original.value, other_config=original.other_config)
            own[key] = transaction.get(Secret, made).uuid
    return own


def _secrets(device_config: Mapping[str, str]) -> set[str]:
    return {value for key, value in device_config.items() if key.endswith(SECRET_SUFFIX)}


def drop_pbd(transaction: Transaction, pbd: PBD) -> None:
    """Remove a PBD's row with the secrets of its own."""
    drop_secrets(transaction, pbd.device_config)
    transaction.delete(PBD, pbd.ref)


def drop_secrets(transaction: Transaction, settings: Mapping[str, str]) -> None:
    """Remove the secrets that settings name, since what they were for is gone."""
    gone = _secrets(settings)
    for secret in transaction.all(Secret) if gone else ():
        if secret.uuid in gone:
            transaction.delete(Secret, secret.ref)


@creates(PBD)
def create(ctx: Context, values: dict[str, Any]) -> Ref[PBD]:
    """Say how a host reaches an SR; nothing is attached yet."""
    with ctx.transaction() as transaction:
        host = transaction.find(Host, values.get("host", ""))
        if host is None:
            raise HANDLE_INVALID(Host.wire_name, values.get("host", ""))
        sr = transaction.find(SR, values.get("SR", ""))
        if sr is None:
            raise HANDLE_INVALID(SR.wire_name, values.get("SR", ""))
        for ref in sr.PBDs:
            if transaction.get(PBD, ref).host == host.ref:
                raise PBD_EXISTS(sr.ref, host.ref, ref)
        device_config = values.get("device_config", {})
        check_device_config(device_config)
        return transaction.create(
            PBD,
            host=host.ref,
            SR=sr.ref,
            device_config=with_own_secrets(transaction, device_config),
            other_config=dict(values.get("other_config", {})),
        )


@destroys(PBD)
def destroy(ctx: Context, self: Ref[PBD]) -> None:
    """Remove a link that is not plugged."""
    with ctx.transaction() as transaction:
        pbd = transaction.get(PBD, self)
        if pbd.currently_attached:
            raise OPERATION_NOT_ALLOWED("PBD is currently attached")
        drop_pbd(transaction, pbd)


@implements(api.set_device_config)
def set_device_config(ctx: Context, self: Ref[PBD], value: Mapping[str, str]) -> None:
    """Replace the settings, which the next plugging will use."""
    check_device_config(value)
    with ctx.transaction() as transaction:
        transaction.update(PBD, self, device_config=dict(value))


@implements(api.plug)
def plug(ctx: Context, self: Ref[PBD]) -> None:
    """Attach the SR on this host and look at what is in it."""
    pbd = _here(ctx, self)
    repositories = repositories_of(ctx)
    repositories.driver(ctx.db.get(SR, pbd.SR).type)
    with repositories.alone(pbd.SR), occupied(ctx, SR, pbd.SR, StorageOperations.PLUG):
        if ctx.db.get(PBD, self).currently_attached:
            return
        _check_not_elsewhere(ctx, pbd)
        attach_and_scan(ctx.db, repositories, self)


def _here(ctx: Context, self: Ref[PBD]) -> PBD:
    """The PBD, if it is this host's; HOST_OFFLINE for a host that cannot be asked."""
    pbd = ctx.db.get(PBD, self)
    if pbd.host != ctx.this_host:
        raise HOST_OFFLINE(pbd.host)
    return pbd


def _check_not_elsewhere(ctx: Context, pbd: PBD) -> None:
    sr = ctx.db.get(SR, pbd.SR)
    for ref in () if sr.shared else sr.PBDs:
        other = ctx.db.get(PBD, ref)
        if other.currently_attached and other.host != pbd.host:
            raise SR_NOT_SHARABLE(sr.ref, other.host)


@implements(api.unplug)
def unplug(ctx: Context, self: Ref[PBD]) -> None:
    """Detach the SR from this host, unless a disk of it is in use here."""
    pbd = _here(ctx, self)
    repositories = repositories_of(ctx)
    with repositories.alone(pbd.SR), occupied(ctx, SR, pbd.SR, StorageOperations.UNPLUG):
        sr = ctx.db.get(SR, pbd.SR)
        if not ctx.db.get(PBD, self).currently_attached:
            return
        busy = disks_in_use(ctx.db, sr, pbd.host)
        if busy:
            raise Failure(VDI_IN_USE.code, *busy)
        repositories.detach(sr)
        with ctx.transaction() as transaction:
            transaction.update(PBD, self, currently_attached=False)
            forget_paths(transaction, self)


def disks_in_use(view: View, sr: SR, host: str) -> tuple[str, ...]:
    """The disks of an SR that drives of VMs on a host hold now, but for copies of the pool's database."""
    found: list[str] = []
    for ref in sr.VDIs:
        vdi = view.find(VDI, ref)
        if vdi is None or vdi.type is VdiType.METADATA:
            continue
        drives = (view.find(VBD, drive) for drive in vdi.VBDs)
        if any(_holds(view, drive, host) for drive in drives if drive is not None):
            found.append(ref)
    return tuple(found)


def _holds(view: View, drive: VBD, host: str) -> bool:
    vm = view.find(VM, drive.VM) if drive.currently_attached or drive.reserved else None
    return vm is not None and vm.resident_on == host


__all__ = ["check_device_config", "disks_in_use", "drop_pbd", "drop_secrets", "plug_at_start", "with_own_secrets"]
