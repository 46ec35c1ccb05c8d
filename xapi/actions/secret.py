"""Secrets: values that other objects refer to instead of holding them (XenAPI's class secret)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xapi.datamodel.classes import Secret
from xapi.datamodel.classes import secret as api
from xapi.datamodel.errors import UUID_INVALID
from xapi.datamodel.model import NOTHING, NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys, implements


def replace_secret(transaction: Transaction, old: Ref[Secret], value: str) -> Ref[Secret]:
    """Keep a value in a new secret, and drop the old one; the null reference stands for an empty value."""
    drop_secret(transaction, old)
    return transaction.create(Secret, value=value) if value else NULL


def drop_secret(transaction: Transaction, ref: Ref[Secret]) -> None:
    """Remove a secret, if it is still there."""
    if transaction.find(Secret, ref) is not None:
        transaction.delete(Secret, ref)


@creates(Secret)
def create(ctx: Context, values: dict[str, Any]) -> Ref[Secret]:
    """Keep a value under a UUID of its own."""
    with ctx.transaction() as transaction:
        return transaction.create(Secret, value=values.get("value", ""), other_config=values.get("other_config", {}))


@implements(api.introduce)
def introduce(ctx: Context, uuid: str, value: str, other_config: Mapping[str, str] = NOTHING) -> Ref[Secret]:
    """Keep a value under a UUID that is known already; UUID_INVALID when another secret has it."""
    if ctx.db.by_uuid(Secret, uuid) is not None:
        raise UUID_INVALID(Secret.wire_name, uuid)
    with ctx.transaction() as transaction:
        return transaction.create(Secret, uuid=uuid, value=value, other_config=other_config)


@destroys(Secret)
def destroy(ctx: Context, self: Ref[Secret]) -> None:
    """Forget a value."""
    with ctx.transaction() as transaction:
        transaction.delete(Secret, self)
