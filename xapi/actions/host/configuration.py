"""Settings of a host that have effects, or rules of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from xapi.actions.host.machine import Setting, machine_of
from xapi.actions.host.power import assert_out_of_service
from xapi.datamodel.classes import PBD, SR, VM, Host, Secret
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.classes.host import HostDisplay, HostNumaAffinityPolicy, HostSchedGran
from xapi.datamodel.classes.vm import UpdateGuidances
from xapi.datamodel.errors import (
    HOST_CANNOT_SEE_SR,
    HOST_NAME_INVALID,
    HOST_NOT_DISABLED,
    INVALID_VALUE,
    OPERATION_NOT_ALLOWED,
    SR_OPERATION_NOT_SUPPORTED,
    TLS_VERIFICATION_NOT_ENABLED_IN_POOL,
    VALUE_NOT_SUPPORTED,
)
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle.surroundings import driver_features

LONGEST_HOSTNAME: Final = 255
CACHING: Final = "SR_SUPPORTS_LOCAL_CACHING"


def assert_hostname(name: str) -> None:
    """Refuse what cannot be a network name: letters, digits, full stops, and hyphens in the middle only."""
    if not name:
        raise HOST_NAME_INVALID("hostname empty")
    if len(name) > LONGEST_HOSTNAME:
        raise HOST_NAME_INVALID("hostname is too long")
    if re.fullmatch(r"[A-Za-z0-9.-]+", name) is None or name[0] == "-" or name[-1] == "-":
        raise HOST_NAME_INVALID("hostname contains invalid characters")


@implements(api.set_hostname_live, runs_on="host")
def set_hostname_live(ctx: Context, host: Ref[Host], hostname: str) -> None:
    """Change the network name of the running host, and the name of its control domain with it."""
    assert_hostname(hostname)
    machine_of(ctx, "host.set_hostname_live").configure(Setting.HOSTNAME, hostname)
    with ctx.transaction() as transaction:
        row = transaction.get(Host, host)
        software = row.software_version
        if "hostname" in software:
            software = {**software, "hostname": hostname}
        transaction.update(Host, host, hostname=hostname, software_version=software)
        if transaction.find(VM, row.control_domain) is not None:
            transaction.update(VM, row.control_domain, name_label=f"Control domain on host: {hostname}")


@implements(api.set_power_on_mode)
def set_power_on_mode(ctx: Context, self: Ref[Host], power_on_mode: str, power_on_config: Mapping[str, str]) -> None:
    """Say how the host is switched on; secrets that only the old settings named are dropped."""
    with ctx.transaction() as transaction:
        old = transaction.get(Host, self).power_on_config
        transaction.update(Host, self, power_on_mode=power_on_mode, power_on_config=power_on_config)
        gone = {
            value
            for key, value in old.items()
            if key.endswith("password_secret") and value not in power_on_config.values()
        }
        for secret in transaction.all(Secret):
            if secret.uuid in gone:
                transaction.delete(Secret, secret.ref)


@implements(api.set_iscsi_iqn, runs_on="host")
def set_iscsi_iqn(ctx: Context, host: Ref[Host], value: str) -> None:
    """Set the name by which the host presents itself to iSCSI targets."""
    if not value:
        raise INVALID_VALUE("value", value)
    _set_with_note(ctx, host, "iscsi_iqn", value, value)


@implements(api.set_multipathing, runs_on="host")
def set_multipathing(ctx: Context, host: Ref[Host], value: bool) -> None:
    """Say whether block storage is reached over several paths; an SR that is plugged stays as it is until it is not."""
    _set_with_note(ctx, host, "multipathing", value, "true" if value else "false")


def fields_told_by(other_config: Mapping[str, str]) -> dict[str, object]:
    """The fields that a host's notes set too: clients older than the fields, and some that are not, write the notes.

    A note that is removed, or means nothing, leaves its field as it is.
    """
    fields: dict[str, object] = {}
    if other_config.get("iscsi_iqn"):
        fields["iscsi_iqn"] = other_config["iscsi_iqn"]
    if other_config.get("multipathing") in ("true", "false"):
        fields["multipathing"] = other_config["multipathing"] == "true"
    return fields


def _set_with_note(ctx: Context, host: Ref[Host], field: str, value: object, note: str) -> None:
    """Set a field, and the key of other_config in which older clients look for the same."""
    with ctx.transaction() as transaction:
        other_config = {**transaction.get(Host, host).other_config, field: note}
        transaction.update(Host, host, **{field: value, "other_config": other_config})


@implements(api.set_ssl_legacy, checks_first=False)
def set_ssl_legacy(ctx: Context, self: Ref[Host], value: bool) -> None:
    """Refuse outdated TLS, which is off for good."""
    if value:
        raise VALUE_NOT_SUPPORTED("value", True, "Legacy SSL support has been removed")


@implements(api.enable_display, runs_on="host")
def enable_display(ctx: Context, host: Ref[Host]) -> HostDisplay:
    """Let the control domain have the screen, from the next start on if it has not got it now."""
    return _set_display(
        ctx,
        host,
        {
            HostDisplay.DISABLE_ON_REBOOT: HostDisplay.ENABLED,
            HostDisplay.DISABLED: HostDisplay.ENABLE_ON_REBOOT,
        },
    )


@implements(api.disable_display, runs_on="host")
def disable_display(ctx: Context, host: Ref[Host]) -> HostDisplay:
    """Take the screen from the control domain at the next start."""
    return _set_display(
        ctx,
        host,
        {
            HostDisplay.ENABLED: HostDisplay.DISABLE_ON_REBOOT,
            HostDisplay.ENABLE_ON_REBOOT: HostDisplay.DISABLED,
        },
    )


def _set_display(ctx: Context, host: Ref[Host], steps: Mapping[HostDisplay, HostDisplay]) -> HostDisplay:
    with ctx.transaction() as transaction:
        current = transaction.get(Host, host).display
        wanted = steps.get(current, current)
        if wanted != current:
            transaction.update(Host, host, display=wanted)
    return wanted


@implements(api.set_numa_affinity_policy, runs_on="self")
def set_numa_affinity_policy(ctx: Context, self: Ref[Host], value: HostNumaAffinityPolicy) -> None:
    """Say how VMs that start from now on are placed on NUMA nodes."""
    with ctx.transaction() as transaction:
        transaction.update(Host, self, numa_affinity_policy=value)


@implements(api.get_sched_gran, runs_on="self")
def get_sched_gran(ctx: Context, self: Ref[Host]) -> HostSchedGran:
    """The unit in which CPUs are scheduled: single threads, as nothing else can be chosen."""
    return HostSchedGran.CPU


@implements(api.set_sched_gran, runs_on="self")
def set_sched_gran(ctx: Context, self: Ref[Host], value: HostSchedGran) -> None:
    """Refuse any unit but the one that is in use, as is usual where nobody has configured a host for it."""
    if value != HostSchedGran.CPU:
        raise OPERATION_NOT_ALLOWED("this host schedules single CPU threads only")


@implements(api.set_uefi_certificates, checks_first=False)
def set_uefi_certificates(ctx: Context, host: Ref[Host], value: str) -> None:
    """Refuse: the pool has Secure Boot certificates, not a host."""
    raise OPERATION_NOT_ALLOWED("To set UEFI certificates use: `Pool.set_custom_uefi_certificates`")


@implements(api.emergency_disable_tls_verification)
def emergency_disable_tls_verification(ctx: Context) -> None:
    """Let this host take any certificate of its peers."""
    with ctx.transaction() as transaction:
        transaction.update(Host, ctx.this_host, tls_verification_enabled=False)


@implements(api.emergency_reenable_tls_verification)
def emergency_reenable_tls_verification(ctx: Context) -> None:
    """Let this host check the certificates of its peers again, if the pool does so at all."""
    if not ctx.pool.tls_verification_enabled:
        raise TLS_VERIFICATION_NOT_ENABLED_IN_POOL()
    with ctx.transaction() as transaction:
        transaction.update(Host, ctx.this_host, tls_verification_enabled=True)


@implements(api.emergency_clear_mandatory_guidance)
def emergency_clear_mandatory_guidance(ctx: Context) -> None:
    """Drop the tasks that an update left to be done on this host, without doing them."""
    none: tuple[UpdateGuidances, ...] = ()
    with ctx.transaction() as transaction:
        transaction.update(Host, ctx.this_host, pending_guidances=none)


@implements(api.enable_local_storage_caching, runs_on="host")
def enable_local_storage_caching(ctx: Context, host: Ref[Host], sr: Ref[SR]) -> None:
    """Cache shared images on a local SR of a host that is out of service."""
    if ctx.db.get(Host, host).enabled:
        raise HOST_NOT_DISABLED()
    assert_out_of_service(ctx, host)
    with ctx.transaction() as transaction:
        row = transaction.get(SR, sr)
        if row.shared or len(row.PBDs) != 1 or CACHING not in driver_features(transaction, row.type):
            raise SR_OPERATION_NOT_SUPPORTED(sr)
        if transaction.get(PBD, row.PBDs[0]).host != host:
            raise HOST_CANNOT_SEE_SR(host, sr)
        _drop_cache(transaction, host)
        transaction.update(Host, host, local_cache_sr=sr)
        transaction.update(SR, sr, local_cache_enabled=True)


@implements(api.disable_local_storage_caching, runs_on="host")
def disable_local_storage_caching(ctx: Context, host: Ref[Host]) -> None:
    """Cache shared images no longer, on a host that is out of service."""
    if ctx.db.get(Host, host).enabled:
        raise HOST_NOT_DISABLED()
    assert_out_of_service(ctx, host)
    with ctx.transaction() as transaction:
        _drop_cache(transaction, host)


def _drop_cache(transaction: Transaction, host: Ref[Host]) -> None:
    old = transaction.get(Host, host).local_cache_sr
    transaction.update(Host, host, local_cache_sr=NULL)
    if transaction.find(SR, old) is not None:
        transaction.update(SR, old, local_cache_enabled=False)
