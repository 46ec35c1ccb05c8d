"""A host's own notes, some of which steer the simulators (`simulator:fault:…`, `network-simulator:nic:…`)."""

from __future__ import annotations

from collections.abc import Mapping

from xapi.actions.attach_networks import networking
from xapi.actions.host.configuration import fields_told_by
from xapi.datamodel.classes import Host
from xapi.datamodel.errors import INVALID_VALUE, MAP_DUPLICATE_KEY
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import overrides
from xapi.hypervisor.interface import InvalidConfiguration
from xapi.network.interface import InvalidNetworkConfiguration

FIELD = "other_config"


def _store(ctx: Context, host: Ref[Host], wanted: Mapping[str, str]) -> None:
    """Let the driver take the keys, then record them; a driver that refuses leaves everything as it was."""
    if host == ctx.this_host:
        try:
            ctx.toolstack.hypervisor.configure(wanted)
            networking(ctx).driver.configure(wanted)
        except InvalidConfiguration as problem:
            raise INVALID_VALUE(problem.field, problem.why) from problem
        except InvalidNetworkConfiguration as problem:
            raise INVALID_VALUE(FIELD, str(problem)) from problem
    with ctx.transaction() as transaction:
        transaction.update(Host, host, other_config=wanted, **fields_told_by(wanted))


@overrides("host.set_other_config")
def set_other_config(ctx: Context, self: Ref[Host], value: Mapping[str, str]) -> None:
    """Replace the notes."""
    ctx.db.get(Host, self)
    _store(ctx, self, value)


@overrides("host.add_to_other_config")
def add_to_other_config(ctx: Context, self: Ref[Host], key: str, value: str) -> None:
    """Add a note."""
    present = ctx.db.get(Host, self).other_config
    if key in present:
        raise MAP_DUPLICATE_KEY(Host.wire_name, FIELD, self, key)
    _store(ctx, self, {**present, key: value})


@overrides("host.remove_from_other_config")
def remove_from_other_config(ctx: Context, self: Ref[Host], key: str) -> None:
    """Remove a note."""
    present = ctx.db.get(Host, self).other_config
    _store(ctx, self, {name: text for name, text in present.items() if name != key})
