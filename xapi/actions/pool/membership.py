"""Who belongs to the pool, and who coordinates it: on a pool of one host, mostly what cannot be asked of it."""

from __future__ import annotations

from xapi.datamodel.classes import Host
from xapi.datamodel.classes import pool_messages as api
from xapi.datamodel.classes.pool import HelloReturn
from xapi.datamodel.errors import HA_IS_ENABLED, HA_NOT_ENABLED, NOT_IMPLEMENTED, OPERATION_NOT_ALLOWED
from xapi.datamodel.model import Ref
from xapi.dispatch.authorise import AUDIT
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


@implements(api.is_slave, checks_first=False)
def is_slave(ctx: Context, host: Ref[Host]) -> bool:
    """No: this host is the coordinator."""
    return False


@implements(api.sync_database)
def sync_database(ctx: Context) -> None:
    """Nothing: each change is on the coordinator's disk before it is answered, and there are no members to copy to."""


@implements(api.eject)
def eject(ctx: Context, host: Ref[Host]) -> None:
    """Refuse to remove the coordinator from its own pool."""
    if ctx.pool.ha_enabled:
        raise HA_IS_ENABLED()
    if host == ctx.pool.master:
        raise OPERATION_NOT_ALLOWED("the coordinator cannot be ejected from its pool; designate another one first")
    raise NOT_IMPLEMENTED("pool.eject")


@implements(api.designate_new_master)
def designate_new_master(ctx: Context, host: Ref[Host]) -> None:
    """Leave things as they are when the host is the coordinator already."""
    if host != ctx.pool.master:
        raise NOT_IMPLEMENTED("pool.designate_new_master")


@implements(api.disable_ha)
def disable_ha(ctx: Context) -> None:
    """Say that high availability is off already, as clients expect who turn everything off in an emergency."""
    if not ctx.pool.ha_enabled:
        raise HA_NOT_ENABLED()
    raise NOT_IMPLEMENTED("pool.disable_ha")


@implements(api.recover_slaves)
def recover_slaves(ctx: Context) -> tuple[Ref[Host], ...]:
    """Nobody: there are no members that could have lost their coordinator."""
    return ()


@implements(api.hello)
def hello(ctx: Context, host_uuid: str, host_address: str) -> HelloReturn:
    """Say whether a host that announces itself belongs to the pool, and can be reached."""
    host = ctx.db.by_uuid(Host, host_uuid)
    if host is None:
        return HelloReturn.UNKNOWN_HOST
    return HelloReturn.OK if host.ref == ctx.this_host else HelloReturn.CANNOT_TALK_BACK


@implements(api.audit_log_append)
def audit_log_append(ctx: Context, line: str) -> None:
    """Add a member's line to the coordinator's audit."""
    AUDIT.info("%s", line)
