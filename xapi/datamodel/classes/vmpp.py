"""XenAPI's class VMPP."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.model import EPOCH, RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many, message
from xapi.datamodel.roles import LOCAL_ROOT, POOL_OPERATOR, VM_POWER_ADMIN
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.vm import VM


class VmppArchiveFrequency(WireEnum):
    """How often a removed protection policy archived its backups."""

    NEVER = "never"
    ALWAYS_AFTER_BACKUP = "always_after_backup"
    DAILY = "daily"
    WEEKLY = "weekly"


class VmppArchiveTargetType(WireEnum):
    """Kind of file share a removed protection policy archived to."""

    NONE = "none"
    CIFS = "cifs"
    NFS = "nfs"


class VmppBackupFrequency(WireEnum):
    """How often a removed protection policy made backups."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"


class VmppBackupType(WireEnum):
    """Whether backups of a removed protection policy held memory besides disks."""

    SNAPSHOT = "snapshot"
    CHECKPOINT = "checkpoint"


class VMPP(
    Entity, since="published cowley, deprecated clearwater, removed clearwater", role=POOL_OPERATOR, constructor=True
):
    """A protection policy that made and archived VM backups; removed, see VMSS."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field("name of the policy shown to people", default="", group="name")
    name_description: RW[str] = field("free text notes about the policy", default="", group="name")
    is_policy_enabled: RW[bool] = field("whether the policy was carried out at its times", default=True)
    backup_type: RW[VmppBackupType] = field(
        "whether backups held disks only or memory as well", default=VmppBackupType.SNAPSHOT
    )
    backup_retention_value: StaticRO[int] = field(
        "number of backups kept per VM before the oldest was deleted", default=7
    )
    backup_frequency: StaticRO[VmppBackupFrequency] = field(
        "how often backups were made", default=VmppBackupFrequency.DAILY
    )
    backup_schedule: StaticRO[Map[str, str]] = field(
        "when backups were made: hour, min and days, in local time", default={}
    )
    is_backup_running: DynamicRO[bool] = field("true while a backup was being made")
    backup_last_run_time: DynamicRO[datetime] = field("when backups were last made", default=EPOCH)
    archive_target_type: StaticRO[VmppArchiveTargetType] = field(
        "kind of file share the archives went to", default=VmppArchiveTargetType.NONE
    )
    archive_target_config: StaticRO[Map[str, str]] = field(
        "location, username and password of the file share for archives", default={}
    )
    archive_frequency: StaticRO[VmppArchiveFrequency] = field(
        "how often backups were archived", default=VmppArchiveFrequency.NEVER
    )
    archive_schedule: StaticRO[Map[str, str]] = field(
        "when backups were archived: hour, min and days, in local time", default={}
    )
    is_archive_running: DynamicRO[bool] = field("true while a backup was being archived")
    archive_last_run_time: DynamicRO[datetime] = field("when backups were last archived", default=EPOCH)
    VMs: DynamicRO[SetOf[Ref[VM]]] = many("VM.protection_policy", "VMs that the policy protected")
    is_alarm_enabled: StaticRO[bool] = field("whether alerts were also sent by mail", default=False)
    alarm_config: StaticRO[Map[str, str]] = field(
        "mail settings for alerts, such as the address and the SMTP server", default={}
    )
    recent_alerts: DynamicRO[SetOf[str]] = field("latest alerts raised by the policy", default=())


@message(VMPP, asynchronous=False)
def protect_now(vmpp: Ref[VMPP]) -> str:
    """Made the policy's backups at once; removed, see VMSS.snapshot_now."""


@message(VMPP, role=VM_POWER_ADMIN, asynchronous=False)
def archive_now(snapshot: Ref[VM]) -> str:
    """Exported a backup to the policy's file share at once; removed."""


@message(VMPP, role=LOCAL_ROOT, asynchronous=False, hidden=True)
def create_alert(vmpp: Ref[VMPP], name: str, priority: int, body: str, data: str) -> None:
    """Recorded an alert about a policy and mailed it if so configured; removed."""


@message(VMPP, asynchronous=False)
def get_alerts(vmpp: Ref[VMPP], hours_from_now: int) -> SetOf[str]:
    """Returned the alerts of the policy from the last given hours; removed."""


