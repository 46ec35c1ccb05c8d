"""The host's own addresses on its interfaces (XenAPI's class PIF)."""

from __future__ import annotations

from typing import Any

from xapi.actions.addresses import IPV4, IPV6, check_cidr, check_ip
from xapi.actions.attach_networks import networking
from xapi.actions.pif_checks import check_managed, check_not_management, check_unprotected
from xapi.actions.pif_wiring import bring_up
from xapi.actions.tentative import taken_back_on_failure
from xapi.datamodel.classes import PIF
from xapi.datamodel.classes import pif as api
from xapi.datamodel.classes.pif import IpConfigurationMode, Ipv6ConfigurationMode, PrimaryAddressType
from xapi.datamodel.errors import INVALID_IP_ADDRESS_SPECIFIED, PIF_IS_MANAGEMENT_INTERFACE
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


def _reconfigure(ctx: Context, self: Ref[PIF], needed: PrimaryAddressType | None, **values: Any) -> None:
    """Write the settings down and apply them to an interface that is up; all is as before when that fails.

    `needed` is the family that the settings leave without an address, which the management may not be.
    """
    net = networking(ctx)
    with net.lock:
        with ctx.transaction() as transaction:
            before = transaction.get(PIF, self)
            if before.management and needed == before.primary_address_type:
                raise PIF_IS_MANAGEMENT_INTERFACE(self)
            transaction.update(PIF, self, **values)
        with taken_back_on_failure(ctx, [before], values):
            if before.currently_attached:
                bring_up(net, self)


def _check_changeable(ctx: Context, self: Ref[PIF]) -> None:
    pif = ctx.db.get(PIF, self)
    check_managed(pif)
    check_unprotected(ctx.db, pif)


@implements(api.reconfigure_ip)
def reconfigure_ip(
    ctx: Context, self: Ref[PIF], mode: IpConfigurationMode, IP: str, netmask: str, gateway: str, DNS: str
) -> None:
    """Change how the host gets its IPv4 address here, at once if the interface is up."""
    _check_changeable(ctx, self)
    if mode == IpConfigurationMode.STATIC:
        check_ip(IPV4, "IP", IP)
        _check_netmask(netmask)
    for name, value in (("IP", IP), ("netmask", netmask), ("gateway", gateway)):
        if value:
            check_ip(IPV4, name, value)
    _check_dns(IPV4, DNS)
    needed = PrimaryAddressType.IPV4 if mode == IpConfigurationMode.NONE else None
    _reconfigure(ctx, self, needed, ip_configuration_mode=mode, IP=IP, netmask=netmask, gateway=gateway, DNS=DNS)


def _check_netmask(netmask: str) -> None:
    """A netmask is an address whose ones all stand before its zeros."""
    check_ip(IPV4, "netmask", netmask)
    bits = "".join(f"{int(octet):08b}" for octet in netmask.split("."))
    if "01" in bits:
        raise INVALID_IP_ADDRESS_SPECIFIED("netmask")


def _check_dns(family: int, servers: str) -> None:
    if servers:
        for server in servers.split(","):
            check_ip(family, "DNS", server.strip())


@implements(api.reconfigure_ipv6)
def reconfigure_ipv6(
    ctx: Context, self: Ref[PIF], mode: Ipv6ConfigurationMode, IPv6: str, gateway: str, DNS: str
) -> None:
    """Change how the host gets its IPv6 address here, at once if the interface is up."""
    _check_changeable(ctx, self)
    if gateway:
        check_ip(IPV6, "gateway", gateway)
    if IPv6 or mode == Ipv6ConfigurationMode.STATIC:
        check_cidr(IPV6, "IPv6", IPv6)
    _check_dns(IPV6, DNS)
    needed = PrimaryAddressType.IPV6 if mode == Ipv6ConfigurationMode.NONE else None
    others = {"DNS": DNS} if DNS else {}
    _reconfigure(
        ctx,
        self,
        needed,
        ipv6_configuration_mode=mode,
        IPv6=(IPv6,) if IPv6 else (),
        ipv6_gateway=gateway,
        **others,
    )


@implements(api.set_primary_address_type)
def set_primary_address_type(ctx: Context, self: Ref[PIF], primary_address_type: PrimaryAddressType) -> None:
    """Choose which family of addresses the host prefers here; that of the management is not to be changed."""
    with ctx.transaction() as transaction:
        pif = transaction.get(PIF, self)
        check_unprotected(transaction, pif)
        check_not_management(pif)
        transaction.update(PIF, self, primary_address_type=primary_address_type)
