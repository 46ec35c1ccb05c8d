"""Messages of the pool about networks: management on every host, and what needs Open vSwitch."""

from __future__ import annotations

import ipaddress
from typing import Final

from xapi.actions.host.management import assert_usable_for_management
from xapi.datamodel.classes import PIF, Host, Network, Pool, SDNController
from xapi.datamodel.classes import pool_messages as api
from xapi.datamodel.classes.sdn_controller import SdnControllerProtocol
from xapi.datamodel.errors import (
    HA_IS_ENABLED,
    INVALID_IP_ADDRESS_SPECIFIED,
    OPENVSWITCH_NOT_ACTIVE,
    OPERATION_NOT_ALLOWED,
    PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE,
    PIF_NOT_PRESENT,
)
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.perform import run_message

UNTAGGED: Final = -1
CONTROLLER_PORT: Final = 6632


def _uses_vswitch(ctx: Context) -> bool:
    return ctx.db.get(Host, ctx.this_host).software_version.get("network_backend") == "openvswitch"


@implements(api.management_reconfigure)
def management_reconfigure(ctx: Context, network: Ref[Network]) -> None:
    """Let each host's interface on a network carry its management; all are checked before the first one changes."""
    if ctx.pool.ha_enabled:
        raise HA_IS_ENABLED()
    pifs = {pif.host: pif for pif in ctx.db.all(PIF) if pif.network == network}
    hosts = ctx.db.all(Host)
    for host in hosts:
        if host.ref not in pifs:
            raise PIF_NOT_PRESENT(host.ref, network)
    families = {pif.primary_address_type for pif in pifs.values()}
    for pif in pifs.values():
        if len(families) > 1:
            raise PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE(pif.ref)
        assert_usable_for_management(ctx, pif)
    for host in sorted(hosts, key=lambda row: row.ref == ctx.this_host):  # the coordinator last
        run_message(ctx, "host.management_reconfigure", pifs[host.ref].ref)


@implements(api.set_vswitch_controller)
def set_vswitch_controller(ctx: Context, address: str) -> None:
    """Connect all switches to a controller, or to none for an empty address."""
    if not _uses_vswitch(ctx):
        raise OPERATION_NOT_ALLOWED("host not configured for vswitch operation")
    pool = ctx.pool
    if address == pool.vswitch_controller:
        return
    if address:
        try:
            ipaddress.IPv4Address(address)
        except ValueError:
            raise INVALID_IP_ADDRESS_SPECIFIED("address") from None
    for controller in ctx.db.all(SDNController):
        run_message(ctx, "SDN_controller.forget", controller.ref)
    if address:
        run_message(ctx, "SDN_controller.introduce", SdnControllerProtocol.SSL, address, CONTROLLER_PORT)
    with ctx.transaction() as transaction:
        transaction.update(Pool, pool.ref, vswitch_controller=address)


@implements(api.set_igmp_snooping_enabled, checks_first=False)
def set_igmp_snooping_enabled(ctx: Context, self: Ref[Pool], value: bool) -> None:
    """Let bridges forward multicast only to whom asked for it; with Open vSwitch only."""
    if not _uses_vswitch(ctx):
        raise OPENVSWITCH_NOT_ACTIVE()
    ctx.db.get(Pool, self)
    with ctx.transaction() as transaction:
        transaction.update(Pool, self, igmp_snooping_enabled=value)
    for pif in ctx.db.all(PIF):
        if pif.managed and pif.VLAN == UNTAGGED and pif.bond_slave_of == NULL and pif.currently_attached:
            run_message(ctx, "network.attach", pif.network, pif.host)
