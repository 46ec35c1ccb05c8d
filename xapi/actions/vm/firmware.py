"""What a UEFI guest's firmware remembers: its variables, and how far they are fit for Secure Boot."""

from __future__ import annotations

import base64
import binascii

from xapi.datamodel.classes import VM
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vm import DomainType, UpdateStatus, VmSecurebootReadiness
from xapi.datamodel.errors import INVALID_VALUE
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle.surroundings import is_true

VARIABLES = "EFI-variables"
FIRMWARE = "firmware"
PLATFORM_KEY, EXCHANGE_KEY, ALLOWED, FORBIDDEN = "PK", "KEK", "db", "dbx"
MOST_BYTES = 1 << 20


@implements(api.set_NVRAM_EFI_variables)
def set_NVRAM_EFI_variables(
    ctx: Context, self: Ref[VM], value: str, update: UpdateStatus = UpdateStatus.UNSPECIFIED
) -> None:
    """Keep the variables of a guest's firmware, in base64; it may do so at any time."""
    if len(value) > MOST_BYTES:
        raise INVALID_VALUE(VARIABLES, f"{len(value)} characters are more than {MOST_BYTES}")
    with ctx.transaction() as transaction:
        present = transaction.get(VM, self).NVRAM
        transaction.update(VM, self, NVRAM={**present, VARIABLES: value})


@implements(api.get_secureboot_readiness)
def get_secureboot_readiness(ctx: Context, self: Ref[VM]) -> VmSecurebootReadiness:
    """Say how far the firmware is fit for Secure Boot, by the names of the variables that it has kept."""
    row = ctx.db.get(VM, self)
    if row.domain_type is not DomainType.HVM or row.HVM_boot_params.get(FIRMWARE) != "uefi":
        return VmSecurebootReadiness.NOT_SUPPORTED
    if not is_true(row.platform, "secureboot") and row.platform.get("secureboot") != "auto":
        return VmSecurebootReadiness.DISABLED
    if VARIABLES not in row.NVRAM:
        return VmSecurebootReadiness.FIRST_BOOT
    names = {name for name in (PLATFORM_KEY, EXCHANGE_KEY, ALLOWED, FORBIDDEN) if _keeps(row.NVRAM[VARIABLES], name)}
    if PLATFORM_KEY not in names:
        return VmSecurebootReadiness.SETUP_MODE
    if not {EXCHANGE_KEY, ALLOWED} <= names:
        return VmSecurebootReadiness.CERTS_INCOMPLETE
    return VmSecurebootReadiness.READY if FORBIDDEN in names else VmSecurebootReadiness.READY_NO_DBX


def _keeps(variables: str, name: str) -> bool:
    """Whether a variable is among those kept: its name in UTF-16 stands before its data, its length before it."""
    try:
        content = base64.b64decode(variables, validate=True)
    except (binascii.Error, ValueError):
        return False
    text = name.encode("utf-16-le")
    return len(text).to_bytes(8, "little") + text in content
