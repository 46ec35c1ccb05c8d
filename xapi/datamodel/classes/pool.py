"""XenAPI's class pool."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.model import EPOCH, NULL, RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many
from xapi.datamodel.roles import POOL_OPERATOR, VM_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.blob import Blob
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.repository import Repository
    from xapi.datamodel.classes.secret import Secret
    from xapi.datamodel.classes.sr import SR
    from xapi.datamodel.classes.vdi import VDI


class HelloReturn(WireEnum):
    """How the coordinator answers a member that announces itself."""

    OK = "ok"
    UNKNOWN_HOST = "unknown_host"
    CANNOT_TALK_BACK = "cannot_talk_back"


class PoolAllowedOperations(WireEnum):
    """Pool-wide operations that may be in progress and can exclude one another."""

    HA_ENABLE = "ha_enable"
    HA_DISABLE = "ha_disable"
    CLUSTER_CREATE = "cluster_create"
    DESIGNATE_NEW_MASTER = "designate_new_master"
    CONFIGURE_REPOSITORIES = "configure_repositories"
    SYNC_UPDATES = "sync_updates"
    SYNC_BUNDLE = "sync_bundle"
    GET_UPDATES = "get_updates"
    APPLY_UPDATES = "apply_updates"
    TLS_VERIFICATION_ENABLE = "tls_verification_enable"
    CERT_REFRESH = "cert_refresh"
    EXCHANGE_CERTIFICATES_ON_JOIN = "exchange_certificates_on_join"
    EXCHANGE_CA_CERTIFICATES_ON_JOIN = "exchange_ca_certificates_on_join"
    COPY_PRIMARY_HOST_CERTS = "copy_primary_host_certs"
    EJECT = "eject"
    EXCHANGE_CRLS_ON_JOIN = "exchange_crls_on_join"


class PoolGuestSecurebootReadiness(WireEnum):
    """Whether Secure Boot certificates are complete, lack only the revocation list (dbx), or lack more."""

    READY = "ready"
    READY_NO_DBX = "ready_no_dbx"
    NOT_READY = "not_ready"


class TelemetryFrequency(WireEnum):
    """How often telemetry is collected."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class UpdateSyncFrequency(WireEnum):
    """Whether scheduled update synchronization runs every day or once a week."""

    DAILY = "daily"
    WEEKLY = "weekly"


