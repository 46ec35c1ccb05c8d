"""The messages of XenAPI's class pool."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.classes.certificate import CertificatePurpose
from xapi.datamodel.classes.pool import HelloReturn, Pool, PoolGuestSecurebootReadiness, UpdateSyncFrequency
from xapi.datamodel.errors import (
    CANNOT_CONTACT_HOST,
    CANNOT_PLUG_BOND_SLAVE,
    HA_IS_ENABLED,
    HOST_IS_SLAVE,
    INTERNAL_ERROR,
    JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS,
    NOT_SUPPORTED_DURING_UPGRADE,
    PIF_HAS_NO_NETWORK_CONFIGURATION,
    PIF_HAS_NO_V6_NETWORK_CONFIGURATION,
    PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE,
    PIF_NOT_PRESENT,
    VLAN_TAG_INVALID,
)
from xapi.datamodel.model import NOTHING, Map, Ref, SetOf, message
from xapi.datamodel.roles import LOCAL_ROOT, POOL_ADMIN, READ_ONLY

if TYPE_CHECKING:
    from xapi.datamodel.classes.blob import Blob
    from xapi.datamodel.classes.certificate import Certificate
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.network import Network
    from xapi.datamodel.classes.pif import PIF
    from xapi.datamodel.classes.repository import Repository
    from xapi.datamodel.classes.session import Session
    from xapi.datamodel.classes.sr import SR
    from xapi.datamodel.classes.vm import VM


@message(Pool, errors=(JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS,))
def join(master_address: str, master_username: str, master_password: str) -> None:
    """Make this host a member of the pool whose coordinator is given.

    Refused if the host is already pooled, has shared SRs or running VMs, or differs in version or CPU.
    """


@message(Pool)
def join_force(master_address: str, master_username: str, master_password: str) -> None:
    """Join this host to another pool even where soft compatibility checks, such as CPUs, fail.

    Checks that protect the pool's data still apply.
    """


@message(Pool)
def eject(host: Ref[Host]) -> None:
    """Remove a host from the pool and return it to a freshly installed state.

    Its local storage is wiped and it reboots; the coordinator cannot be ejected.
    """


@message(Pool, hidden=True)
def initial_auth() -> str:
    """Return the pool secret to a host that is about to join; internal."""


@message(Pool, since="1.298.0", hidden=True)
def exchange_certificates_on_join(uuid: str, certificate: str) -> Map[str, str]:
    """Trade host certificates between the pool and a joining host; internal.

    Stores the given certificate and returns the pool's own, by host uuid.
    """


@message(Pool, since="1.320.0", hidden=True)
def exchange_ca_certificates_on_join(import_: Map[str, str], export: SetOf[Ref[Certificate]]) -> Map[str, str]:
    """Trade trusted CA certificates between the pool and a joining host; internal.

    Returns the contents of the exported certificates by name.
    """


@message(Pool, asynchronous=False, emergency=True)
def emergency_transition_to_master() -> None:
    """Turn the called host into the coordinator after the old one is lost.

    Meant for emergency mode; the other members must then be redirected with pool.recover_slaves.
    """


@message(Pool, asynchronous=False, emergency=True)
def emergency_reset_master(master_address: str) -> None:
    """Point the called member at a new coordinator address while it is in emergency mode."""


@message(Pool)
def recover_slaves() -> SetOf[Ref[Host]]:
    """Tell unreachable members that this host is now the coordinator and return those that answered."""


@message(Pool, hidden=True)
def hello(host_uuid: str, host_address: str) -> HelloReturn:
    """Announce a member to the coordinator as it starts; internal.

    The coordinator checks that it knows the host and can connect back to it.
    """


@message(Pool, role=POOL_ADMIN, asynchronous=False, hidden=True, emergency=True)
def is_slave(host: Ref[Host]) -> bool:
    """Tell whether the called host regards itself as a pool member, not as the coordinator; internal."""


@message(Pool, errors=(VLAN_TAG_INVALID,))
def create_VLAN(device: str, network: Ref[Network], VLAN: int) -> SetOf[Ref[PIF]]:
    """Create a VLAN interface with this tag on the named device of every host.

    Only hosts that are alive take part; returns the new PIFs.
    """


@message(
    Pool,
    errors=(
        HA_IS_ENABLED,
        PIF_NOT_PRESENT,
        CANNOT_PLUG_BOND_SLAVE,
        PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE,
        PIF_HAS_NO_NETWORK_CONFIGURATION,
        PIF_HAS_NO_V6_NETWORK_CONFIGURATION,
    ),
    since="inverness",
)
def management_reconfigure(network: Ref[Network]) -> None:
    """Move the management interface of every host to the given network.

    Each host needs an IP configuration there; existing connections are cut.
    """


@message(Pool, errors=(VLAN_TAG_INVALID,))
def create_VLAN_from_PIF(pif: Ref[PIF], network: Ref[Network], VLAN: int) -> SetOf[Ref[PIF]]:
    """Create a VLAN on every host, on top of the PIF that corresponds to the given one.

    A VLAN or tunnel PIF cannot serve as the base; returns the new PIFs.
    """


@message(Pool, since="miami", client_certificate=True)
def enable_ha(heartbeat_srs: SetOf[Ref[SR]], configuration: Map[str, str]) -> None:
    """Turn on high availability with statefiles on the given SRs.

    Needs shared storage that every host can reach; hosts may fence themselves from then on.
    """


@message(Pool, since="miami", client_certificate=True)
def disable_ha() -> None:
    """Turn off high availability; VMs keep running but are no longer restarted automatically."""


@message(Pool)
def sync_database() -> None:
    """Copy the coordinator's database to all members now."""


