"""The certificates with which guests' firmware checks what it boots."""

from __future__ import annotations

import base64
import binascii
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from xapi.actions.host.files import files_of
from xapi.datamodel.classes import Host, Pool
from xapi.datamodel.classes import host_messages as host_api
from xapi.datamodel.classes import pool_messages as api
from xapi.datamodel.classes.pool import PoolGuestSecurebootReadiness
from xapi.datamodel.errors import INVALID_VALUE, OPERATION_NOT_ALLOWED
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.system.atomic_file import write_atomically

NEEDED: Final = frozenset({"PK.auth", "KEK.auth", "db.auth"})
REVOKED: Final = "dbx.auth"
LARGEST: Final = 1 << 20  # bytes of one file; real ones have a few thousand


def read_bundle(value: str) -> Mapping[str, bytes]:
    """The files in a base64 text of a tar archive, by their last names; ValueError when it is none."""
    try:
        packed = base64.b64decode(value, validate=True)
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            found: dict[str, bytes] = {}
            for member in archive:
                content = archive.extractfile(member) if member.isfile() and member.size <= LARGEST else None
                if content is None:
                    raise ValueError(f"{member.name} is no plain file of a sensible size")
                found[PurePosixPath(member.name).name] = content.read()
    except (binascii.Error, tarfile.TarError) as problem:
        raise ValueError(str(problem)) from None
    return found


@implements(api.set_custom_uefi_certificates)
def set_custom_uefi_certificates(ctx: Context, self: Ref[Pool], value: str) -> None:
    """Give guests other Secure Boot certificates; an empty text goes back to none of the pool's own."""
    try:
        files = read_bundle(value) if value else {}
    except ValueError as problem:
        raise INVALID_VALUE("value", str(problem)) from None
    unknown = files.keys() - NEEDED - {REVOKED}
    if unknown:
        raise INVALID_VALUE("value", f"{sorted(unknown)[0]} is not among {', '.join(sorted(NEEDED | {REVOKED}))}")
    directory = files_of(ctx.toolstack).varstore
    _fill(directory, files)
    with ctx.transaction() as transaction:
        transaction.update(Pool, self, custom_uefi_certificates=value)


def _fill(directory: Path, files: Mapping[str, bytes]) -> None:
    """Let a directory hold exactly these certificates."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomically(directory / name, content)
    for name in (NEEDED | {REVOKED}) - files.keys():
        (directory / name).unlink(missing_ok=True)


@implements(host_api.write_uefi_certificates_to_disk, runs_on="host")
def write_uefi_certificates_to_disk(ctx: Context, host: Ref[Host]) -> None:
    """Put the pool's own certificates where this host's guests look for them."""
    value = ctx.pool.custom_uefi_certificates
    _fill(files_of(ctx.toolstack).varstore, read_bundle(value) if value else {})


@implements(api.set_uefi_certificates, checks_first=False)
def set_uefi_certificates(ctx: Context, self: Ref[Pool], value: str) -> None:
    """Refuse: what came with the server is not changed, only overruled."""
    raise OPERATION_NOT_ALLOWED("Setting UEFI certificates is deprecated, please use `set_custom_uefi_certificates`")


@implements(api.get_guest_secureboot_readiness, checks_first=False)
def get_guest_secureboot_readiness(ctx: Context, self: Ref[Pool]) -> PoolGuestSecurebootReadiness:
    """Say whether all certificates are there that Secure Boot guests need."""
    directory = files_of(ctx.toolstack).varstore
    present = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    if not present >= NEEDED:
        return PoolGuestSecurebootReadiness.NOT_READY
    return PoolGuestSecurebootReadiness.READY if REVOKED in present else PoolGuestSecurebootReadiness.READY_NO_DBX