class Pool(Entity, name="pool", role=POOL_OPERATOR):
    """A group of hosts that share one database, one coordinator and, usually, their storage and networks."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field("short name shown for the pool; empty on a host that was never pooled")
    name_description: RW[str] = field("free text about the purpose or owner of the pool")
    master: DynamicRO[Ref[Host]] = field("host that currently acts as pool coordinator and holds the writable database")
    default_SR: RW[Ref[SR]] = field("SR used for new VDIs when the client names none; may be the null reference")
    suspend_image_SR: RW[Ref[SR]] = field(
        "SR for the memory images of suspended VMs when neither VM nor host names one"
    )
    crash_dump_SR: RW[Ref[SR]] = field("SR intended for the crash dumps of VMs")
    other_config: RW[Map[str, str]] = field(
        "free key/value pairs kept for clients and for settings without a field of their own",
        map_keys={"folder": VM_OPERATOR, "XenCenter.CustomFields.*": VM_OPERATOR, "EMPTY_FOLDERS": VM_OPERATOR},
    )
    ha_enabled: DynamicRO[bool] = field(
        "true while high availability supervises the hosts of the pool", default=False, since="orlando"
    )
    ha_configuration: DynamicRO[Map[str, str]] = field(
        "settings given to the HA daemon when HA was enabled, such as its timeout", default={}, since="orlando"
    )
    ha_statefiles: DynamicRO[SetOf[str]] = field(
        "references of the VDIs that hold the HA statefile", default=(), since="orlando"
    )
    ha_host_failures_to_tolerate: DynamicRO[int] = field(
        "number of simultaneous host failures after which protected VMs must still restart", default=0, since="orlando"
    )
    ha_plan_exists_for: DynamicRO[int] = field(
        "number of host failures the current restart plan really covers", default=0, since="orlando"
    )
    ha_allow_overcommit: RW[bool] = field(
        "true if operations may go on that leave too little spare capacity for the restart plan",
        default=False,
        since="orlando",
    )
    ha_overcommitted: DynamicRO[bool] = field(
        "true if the pool no longer has the capacity to survive the configured host failures",
        default=False,
        since="orlando",
    )
    blobs: DynamicRO[Map[str, Ref[Blob]]] = field(
        "binary objects attached to the pool, by name", default={}, since="orlando"
    )
    tags: RW[SetOf[str]] = field(
        "user-chosen words for finding and grouping pools", default=(), since="orlando", writes=VM_OPERATOR
    )
    gui_config: RW[Map[str, str]] = field(
        "settings that graphical clients store with the pool", default={}, since="orlando", writes=VM_OPERATOR
    )
    health_check_config: RW[Map[str, str]] = field(
        "settings of the health check (call home) feature", default={}, since="dundee"
    )
    wlb_url: DynamicRO[str] = field(
        "address of the workload balancing server, empty if none is configured", default="", since="george"
    )
    wlb_username: DynamicRO[str] = field(
        "account used to log in to the workload balancing server", default="", since="george"
    )
    wlb_password: DynamicRO[Ref[Secret]] = field(
        "secret that holds the password for the workload balancing server", since="george", internal=True
    )
    wlb_enabled: RW[bool] = field(
        "true if placement advice from workload balancing is to be used",
        default=False,
        since="george",
        client_certificate=True,
    )
    wlb_verify_cert: RW[bool] = field(
        "whether the workload balancing server's TLS certificate used to be verified",
        default=False,
        since="published george, deprecated 1.290.0",
    )
    redo_log_enabled: DynamicRO[bool] = field(
        "true if database changes are also written to a redo log on shared storage",
        default=False,
        since="midnight-ride",
    )
    redo_log_vdi: DynamicRO[Ref[VDI]] = field(
        "VDI that receives the redo log while it is enabled", default=NULL, since="midnight-ride"
    )
    vswitch_controller: DynamicRO[str] = field(
        "IP address of the external vSwitch controller, empty if none is used",
        default="",
        since="published midnight-ride, deprecated falcon",
    )
    restrictions: DynamicRO[Map[str, str]] = field(
        "licensing restrictions in force for the whole pool, by feature", default={}, since="midnight-ride"
    )
    metadata_VDIs: DynamicRO[SetOf[Ref[VDI]]] = many(
        "VDI.metadata_of_pool", "VDIs that carry a copy of some pool's database, for disaster recovery", since="boston"
    )
    ha_cluster_stack: DynamicRO[str] = field(
        "name of the cluster stack that HA runs on, such as 'xhad'", default="", since="dundee"
    )
    allowed_operations: DynamicRO[SetOf[PoolAllowedOperations]] = field(
        "pool operations that could be started right now", default=(), persistent=False
    )
    current_operations: DynamicRO[Map[str, PoolAllowedOperations]] = field(
        "pool operations in progress, keyed by the task that runs each of them", default={}, persistent=False
    )
    guest_agent_config: DynamicRO[Map[str, str]] = field(
        "settings published to the guest agents of all VMs in the pool", default={}, since="dundee"
    )
    cpu_info: DynamicRO[Map[str, str]] = field(
        "CPU vendor, counts and feature masks that every host of the pool can offer", default={}, since="dundee"
    )
    policy_no_vendor_device: RW[bool] = field(
        "true if new VMs were to start without the vendor device for Windows driver updates",
        default=False,
        since="published dundee, deprecated 24.14.0",
    )
    live_patching_disabled: RW[bool] = field(
        "true if updates must not be applied as live patches anywhere in the pool", default=False, since="ely"
    )
    igmp_snooping_enabled: DynamicRO[bool] = field(
        "true if the bridges of the pool forward multicast only to ports that asked for it",
        default=False,
        since="inverness",
    )
    uefi_certificates: StaticRO[str] = field(
        "Secure Boot certificates (base64 tarball) that UEFI VMs of the pool start with",
        default="",
        since="published quebec, changed 22.16.0",
    )
    custom_uefi_certificates: StaticRO[str] = field(
        "administrator's own Secure Boot certificates (base64 tarball), overriding the default set",
        default="",
        since="prototyped 24.0.0",
    )
    is_psr_pending: RW[bool] = field(
        "true if a pool secret rotation did not finish on every host", default=False, since="stockholm_psr"
    )
    tls_verification_enabled: DynamicRO[bool] = field(
        "true if outgoing TLS connections between hosts check the peer's certificate", default=False, since="1.290.0"
    )
    repositories: DynamicRO[SetOf[Ref[Repository]]] = field(
        "update repositories that are enabled for the pool", default=(), since="1.301.0", dangling=True
    )
    client_certificate_auth_enabled: DynamicRO[bool] = field(
        "true if clients may authenticate with a TLS client certificate", default=False, since="1.318.0"
    )
    client_certificate_auth_name: DynamicRO[str] = field(
        "name that a client certificate must carry to be accepted", default="", since="1.318.0"
    )
    repository_proxy_url: DynamicRO[str] = field(
        "URL of the proxy through which update repositories are reached, empty for none", default="", since="21.3.0"
    )
    repository_proxy_username: DynamicRO[str] = field(
        "account used at the repository proxy, empty if it needs none", default="", since="21.3.0"
    )
    repository_proxy_password: DynamicRO[Ref[Secret]] = field(
        "secret that holds the password for the repository proxy",
        default=NULL,
        since="published 21.3.0, changed 23.9.0",
    )
    migration_compression: RW[bool] = field(
        "true if migrations compress their memory stream unless the caller says otherwise",
        default=False,
        since="prototyped 22.33.0",
    )
    coordinator_bias: RW[bool] = field(
        "true if the scheduler prefers other hosts over the coordinator for starting VMs",
        default=True,
        since="prototyped 22.37.0, published rio",
    )
    local_auth_max_threads: StaticRO[int] = field(
        "how many local (PAM) password checks may run at the same time", default=8, since="prototyped 23.27.0"
    )
    ext_auth_max_threads: StaticRO[int] = field(
        "how many external directory authentications may run at the same time", default=1, since="prototyped 23.27.0"
    )
    ext_auth_cache_enabled: DynamicRO[bool] = field(
        "true if successful external authentications are remembered for a while",
        default=True,
        since="prototyped 24.31.0",
    )
    ext_auth_cache_size: DynamicRO[int] = field(
        "maximum number of users held in the external authentication cache", default=50, since="prototyped 24.31.0"
    )
    ext_auth_cache_expiry: DynamicRO[int] = field(
        "how long an external authentication stays cached, in seconds", default=300, since="prototyped 24.31.0"
    )
    telemetry_uuid: DynamicRO[Ref[Secret]] = field(
        "secret with the anonymous identifier under which telemetry of this pool is reported",
        default=NULL,
        since="prototyped 23.9.0",
    )
    telemetry_frequency: DynamicRO[TelemetryFrequency] = field(
        "how often telemetry is collected", default=TelemetryFrequency.WEEKLY, since="prototyped 23.9.0"
    )
    telemetry_next_collection: DynamicRO[datetime] = field(
        "earliest moment at which telemetry will be collected again", default=EPOCH, since="prototyped 23.9.0"
    )
    last_update_sync: DynamicRO[datetime] = field(
        "when the update repositories were last synchronized successfully", default=EPOCH, since="prototyped 23.18.0"
    )
    update_sync_frequency: DynamicRO[UpdateSyncFrequency] = field(
        "how often the scheduled synchronization of updates runs",
        default=UpdateSyncFrequency.WEEKLY,
        since="prototyped 23.18.0",
    )
    update_sync_day: DynamicRO[int] = field(
        "weekday of the weekly update synchronization, 0 (Sunday) to 6; unused when daily",
        default=0,
        since="prototyped 23.18.0",
    )
    update_sync_enabled: DynamicRO[bool] = field(
        "true if updates are synchronized on schedule", default=False, since="prototyped 23.18.0"
    )
    recommendations: DynamicRO[Map[str, str]] = field(
        "pool limits that clients are advised to respect, such as the number of VM groups",
        default={},
        since="prototyped 24.19.1",
    )
    license_server: RW[Map[str, str]] = field(
        "license server settings shared by all hosts of the pool", default={}, since="prototyped 25.6.0"
    )
    ha_reboot_vm_on_internal_shutdown: RW[bool] = field(
        "true if HA restarts a protected VM that was shut down from inside the guest",
        default=True,
        since="prototyped 25.16.0",
    )
    limit_console_sessions: RW[bool] = field(
        "true if the console of a VM or host takes only one connection at a time",
        default=False,
        since="prototyped 26.1.0",
    )
    vm_console_idle_timeout: RW[int] = field(
        "seconds without activity after which a VM console is disconnected; 0 for never",
        default=0,
        since="prototyped 26.1.0",
    )
    auto_update_vm_secureboot_certificates: RW[bool] = field(
        "true if outdated Secure Boot certificates of VMs are renewed automatically",
        default=False,
        since="prototyped 26.16.1",
    )
