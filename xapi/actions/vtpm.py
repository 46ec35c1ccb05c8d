"""Virtual TPMs, whose content is a secret (XenAPI's class VTPM)."""

from __future__ import annotations

import base64
import binascii

from xapi.actions.secret import drop_secret
from xapi.datamodel.classes import VM, VTPM, Cluster, Secret
from xapi.datamodel.classes import vtpm as api
from xapi.datamodel.classes.vm import VmOperations
from xapi.datamodel.classes.vtpm import PersistenceBackend, VtpmOperations
from xapi.datamodel.errors import FEATURE_RESTRICTED, INVALID_VALUE, NOT_IMPLEMENTED, VTPM_MAX_AMOUNT_REACHED
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import occupied

RESTRICTION = "restrict_vtpm"


@implements(api.create, checks_first=False)
def create(ctx: Context, vM: Ref[VM], is_unique: bool) -> Ref[VTPM]:
    """Give a halted VM its one TPM, empty."""
    vm = ctx.db.get(VM, vM)
    if ctx.pool.restrictions.get(RESTRICTION) != "false":
        raise FEATURE_RESTRICTED(RESTRICTION)
    if ctx.pool.ha_enabled or ctx.db.all(Cluster):
        raise NOT_IMPLEMENTED("VTPM.create with HA or clustering enabled")
    if vm.VTPMs:
        raise VTPM_MAX_AMOUNT_REACHED(len(vm.VTPMs))
    with occupied(ctx, VM, vM, VmOperations.CREATE_VTPM), ctx.transaction() as transaction:
        return transaction.create(
            VTPM,
            VM=vM,
            is_unique=is_unique,
            persistence_backend=PersistenceBackend.XAPI,
            contents=transaction.create(Secret, value=""),
        )


@implements(api.destroy, occupies=VtpmOperations.DESTROY)
def destroy(ctx: Context, self: Ref[VTPM]) -> None:
    """Take the TPM from a halted VM, with all keys in it."""
    with ctx.transaction() as transaction:
        drop_secret(transaction, transaction.get(VTPM, self).contents)
        transaction.delete(VTPM, self)


@implements(api.get_contents)
def get_contents(ctx: Context, self: Ref[VTPM]) -> str:
    """The state of a TPM, in base64."""
    row = ctx.db.get(VTPM, self)
    secret = ctx.db.find(Secret, row.contents) if row.contents != NULL else None
    return "" if secret is None else secret.value


@implements(api.set_contents)
def set_contents(ctx: Context, self: Ref[VTPM], contents: str) -> None:
    """Keep another state of a TPM, which must be base64."""
    try:
        base64.b64decode(contents, validate=True)
    except (binascii.Error, ValueError):
        raise INVALID_VALUE("contents", "the text is not base64") from None
    with ctx.transaction() as transaction:
        old = transaction.get(VTPM, self).contents
        transaction.update(VTPM, self, contents=transaction.create(Secret, value=contents))
        drop_secret(transaction, old)
