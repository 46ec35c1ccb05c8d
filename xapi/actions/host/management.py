"""Which interface carries a host's management."""

from __future__ import annotations

from xapi.datamodel.classes import PIF, Host
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.classes.pif import IpConfigurationMode, Ipv6ConfigurationMode, PrimaryAddressType
from xapi.datamodel.errors import (
    CANNOT_PLUG_BOND_SLAVE,
    HA_IS_ENABLED,
    INTERFACE_HAS_NO_IP,
    NOT_IN_EMERGENCY_MODE,
    PIF_HAS_NO_NETWORK_CONFIGURATION,
    PIF_HAS_NO_V6_NETWORK_CONFIGURATION,
    PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE,
)
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.perform import run_message


def assert_usable_for_management(ctx: Context, pif: PIF) -> None:
    """Refuse an interface that is part of a bond, or has no address of its family and will get none."""
    if pif.bond_slave_of != NULL:
        raise CANNOT_PLUG_BOND_SLAVE(pif.ref)
    if pif.primary_address_type == PrimaryAddressType.IPV6:
        if pif.ipv6_configuration_mode == Ipv6ConfigurationMode.NONE:
            raise PIF_HAS_NO_V6_NETWORK_CONFIGURATION(pif.ref)
    elif pif.ip_configuration_mode == IpConfigurationMode.NONE:
        raise PIF_HAS_NO_NETWORK_CONFIGURATION(pif.ref)
    for other in ctx.db.all(PIF):
        if other.management and other.host == pif.host and other.primary_address_type != pif.primary_address_type:
            raise PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE(pif.ref)


def address_of(pif: PIF) -> str:
    """The address by which an interface is reached, without its prefix length; empty if it has none."""
    if pif.primary_address_type == PrimaryAddressType.IPV6:
        return next((text.partition("/")[0] for text in pif.IPv6 if not text.lower().startswith("fe80:")), "")
    return pif.IP


@implements(api.management_reconfigure)
def management_reconfigure(ctx: Context, pif: Ref[PIF]) -> None:
    """Let another interface carry the management; it is plugged first, and the host's address becomes its own."""
    if ctx.pool.ha_enabled:
        raise HA_IS_ENABLED()
    row = ctx.db.get(PIF, pif)
    assert_usable_for_management(ctx, row)
    if row.management:
        return
    if not row.currently_attached:
        run_message(ctx, "PIF.plug", pif)
        row = ctx.db.get(PIF, pif)
    address = address_of(row)
    if not address:
        raise INTERFACE_HAS_NO_IP(pif)
    with ctx.transaction() as transaction:
        for other in transaction.all(PIF):
            if other.management and other.host == row.host:
                transaction.update(PIF, other.ref, management=False)
        transaction.update(PIF, pif, management=True)
        transaction.update(Host, row.host, address=address)


@implements(api.local_management_reconfigure)
def local_management_reconfigure(ctx: Context, interface: str) -> None:
    """Refuse: that is for a host cut off from its pool, and a coordinator never is."""
    raise NOT_IN_EMERGENCY_MODE()
