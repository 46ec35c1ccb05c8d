"""Blobs: named binary data attached to objects, kept in files beside the database (XenAPI's class blob)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from xapi.datamodel.classes import SR, VM, Blob, Host, Network, Pool, host_messages, pool_messages, vm_messages
from xapi.datamodel.classes import blob as api
from xapi.datamodel.classes import network as network_api
from xapi.datamodel.classes import sr as sr_api
from xapi.datamodel.errors import MAP_DUPLICATE_KEY
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import EPOCH, Entity, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.toolstack import Toolstack
from xapi.system.atomic_file import write_atomically

DEFAULT_MIME_TYPE: Final = "application/octet-stream"
OWNERS: Final[tuple[type[Entity], ...]] = (VM, Host, Pool, SR, Network)


def content_path(toolstack: Toolstack, blob: Blob) -> Path:
    """Where the data of a blob are kept; the file is not there before something was uploaded."""
    return toolstack.state / "blobs" / blob.uuid


def open_for_read(toolstack: Toolstack, ref: str) -> BinaryIO | None:
    """The data of a blob, to be closed by the caller; None while there are none. HANDLE_INVALID for no blob."""
    blob = toolstack.db.get(Blob, ref)
    try:
        return content_path(toolstack, blob).open("rb")
    except FileNotFoundError:
        return None


def store_atomically(toolstack: Toolstack, ref: str, content: bytes) -> None:
    """Replace the data of a blob: readers have the old data or the new. HANDLE_INVALID for no blob."""
    path = content_path(toolstack, toolstack.db.get(Blob, ref))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_atomically(path, content, 0o600)
    try:
        with toolstack.db.transaction() as transaction:
            transaction.update(Blob, ref, size=len(content), last_updated=toolstack.clock.now())
    except Failure:
        path.unlink(missing_ok=True)  # somebody has destroyed the blob meanwhile, perhaps before the file came
        raise


def make_blob(transaction: Transaction, mime_type: str, public: bool) -> Ref[Blob]:
    """Make a blob without data."""
    return transaction.create(Blob, mime_type=mime_type or DEFAULT_MIME_TYPE, public=public, size=0, last_updated=EPOCH)


def attach_new(ctx: Context, owner: type[Entity], ref: str, name: str, mime_type: str, public: bool) -> Ref[Blob]:
    """Make a blob and attach it to an object under a name; MAP_DUPLICATE_KEY when the name is taken."""
    with ctx.transaction() as transaction:
        present = transaction.get(owner, ref)[owner.field_named["blobs"].index]
        if name in present:
            raise MAP_DUPLICATE_KEY(owner.wire_name, "blobs", ref, name)
        blob = make_blob(transaction, mime_type, public)
        transaction.update(owner, ref, blobs={**present, name: blob})
    return blob


@implements(api.create)
def create(ctx: Context, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Make a blob that no object has yet."""
    with ctx.transaction() as transaction:
        return make_blob(transaction, mime_type, public)


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[Blob]) -> None:
    """Remove a blob with its data, also from the object that has it."""
    with ctx.transaction() as transaction:
        blob = transaction.get(Blob, self)
        transaction.delete(Blob, self)
        for owner in OWNERS:
            index = owner.field_named["blobs"].index
            for row in transaction.all(owner):
                if self in row[index].values():
                    rest = {name: ref for name, ref in row[index].items() if ref != self}
                    transaction.update(owner, row.ref, blobs=rest)
    # The file goes last: data without a blob are only waste, a blob without its data would be a lie.
    with suppress(FileNotFoundError):
        os.unlink(content_path(ctx.toolstack, blob))


@implements(vm_messages.create_new_blob)
def create_new_vm_blob(ctx: Context, vm: Ref[VM], name: str, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Make a blob attached to a VM."""
    return attach_new(ctx, VM, vm, name, mime_type, public)


@implements(host_messages.create_new_blob)
def create_new_host_blob(ctx: Context, host: Ref[Host], name: str, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Make a blob attached to a host."""
    return attach_new(ctx, Host, host, name, mime_type, public)


@implements(pool_messages.create_new_blob)
def create_new_pool_blob(ctx: Context, pool: Ref[Pool], name: str, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Make a blob attached to the pool."""
    return attach_new(ctx, Pool, pool, name, mime_type, public)


@implements(sr_api.create_new_blob)
def create_new_sr_blob(ctx: Context, sr: Ref[SR], name: str, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Make a blob attached to a storage repository."""
    return attach_new(ctx, SR, sr, name, mime_type, public)


@implements(network_api.create_new_blob)
def create_new_network_blob(
    ctx: Context, network: Ref[Network], name: str, mime_type: str, public: bool = False
) -> Ref[Blob]:
    """Make a blob attached to a network."""
    return attach_new(ctx, Network, network, name, mime_type, public)
