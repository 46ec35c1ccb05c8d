"""Drivers with several versions to choose from (XenAPI's classes Host_driver and Driver_variant).

This host's operating system installs one version of each driver, so that no objects of these classes come to be.
"""

from __future__ import annotations

from xapi.datamodel.classes import DriverVariant, Host, HostDriver
from xapi.datamodel.classes import host_driver as api
from xapi.datamodel.classes import host_messages as host_api
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


def _forget_all(ctx: Context, host: Ref[Host]) -> None:
    """Remove objects that a restored database may have brought."""
    with ctx.transaction() as transaction:
        for driver in transaction.all(HostDriver):
            if driver.host == host:
                for variant in driver.variants:
                    transaction.delete(DriverVariant, variant)
                transaction.delete(HostDriver, driver.ref)


@implements(api.rescan, runs_on="host")
def rescan(ctx: Context, host: Ref[Host]) -> None:
    """Look again for such drivers, and find none."""
    _forget_all(ctx, host)


@implements(host_api.rescan_drivers, runs_on="self")
def rescan_drivers(ctx: Context, self: Ref[Host]) -> None:
    """Look again for such drivers, and find none."""
    _forget_all(ctx, self)