@message(VMPP, asynchronous=False)
def set_backup_retention_value(self: Ref[VMPP], value: int) -> None:
    """Set how many backups were kept per VM; removed, see VMSS.set_retained_snapshots."""


@message(VMPP, role=LOCAL_ROOT, asynchronous=False, hidden=True)
def set_is_backup_running(self: Ref[VMPP], value: bool) -> None:
    """Marked a backup as under way or done; removed."""


@message(VMPP, role=LOCAL_ROOT, asynchronous=False, hidden=True)
def set_is_archive_running(self: Ref[VMPP], value: bool) -> None:
    """Marked archiving as under way or done; removed."""


@message(VMPP, asynchronous=False)
def set_backup_frequency(self: Ref[VMPP], value: VmppBackupFrequency) -> None:
    """Set how often backups were made; removed, see VMSS.set_frequency."""


@message(VMPP, asynchronous=False)
def set_backup_schedule(self: Ref[VMPP], value: Map[str, str]) -> None:
    """Replaced the times for backups; removed, see VMSS.set_schedule."""


@message(VMPP, asynchronous=False)
def set_archive_frequency(self: Ref[VMPP], value: VmppArchiveFrequency) -> None:
    """Set how often backups were archived; removed."""


@message(VMPP, asynchronous=False)
def set_archive_schedule(self: Ref[VMPP], value: Map[str, str]) -> None:
    """Replaced the times for archiving; removed."""


@message(VMPP, asynchronous=False)
def set_archive_target_type(self: Ref[VMPP], value: VmppArchiveTargetType) -> None:
    """Chose the kind of file share for archives; removed."""


@message(VMPP, asynchronous=False)
def set_archive_target_config(self: Ref[VMPP], value: Map[str, str]) -> None:
    """Replaced the settings of the file share for archives; removed."""


@message(VMPP, asynchronous=False)
def set_is_alarm_enabled(self: Ref[VMPP], value: bool) -> None:
    """Switched mail for alerts on or off; removed."""


@message(VMPP, asynchronous=False)
def set_alarm_config(self: Ref[VMPP], value: Map[str, str]) -> None:
    """Replaced the mail settings for alerts; removed."""


@message(VMPP, asynchronous=False)
def add_to_backup_schedule(self: Ref[VMPP], key: str, value: str) -> None:
    """Added one entry to the times for backups; removed, see VMSS.add_to_schedule."""


@message(VMPP, asynchronous=False)
def add_to_archive_target_config(self: Ref[VMPP], key: str, value: str) -> None:
    """Added one setting of the file share for archives; removed."""


@message(VMPP, asynchronous=False)
def add_to_archive_schedule(self: Ref[VMPP], key: str, value: str) -> None:
    """Added one entry to the times for archiving; removed."""


@message(VMPP, asynchronous=False)
def add_to_alarm_config(self: Ref[VMPP], key: str, value: str) -> None:
    """Added one mail setting for alerts; removed."""


@message(VMPP, asynchronous=False)
def remove_from_backup_schedule(self: Ref[VMPP], key: str) -> None:
    """Dropped one entry of the times for backups; removed, see VMSS.remove_from_schedule."""


@message(VMPP, asynchronous=False)
def remove_from_archive_target_config(self: Ref[VMPP], key: str) -> None:
    """Dropped one setting of the file share for archives; removed."""


@message(VMPP, asynchronous=False)
def remove_from_archive_schedule(self: Ref[VMPP], key: str) -> None:
    """Dropped one entry of the times for archiving; removed."""


@message(VMPP, asynchronous=False)
def remove_from_alarm_config(self: Ref[VMPP], key: str) -> None:
    """Dropped one mail setting for alerts; removed."""


@message(VMPP, role=LOCAL_ROOT, asynchronous=False)
def set_backup_last_run_time(self: Ref[VMPP], value: datetime) -> None:
    """Recorded when backups were last made; removed, see VMSS.set_last_run_time."""


@message(VMPP, role=LOCAL_ROOT, asynchronous=False)
def set_archive_last_run_time(self: Ref[VMPP], value: datetime) -> None:
    """Recorded when backups were last archived; removed."""