@message(Pool, since="miami")
def designate_new_master(host: Ref[Host]) -> None:
    """Hand the role of coordinator over to another host in an orderly way.

    The API is unavailable for a short time; running VMs are not affected.
    """


@message(Pool, since="orlando-update-1", asynchronous=False)
def ha_prevent_restarts_for(seconds: int) -> None:
    """Hold back automatic VM restarts by HA for this many seconds.

    Zero lifts a hold that is in effect.
    """


@message(Pool, since="orlando", asynchronous=False)
def ha_failover_plan_exists(n: int) -> bool:
    """Tell whether all protected VMs could be restarted after n host failures."""


@message(Pool, since="orlando", asynchronous=False)
def ha_compute_max_host_failures_to_tolerate() -> int:
    """Return the largest number of host failures the protected VMs could survive at present."""


@message(Pool, role=READ_ONLY, since="orlando", asynchronous=False)
def ha_compute_hypothetical_max_host_failures_to_tolerate(configuration: Map[Ref[VM], str]) -> int:
    """Return how many host failures could be survived if the VMs had the given restart priorities."""


@message(Pool, since="orlando", asynchronous=False)
def ha_compute_vm_failover_plan(
    failed_hosts: SetOf[Ref[Host]], failed_vms: SetOf[Ref[VM]]
) -> Map[Ref[VM], Map[str, str]]:
    """Return on which host each of the given VMs would restart if the given hosts failed.

    VMs that no host can take carry an error code instead.
    """


@message(Pool, since="orlando")
def set_ha_host_failures_to_tolerate(self: Ref[Pool], value: int) -> None:
    """Set for how many host failures the pool must keep restart capacity.

    Refused if no plan exists for that many failures.
    """


@message(Pool, since="orlando", param_since={"public": "tampa"})
def create_new_blob(pool: Ref[Pool], name: str, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Create an empty binary object attached to the pool.

    A public blob can be read over HTTP without a session.
    """


@message(Pool, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def ha_schedule_plan_recomputation() -> None:
    """Ask HA to work out its restart plan again in the background; internal."""


@message(Pool, since="orlando", hidden=True)
def enable_binary_storage() -> None:
    """Let the pool keep larger objects such as blobs, messages and performance history."""


@message(Pool, since="orlando", hidden=True)
def disable_binary_storage() -> None:
    """Stop keeping blobs, messages and performance history.

    Those already stored are deleted.
    """


@message(Pool, role=POOL_ADMIN, since="george", asynchronous=False)
def enable_external_auth(pool: Ref[Pool], config: Map[str, str], service_name: str, auth_type: str) -> None:
    """Turn on an external directory service, such as Active Directory, on every host.

    If one host fails, the hosts already done are switched back.
    """


@message(Pool, role=POOL_ADMIN, since="george", asynchronous=False)
def disable_external_auth(pool: Ref[Pool], config: Map[str, str] = NOTHING) -> None:
    """Leave the external directory service on every host."""


@message(Pool, role=POOL_ADMIN, since="26.16.0", asynchronous=False)
def external_auth_set_ldaps(pool: Ref[Pool], ldaps: bool, force: bool = False) -> None:
    """Choose whether the pool talks to Active Directory over LDAPS.

    Unless forced, the connection is tested first and a failure is refused.
    """


@message(Pool, since="george", asynchronous=False)
def detect_nonhomogeneous_external_auth(pool: Ref[Pool]) -> None:
    """Check in the background whether all hosts use the same directory service.

    A mismatch is reported as a message.
    """


@message(Pool, since="george")
def initialize_wlb(
    wlb_url: str, wlb_username: str, wlb_password: str, xenserver_username: str, xenserver_password: str
) -> None:
    """Register the pool with a workload balancing server.

    The XenServer account is what that server uses to call back into the pool.
    """


@message(Pool, since="george")
def deconfigure_wlb() -> None:
    """Detach the pool from its workload balancing server and forget the credentials."""


@message(Pool, since="george")
def send_wlb_configuration(config: Map[str, str]) -> None:
    """Send optimization settings for this pool to the workload balancing server."""


@message(Pool, role=READ_ONLY, since="george")
def retrieve_wlb_configuration() -> Map[str, str]:
    """Fetch the pool's optimization settings from the workload balancing server."""


@message(Pool, role=READ_ONLY, since="george")
def retrieve_wlb_recommendations() -> Map[Ref[VM], SetOf[str]]:
    """Fetch the migrations that workload balancing advises, by VM."""


@message(Pool, role=POOL_ADMIN, since="george")
def send_test_post(host: str, port: int, body: str) -> str:
    """Post a body over HTTPS to a server and return its reply, to test the way there; internal."""


@message(Pool, since="published george, deprecated 1.290.0")
def certificate_install(name: str, cert: str) -> None:
    """Install a CA certificate for the whole pool.

    Replaced by pool.install_ca_certificate and later pool.install_trusted_certificate.
    """


@message(Pool, since="published george, deprecated 1.290.0")
def certificate_uninstall(name: str) -> None:
    """Remove a CA certificate from the whole pool.

    Replaced by pool.uninstall_ca_certificate and later pool.uninstall_trusted_certificate.
    """


@message(Pool, since="published george, deprecated 1.290.0")
def certificate_list() -> SetOf[str]:
    """List the names of the installed CA certificates.

    Replaced by the Certificate class.
    """


@message(Pool, since="published 1.290.0, deprecated 26.13.0", client_certificate=True)
def install_ca_certificate(name: str, cert: str) -> None:
    """Install a CA certificate on every host under the given file name.

    Replaced by pool.install_trusted_certificate.
    """


@message(
    Pool,
    since="published 1.290.0, changed 24.35.0, deprecated 26.13.0",
    client_certificate=True,
    param_since={"force": "24.35.0"},
)
def uninstall_ca_certificate(name: str, force: bool = False) -> None:
    """Remove a CA certificate from every host.

    With force, a missing file is no error. Replaced by pool.uninstall_trusted_certificate.
    """


@message(Pool, since="george")
def crl_install(name: str, cert: str) -> None:
    """Install a certificate revocation list on every host under the given file name."""


@message(Pool, since="george")
def crl_uninstall(name: str) -> None:
    """Remove a certificate revocation list from every host."""


@message(Pool, since="george")
def crl_list() -> SetOf[str]:
    """List the names of the installed certificate revocation lists."""


@message(Pool, since="george")
def certificate_sync() -> None:
    """Copy the coordinator's CA certificates and revocation lists to all members."""


@message(Pool, role=POOL_ADMIN, since="1.290.0", asynchronous=False)
def enable_tls_verification() -> None:
    """Make all hosts check peer certificates on their outgoing TLS connections.

    There is no call to turn it off for the pool again.
    """


@message(Pool, since="midnight-ride")
def enable_redo_log(sr: Ref[SR]) -> None:
    """Record database changes in a redo log on the given SR, so that a crash loses none.

    Not needed while HA is on, which keeps its own log.
    """


@message(Pool, since="midnight-ride")
def disable_redo_log() -> None:
    """Stop writing the redo log, unless HA needs it, and delete its VDI."""


@message(Pool, role=POOL_ADMIN, since="midnight-ride", pool_internal=True, hidden=True)
def audit_log_append(line: str) -> None:
    """Add one line to the RBAC audit log; internal."""


@message(Pool, since="published midnight-ride, extended cowley, deprecated falcon")
def set_vswitch_controller(address: str) -> None:
    """Set the address of the external vSwitch controller; empty clears it.

    Replaced by the SDN_controller class.
    """


@message(Pool, since="cowley", asynchronous=False)
def test_archive_target(self: Ref[Pool], config: Map[str, str]) -> str:
    """Tried out the archive location of a VM protection policy and returned the result."""


@message(Pool, since="cowley")
def enable_local_storage_caching(self: Ref[Pool]) -> None:
    """Turn on caching of VDIs on local storage on every host of the pool.

    Every host needs a local SR that can hold the cache.
    """


@message(Pool, since="cowley")
def disable_local_storage_caching(self: Ref[Pool]) -> None:
    """Turn off caching of VDIs on local storage on every host of the pool."""


@message(Pool, role=READ_ONLY, since="clearwater")
def get_license_state(self: Ref[Pool]) -> Map[str, str]:
    """Return the edition of the pool and when its earliest license expires."""


@message(Pool, since="clearwater")
def apply_edition(self: Ref[Pool], edition: str) -> None:
    """Switch every host to the given edition.

    If one host cannot get its license, the pool falls back to the previous edition.
    """


@message(Pool, since="published dundee, deprecated dundee, removed stockholm")
def enable_ssl_legacy(self: Ref[Pool]) -> None:
    """Allowed old SSL versions and ciphers on every host; no longer offered."""


@message(Pool, since="published dundee, deprecated stockholm")
def disable_ssl_legacy(self: Ref[Pool]) -> None:
    """Restricted every host to current TLS; hosts now always behave so, and the call has no effect."""


@message(Pool, since="inverness")
def set_igmp_snooping_enabled(self: Ref[Pool], value: bool) -> None:
    """Turn multicast snooping on or off for all bridges of the pool.

    Works with the Open vSwitch backend only.
    """


@message(Pool, role=POOL_ADMIN, since="dundee")
def has_extension(self: Ref[Pool], name: str) -> bool:
    """Tell whether every host of the pool offers the named extension method."""


@message(Pool, role=POOL_ADMIN, since="dundee")
def add_to_guest_agent_config(self: Ref[Pool], key: str, value: str) -> None:
    """Add a setting for the guest agents and publish it to all running VMs."""


@message(Pool, role=POOL_ADMIN, since="dundee")
def remove_from_guest_agent_config(self: Ref[Pool], key: str) -> None:
    """Drop a setting for the guest agents, also from all running VMs."""


@message(
    Pool,
    role=POOL_ADMIN,
    errors=(INTERNAL_ERROR, HOST_IS_SLAVE, CANNOT_CONTACT_HOST, HA_IS_ENABLED, NOT_SUPPORTED_DURING_UPGRADE),
    since="stockholm_psr",
)
def rotate_secret() -> None:
    """Replace the secret by which the hosts of the pool trust one another.

    All hosts must be alive and HA must be off.
    """


@message(Pool, since="1.301.0", client_certificate=True)
def set_repositories(self: Ref[Pool], value: SetOf[Ref[Repository]]) -> None:
    """Choose which update repositories are enabled.

    Repositories that drop out lose their local copy of updates.
    """


@message(Pool, since="1.301.0", client_certificate=True)
def add_repository(self: Ref[Pool], value: Ref[Repository]) -> None:
    """Enable one more update repository for the pool."""


@message(Pool, since="1.301.0", client_certificate=True)
def remove_repository(self: Ref[Pool], value: Ref[Repository]) -> None:
    """Disable an update repository for the pool without forgetting it.

    Its local copy of updates is discarded.
    """


@message(
    Pool,
    since="published 1.329.0, changed 25.7.0",
    client_certificate=True,
    param_since={"username": "25.7.0", "password": "25.7.0"},
)
def sync_updates(
    self: Ref[Pool], force: bool, token: str = "", token_id: str = "", username: str = "", password: str = ""
) -> str:
    """Download the contents of the enabled repositories and return their hash.

    Force discards the local mirror first; token or account serve to log in at the remote side.
    """


@message(Pool, since="1.304.0", client_certificate=True)
def check_update_readiness(self: Ref[Pool], requires_reboot: bool) -> SetOf[SetOf[str]]:
    """List what stands in the way of applying updates, as error codes with parameters.

    Requires_reboot also checks that each host could be evacuated.
    """


@message(Pool, since="1.318.0", client_certificate=True)
def enable_client_certificate_auth(self: Ref[Pool], name: str) -> None:
    """Accept clients that present a trusted certificate bearing the given name."""


@message(Pool, since="1.318.0", client_certificate=True)
def disable_client_certificate_auth(self: Ref[Pool]) -> None:
    """Stop accepting client certificates as a means of authentication."""


@message(Pool, since="21.3.0", client_certificate=True)
def configure_repository_proxy(self: Ref[Pool], url: str, username: str, password: str) -> None:
    """Set the proxy through which update repositories are reached.

    Give username and password both or neither.
    """


@message(Pool, since="21.4.0", client_certificate=True)
def disable_repository_proxy(self: Ref[Pool]) -> None:
    """Reach update repositories directly again and forget the proxy's credentials."""


@message(Pool, role=POOL_ADMIN, since="published 22.16.0, deprecated 24.0.0")
def set_uefi_certificates(self: Ref[Pool], value: str) -> None:
    """Replace the Secure Boot certificates of the pool.

    Replaced by pool.set_custom_uefi_certificates.
    """


@message(Pool, role=POOL_ADMIN, since="prototyped 24.0.0")
def set_custom_uefi_certificates(self: Ref[Pool], value: str) -> None:
    """Use own Secure Boot certificates for UEFI VMs; an empty value returns to the default set.

    Refused unless the hosts are configured to allow custom certificates.
    """


@message(Pool, since="prototyped 22.27.0")
def set_https_only(self: Ref[Pool], value: bool) -> None:
    """Close or open the plain HTTP port 80 on every host."""


@message(Pool, role=POOL_ADMIN, since="prototyped 23.9.0")
def set_telemetry_next_collection(self: Ref[Pool], value: datetime) -> None:
    """Set the earliest moment of the next telemetry collection.

    A date too far in the future is refused.
    """


@message(Pool, role=POOL_ADMIN, since="prototyped 23.9.0")
def reset_telemetry_uuid(self: Ref[Pool]) -> None:
    """Give the pool a new anonymous telemetry identifier."""


@message(Pool, since="prototyped 23.18.0")
def configure_update_sync(self: Ref[Pool], update_sync_frequency: UpdateSyncFrequency, update_sync_day: int) -> None:
    """Set how often and on which weekday updates are synchronized.

    The day runs from 0 (Sunday) to 6 and is ignored for a daily schedule.
    """


@message(Pool, since="prototyped 23.18.0")
def set_update_sync_enabled(self: Ref[Pool], value: bool) -> None:
    """Turn the scheduled synchronization of updates on or off.

    Needs at least one enabled repository.
    """


@message(Pool, since="prototyped 23.27.0", asynchronous=False)
def set_local_auth_max_threads(self: Ref[Pool], value: int) -> None:
    """Set how many local password checks may run in parallel."""


@message(Pool, since="prototyped 23.27.0", asynchronous=False)
def set_ext_auth_max_threads(self: Ref[Pool], value: int) -> None:
    """Set how many external directory authentications may run in parallel."""


@message(Pool, since="prototyped 24.31.0")
def set_ext_auth_cache_enabled(self: Ref[Pool], value: bool) -> None:
    """Turn the cache of external authentications on or off."""


@message(Pool, since="prototyped 24.31.0")
def set_ext_auth_cache_size(self: Ref[Pool], value: int) -> None:
    """Set how many users the external authentication cache can hold."""


@message(Pool, since="prototyped 24.31.0")
def set_ext_auth_cache_expiry(self: Ref[Pool], value: int) -> None:
    """Set how many seconds a cached external authentication stays valid."""


@message(Pool, since="prototyped 24.17.0", asynchronous=False)
def get_guest_secureboot_readiness(self: Ref[Pool]) -> PoolGuestSecurebootReadiness:
    """Tell whether the certificates that Secure Boot guests need are present in the pool."""


@message(Pool, role=POOL_ADMIN, since="prototyped 25.13.0")
def enable_ssh(self: Ref[Pool]) -> None:
    """Start the SSH service on every host."""


@message(Pool, role=POOL_ADMIN, since="prototyped 25.13.0")
def disable_ssh(self: Ref[Pool]) -> None:
    """Stop the SSH service on every host."""


@message(Pool, role=POOL_ADMIN, since="prototyped 25.21.0")
def set_ssh_enabled_timeout(self: Ref[Pool], value: int) -> None:
    """Set after how many seconds SSH turns itself off again on every host.

    Zero keeps it on until it is disabled.
    """


@message(Pool, role=POOL_ADMIN, since="prototyped 25.21.0")
def set_console_idle_timeout(self: Ref[Pool], value: int) -> None:
    """Set after how many idle seconds consoles of the hosts are logged out.

    Zero turns the timeout off.
    """


@message(Pool, role=POOL_ADMIN, since="prototyped 25.27.0")
def set_ssh_auto_mode(self: Ref[Pool], value: bool) -> None:
    """Choose whether hosts open SSH by themselves only while the toolstack is down."""


@message(Pool, since="prototyped 26.13.0", client_certificate=True)
def install_trusted_certificate(self: Ref[Pool], ca: bool, cert: str, purpose: SetOf[CertificatePurpose]) -> None:
    """Trust a certificate on every host for the given purposes.

    CA says whether it is an authority's or a peer's own certificate; no purposes means any.
    """


@message(Pool, since="prototyped 26.13.0", client_certificate=True)
def uninstall_trusted_certificate(self: Ref[Pool], certificate: Ref[Certificate]) -> None:
    """Stop trusting a certificate on every host and delete it."""


@message(Pool, since="prototyped 26.16.0", client_certificate=True)
def sync_trusted_certificates_from(
    self: Ref[Pool], remote_pool: str, remote_session: Ref[Session], remote_certificate: str, ca: bool
) -> SetOf[Ref[Certificate]]:
    """Copy the trusted certificates of another pool into this one and return them.

    The given certificate verifies the connection to the remote pool.
    """


@message(Pool, since="prototyped 26.13.0", hidden=True, client_certificate=True)
def exchange_trusted_certificates_on_join(
    self: Ref[Pool], ca: bool, import_: Map[str, SetOf[str]], export: SetOf[Ref[Certificate]]
) -> Map[str, SetOf[str]]:
    """Trade trusted certificates between the pool and a joining host; internal."""


@message(Pool, since="prototyped 26.13.0", hidden=True, client_certificate=True)
def exchange_crls_on_join(self: Ref[Pool], import_: Map[str, str], export: SetOf[str]) -> Map[str, str]:
    """Trade certificate revocation lists between the pool and a joining host; internal."""
