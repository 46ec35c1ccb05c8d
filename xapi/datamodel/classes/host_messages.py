"""The messages of XenAPI's class host."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from xapi.datamodel.classes.host import (
    Host,
    HostDisplay,
    HostNtpMode,
    HostNumaAffinityPolicy,
    HostSchedGran,
    LatestSyncedUpdatesAppliedState,
)
from xapi.datamodel.classes.vm import UpdateGuidances
from xapi.datamodel.errors import (
    HA_SHOULD_BE_FENCED,
    HOST_BROKEN,
    HOST_HAS_NO_MANAGEMENT_IP,
    HOST_MASTER_CANNOT_TALK_BACK,
    HOST_NAME_INVALID,
    HOST_STILL_BOOTING,
    HOST_UNKNOWN_TO_MASTER,
    HOST_XAPI_VERSION_HIGHER_THAN_COORDINATOR,
    LICENCE_RESTRICTION,
    LICENSE_DOES_NOT_SUPPORT_POOLING,
    LICENSE_PROCESSING_ERROR,
)
from xapi.datamodel.model import EPOCH, NOTHING, NULL, Map, Ref, SetOf, message
from xapi.datamodel.roles import LOCAL_ROOT, POOL_ADMIN, READ_ONLY, VM_OPERATOR, VM_POWER_ADMIN

if TYPE_CHECKING:
    from xapi.datamodel.classes.blob import Blob
    from xapi.datamodel.classes.data_source import DataSource
    from xapi.datamodel.classes.network import Network
    from xapi.datamodel.classes.pci import PCI
    from xapi.datamodel.classes.pif import PIF
    from xapi.datamodel.classes.sr import SR
    from xapi.datamodel.classes.vdi import VDI
    from xapi.datamodel.classes.vm import VM

LICENSE_SERVER: Map[str, str] = MappingProxyType({"address": "localhost", "port": "27000"})


@message(Host, since="published rio, changed 25.31.0", client_certificate=True, param_since={"auto_enable": "25.31.0"})
def disable(host: Ref[Host], auto_enable: bool = True) -> None:
    """Keep new VMs from being started on or moved to the host.

    VMs already running stay where they are. With auto_enable false the host remains disabled over restarts until
    host.enable is called.
    """


@message(Host, client_certificate=True)
def enable(host: Ref[Host]) -> None:
    """Let VMs be started on and moved to the host again."""


@message(Host)
def shutdown(host: Ref[Host]) -> None:
    """Power off the host.

    Refused unless the host is disabled and no VM but the control domain runs on it.
    """


@message(Host)
def reboot(host: Ref[Host]) -> None:
    """Restart the host.

    Refused unless the host is disabled and no VM but the control domain runs on it.
    """


@message(Host, role=LOCAL_ROOT, since="kolkata", hidden=True)
def prepare_for_poweroff(host: Ref[Host]) -> None:
    """Get the toolstack of the host ready for an orderly power-off or reboot."""


@message(Host)
def dmesg(host: Ref[Host]) -> str:
    """Return the message buffer of the hypervisor."""


@message(Host)
def dmesg_clear(host: Ref[Host]) -> str:
    """Return the message buffer of the hypervisor and empty it."""


@message(Host, role=READ_ONLY)
def get_log(host: Ref[Host]) -> str:
    """Return the text of the host's log file."""


@message(Host, role=POOL_ADMIN)
def send_debug_keys(host: Ref[Host], keys: str) -> None:
    """Send debug keys to the hypervisor.

    Each character of keys triggers one dump or action; the output goes to the hypervisor's message buffer.
    """


@message(Host)
def bugreport_upload(host: Ref[Host], url: str, options: Map[str, str]) -> None:
    """Collect a bug report on the host and send it to the given URL.

    An empty URL stands for the vendor's default address; options can carry a proxy and a file name.
    """


@message(Host, role=READ_ONLY, asynchronous=False)
def list_methods() -> SetOf[str]:
    """Return the names of all API calls the server supports."""


@message(Host, errors=(LICENSE_PROCESSING_ERROR,), since="published rio, deprecated clearwater, removed clearwater")
def license_apply(host: Ref[Host], contents: str) -> None:
    """Installed a licence file; removed, license_add and apply_edition take its place."""


@message(Host, errors=(LICENSE_PROCESSING_ERROR,), since="indigo")
def license_add(host: Ref[Host], contents: str) -> None:
    """Install the licence file whose content is given, encoded in base64."""


@message(Host, since="indigo")
def license_remove(host: Ref[Host]) -> None:
    """Drop the installed licence file and fall back to the unlicensed edition."""


@message(
    Host,
    since="published rio, changed 24.40.0, changed 25.21.0, changed 25.38.0-next",
    hidden=True,
    param_since={
        "external_auth_type": "george",
        "external_auth_service_name": "george",
        "external_auth_configuration": "george",
        "license_params": "midnight-ride",
        "edition": "midnight-ride",
        "license_server": "midnight-ride",
        "local_cache_sr": "cowley",
        "chipset_info": "boston",
        "ssl_legacy": "dundee",
        "last_software_update": "dundee",
        "last_update_hash": "24.40.0",
        "ssh_enabled": "25.21.0",
        "ssh_enabled_timeout": "25.21.0",
        "ssh_expiry": "25.21.0",
        "console_idle_timeout": "25.21.0",
        "ssh_auto_mode": "25.27.0",
        "secure_boot": "25.32.0",
        "software_version": "25.33.0",
        "https_only": "25.39.0",
        "max_cstate": "26.0.0",
        "ntp_mode": "26.0.0",
        "ntp_custom_servers": "26.0.0",
        "timezone": "26.0.0",
        "numa_affinity_policy": "26.0.0",
        "latest_synced_updates_applied": "26.0.0",
        "pending_guidances_full": "26.0.0",
        "pending_guidances_recommended": "26.0.0",
    },
)
def create(
    uuid: str,
    name_label: str,
    name_description: str,
    hostname: str,
    address: str,
    external_auth_type: str = "",
    external_auth_service_name: str = "",
    external_auth_configuration: Map[str, str] = NOTHING,
    license_params: Map[str, str] = NOTHING,
    edition: str = "",
    license_server: Map[str, str] = LICENSE_SERVER,
    local_cache_sr: Ref[SR] = NULL,
    chipset_info: Map[str, str] = NOTHING,
    ssl_legacy: bool = True,
    last_software_update: datetime = EPOCH,
    last_update_hash: str = "",
    ssh_enabled: bool = True,
    ssh_enabled_timeout: int = 0,
    ssh_expiry: datetime = EPOCH,
    console_idle_timeout: int = 0,
    ssh_auto_mode: bool = False,
    secure_boot: bool = False,
    software_version: Map[str, str] = NOTHING,
    https_only: bool = False,
    max_cstate: str = "",
    ntp_mode: HostNtpMode = HostNtpMode.FACTORY,
    ntp_custom_servers: SetOf[str] = (),
    timezone: str = "UTC",
    numa_affinity_policy: HostNumaAffinityPolicy = HostNumaAffinityPolicy.DEFAULT_POLICY,
    latest_synced_updates_applied: LatestSyncedUpdatesAppliedState = LatestSyncedUpdatesAppliedState.UNKNOWN,
    pending_guidances_full: SetOf[UpdateGuidances] = (),
    pending_guidances_recommended: SetOf[UpdateGuidances] = (),
) -> Ref[Host]:
    """Enter a new host into the database, as is done when a host joins the pool."""


@message(Host)
def destroy(self: Ref[Host]) -> None:
    """Forget a host that is gone for good, with its local storage and network records.

    Refused for the pool coordinator and for a host that is alive.
    """


@message(Host, since="orlando")
def power_on(host: Ref[Host]) -> None:
    """Switch on a powered-off host by the method in its power_on_mode."""


@message(Host, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def set_license_params(self: Ref[Host], value: Map[str, str]) -> None:
    """Replace the stored licence parameters of the host."""


@message(Host, since="orlando", asynchronous=False, emergency=True, param_since={"soft": "ely"})
def emergency_ha_disable(soft: bool = False) -> None:
    """Turn off HA on the local host alone, without asking the rest of the pool.

    Works without the coordinator. With soft true HA is off only until the next boot of the host. Careless use can
    lead to a VM running twice.
    """


@message(Host, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def ha_disarm_fencing(host: Ref[Host]) -> None:
    """Stop the HA daemon from resetting the host when heartbeats are lost."""


@message(Host, role=LOCAL_ROOT, since="miami", pool_internal=True, hidden=True)
def preconfigure_ha(host: Ref[Host], statefiles: SetOf[Ref[VDI]], metadata_vdi: Ref[VDI], generation: str) -> None:
    """Attach statefiles and metadata VDI and store the HA configuration ahead of enabling HA."""


@message(Host, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def ha_join_liveset(host: Ref[Host]) -> None:
    """Start the HA daemon so that the host becomes a member of the live set."""


@message(Host, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def ha_disable_failover_decisions(host: Ref[Host]) -> None:
    """Stop the host from starting or restarting protected VMs by its own decision."""


@message(Host, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def ha_wait_for_shutdown_via_statefile(host: Ref[Host]) -> None:
    """Wait until the statefile says that HA has been disarmed for the pool."""


@message(Host, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def ha_stop_daemon(host: Ref[Host]) -> None:
    """Stop the HA daemon of the host."""


@message(Host, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def ha_release_resources(host: Ref[Host]) -> None:
    """Detach the statefiles and other things the host held for HA."""


@message(Host, role=POOL_ADMIN, since="orlando", asynchronous=False, hidden=True, emergency=True)
def ha_xapi_healthcheck() -> bool:
    """Return true if the local toolstack answers and looks sound.

    Asked regularly by the HA daemon, which may restart or fence the host otherwise.
    """


@message(
    Host,
    role=LOCAL_ROOT,
    errors=(
        HOST_STILL_BOOTING,
        HOST_HAS_NO_MANAGEMENT_IP,
        HOST_MASTER_CANNOT_TALK_BACK,
        HOST_UNKNOWN_TO_MASTER,
        HOST_BROKEN,
        LICENCE_RESTRICTION,
        LICENSE_DOES_NOT_SUPPORT_POOLING,
        HA_SHOULD_BE_FENCED,
        HOST_XAPI_VERSION_HIGHER_THAN_COORDINATOR,
    ),
    since="miami",
    asynchronous=False,
    pool_internal=True,
    hidden=True,
    emergency=True,
)
def local_assert_healthy() -> None:
    """Fail with a telling error if the local host is in emergency mode or otherwise unfit."""


@message(Host, role=LOCAL_ROOT, asynchronous=False, pool_internal=True, hidden=True)
def request_backup(host: Ref[Host], generation: int, force: bool) -> None:
    """Have the host fetch a copy of the pool database.

    The generation says how recent the copy must be; force fetches it even if the host has it already.
    """


@message(Host, role=LOCAL_ROOT, asynchronous=False, pool_internal=True, hidden=True)
def request_config_file_sync(host: Ref[Host], hash: str) -> None:
    """Have the host fetch configuration files from the coordinator if their hash differs."""


@message(Host, role=LOCAL_ROOT, since="miami", asynchronous=False, pool_internal=True, hidden=True, emergency=True)
def propose_new_master(address: str, manual: bool) -> None:
    """Ask the host to agree to a new pool coordinator; first phase of a two-phase commit."""


@message(Host, role=LOCAL_ROOT, since="miami", asynchronous=False, pool_internal=True, hidden=True, emergency=True)
def commit_new_master(address: str) -> None:
    """Make the proposed address the pool coordinator; second phase of the commit."""


@message(Host, role=LOCAL_ROOT, since="miami", asynchronous=False, pool_internal=True, hidden=True, emergency=True)
def abort_new_master(address: str) -> None:
    """Withdraw a proposed change of pool coordinator."""


@message(Host, role=READ_ONLY, since="orlando", asynchronous=False)
def get_data_sources(host: Ref[Host]) -> SetOf[DataSource]:
    """List the metrics of the host that can be recorded or queried."""


@message(Host, since="orlando", asynchronous=False)
def record_data_source(host: Ref[Host], data_source: str) -> None:
    """Start to archive the named metric."""


@message(Host, role=READ_ONLY, since="orlando", asynchronous=False)
def query_data_source(host: Ref[Host], data_source: str) -> float:
    """Return the latest value of the named metric."""


@message(Host, since="orlando", asynchronous=False)
def forget_data_source_archives(host: Ref[Host], data_source: str) -> None:
    """Delete the recorded history of the named metric."""


@message(Host, since="miami")
def assert_can_evacuate(host: Ref[Host]) -> None:
    """Fail if some VM on the host could not be moved elsewhere in the pool."""


@message(Host, role=READ_ONLY, since="orlando")
def get_vms_which_prevent_evacuation(self: Ref[Host]) -> Map[Ref[VM], SetOf[str]]:
    """Return the VMs that cannot leave the host, each with the error that says why."""


@message(Host, role=READ_ONLY, since="published midnight-ride, deprecated tampa")
def get_uncooperative_resident_VMs(self: Ref[Host]) -> SetOf[Ref[VM]]:
    """Return the VMs on the host that ignore requests to change their memory size."""


@message(Host, role=LOCAL_ROOT, since="published midnight-ride, deprecated tampa", pool_internal=True, hidden=True)
def get_uncooperative_domains(self: Ref[Host]) -> SetOf[str]:
    """Return the UUIDs of domains that ignore requests to change their memory size."""


@message(
    Host,
    since="published miami, extended 1.297.0, extended 23.27.0",
    client_certificate=True,
    param_since={"network": "1.297.0", "evacuate_batch_size": "23.27.0"},
)
def evacuate(host: Ref[Host], network: Ref[Network] = NULL, evacuate_batch_size: int = 0) -> None:
    """Live-migrate all running VMs to other hosts of the pool.

    The network carries the migrations, by default the management network; evacuate_batch_size limits how many move
    at a time, 0 meaning the configured value.
    """


@message(Host, role=LOCAL_ROOT, since="miami", asynchronous=False, pool_internal=True, hidden=True, emergency=True)
def signal_networking_change() -> None:
    """Tell the pool that the network configuration of the calling host has changed."""


@message(Host, role=LOCAL_ROOT, since="miami", pool_internal=True, hidden=True)
def notify(ty: str, params: str) -> None:
    """Pass an event and its parameters to the local host; used among pool members only."""


@message(Host, since="miami")
def syslog_reconfigure(host: Ref[Host]) -> None:
    """Bring the syslog daemon in line with the logging field."""


@message(Host, since="miami")
def management_reconfigure(pif: Ref[PIF]) -> None:
    """Move the management interface of the host to the given PIF.

    Refused while HA is on or if the PIF has no IP configuration; open connections to the host may break.
    """


@message(Host, since="miami", asynchronous=False, emergency=True)
def local_management_reconfigure(interface: str) -> None:
    """Move the local host's management to the named device, even in emergency mode."""


@message(Host, since="miami", asynchronous=False, emergency=True)
def management_disable() -> None:
    """Take down the management interface of the local host.

    Afterwards the host is reachable from its own console only.
    """


@message(Host, since="tampa")
def get_management_interface(host: Ref[Host]) -> Ref[PIF]:
    """Return the PIF that carries the host's management traffic."""


@message(Host, role=READ_ONLY, since="miami", asynchronous=False, emergency=True)
def get_system_status_capabilities(host: Ref[Host]) -> str:
    """Return an XML text naming the parts a system status report can contain."""


@message(Host, role=READ_ONLY, since="miami", asynchronous=False, hidden=True, param_since={"counts": "25.33.0"})
def get_diagnostic_timing_stats(host: Ref[Host], counts: bool = False) -> Map[str, str]:
    """Return timing statistics of the toolstack's internal functions.

    With counts true the number of calls is given too.
    """


@message(Host)
def restart_agent(host: Ref[Host]) -> None:
    """Restart the toolstack of the host after a short delay.

    Running VMs are not affected; tasks in progress on the host are lost.
    """


@message(Host, since="orlando", asynchronous=False, emergency=True)
def shutdown_agent() -> None:
    """Stop the toolstack of the local host after a short delay.

    Running VMs go on, but the host cannot be managed and operations under way are aborted until someone starts it
    again.
    """


@message(Host, errors=(HOST_NAME_INVALID,), since="miami", asynchronous=False)
def set_hostname_live(host: Ref[Host], hostname: str) -> None:
    """Change the network name of the running host.

    Refused if the name is not a valid host name.
    """


@message(Host, role=READ_ONLY, since="miami", asynchronous=False, hidden=True, emergency=True)
def is_in_emergency_mode() -> bool:
    """Return true if the local host runs cut off from its coordinator."""


@message(Host, role=READ_ONLY, since="orlando")
def compute_free_memory(host: Ref[Host]) -> int:
    """Return the bytes of memory available for starting more VMs."""


@message(Host, role=READ_ONLY, since="midnight-ride")
def compute_memory_overhead(host: Ref[Host]) -> int:
    """Compute afresh the bytes the virtualisation layer takes for itself."""


@message(Host, role=LOCAL_ROOT, since="orlando", asynchronous=False, pool_internal=True, hidden=True)
def tickle_heartbeat(host: Ref[Host], stuff: Map[str, str]) -> Map[str, str]:
    """Report that the given host is alive; pool members call it on the coordinator.

    The map carries liveness data such as the member's clock; the reply may carry data back.
    """


@message(Host, role=POOL_ADMIN, since="orlando", asynchronous=False)
def sync_data(host: Ref[Host]) -> None:
    """Copy what is kept outside the database, such as messages, from the coordinator to the host."""


@message(Host, role=POOL_ADMIN, since="orlando", asynchronous=False)
def backup_rrds(host: Ref[Host], delay: float) -> None:
    """Have the host send its performance archives to the coordinator after delay seconds."""


@message(Host, since="orlando", param_since={"public": "tampa"})
def create_new_blob(host: Ref[Host], name: str, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Create an empty blob attached to the host under the given name.

    With public true the blob can be read without a login.
    """


@message(Host, role=POOL_ADMIN, since="orlando")
def call_plugin(host: Ref[Host], plugin: str, fn: str, args: Map[str, str]) -> str:
    """Run a function of a plugin script in the host's control domain and return its output.

    Refused if no such plugin is installed; a failing plugin raises its own error.
    """


@message(Host, role=POOL_ADMIN, since="ely")
def has_extension(host: Ref[Host], name: str) -> bool:
    """Return true if an extension of that name is installed on the host."""


@message(Host, role=POOL_ADMIN, since="ely", asynchronous=False)
def call_extension(host: Ref[Host], call: str) -> str:
    """Run the named API extension on the host and return its result."""


@message(Host, role=READ_ONLY, since="orlando", asynchronous=False)
def get_servertime(host: Ref[Host]) -> datetime:
    """Return the host's clock reading in UTC."""


@message(Host, role=READ_ONLY, since="cowley", asynchronous=False)
def get_server_localtime(host: Ref[Host]) -> datetime:
    """Return the host's clock reading in its own time zone."""


@message(Host, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def enable_binary_storage(host: Ref[Host]) -> None:
    """Let the host keep performance archives, messages and blobs on its disk."""


@message(Host, role=LOCAL_ROOT, since="orlando", pool_internal=True, hidden=True)
def disable_binary_storage(host: Ref[Host]) -> None:
    """Delete performance archives, messages and blobs from the host and keep no new ones."""


@message(Host, role=POOL_ADMIN, since="george", asynchronous=False)
def enable_external_auth(host: Ref[Host], config: Map[str, str], service_name: str, auth_type: str) -> None:
    """Join the host to a directory service so that its users can log in.

    For auth_type AD the config needs the user and password of an account that may join machines to the domain.
    """


@message(Host, role=POOL_ADMIN, since="george", asynchronous=False, param_since={"force": "26.2.0-next"})
def disable_external_auth(host: Ref[Host], config: Map[str, str] = NOTHING, force: bool = False) -> None:
    """Leave the directory service; only local accounts can log in afterwards.

    The config may hold credentials to remove the machine account; force ignores a failure to do so.
    """


@message(Host, role=POOL_ADMIN, since="26.16.0", asynchronous=False)
def external_auth_set_ldaps(host: Ref[Host], ldaps: bool, force: bool = False) -> None:
    """Turn encrypted LDAP (LDAPS) to the domain controllers on or off.

    Refused if the host has not joined a domain or no trusted certificate fits; force sets the value even if it is
    in place already.
    """


@message(Host, role=READ_ONLY, since="george")
def retrieve_wlb_evacuate_recommendations(self: Ref[Host]) -> Map[Ref[VM], SetOf[str]]:
    """Ask the workload balancing server where each VM should go if the host is emptied.

    Each VM gets a target host and rating, or the reason why it cannot move.
    """


@message(Host, role=LOCAL_ROOT, since="1.290.0", pool_internal=True, hidden=True)
def install_ca_certificate(host: Ref[Host], name: str, cert: str) -> None:
    """Install a CA certificate in PEM form on this host.

    Refused if the name is taken or the text is no valid certificate.
    """


@message(
    Host,
    role=LOCAL_ROOT,
    since="published 1.290.0, changed 24.35.0",
    pool_internal=True,
    hidden=True,
    param_since={"force": "24.35.0"},
)
def uninstall_ca_certificate(host: Ref[Host], name: str, force: bool = False) -> None:
    """Remove a CA certificate from this host.

    With force true the database record goes even if the file is missing.
    """


@message(Host, role=LOCAL_ROOT, since="published george, deprecated 1.290.0", pool_internal=True, hidden=True)
def certificate_list(host: Ref[Host]) -> SetOf[str]:
    """Return the names of the CA certificates installed on the host."""


@message(Host, role=LOCAL_ROOT, since="george", pool_internal=True, hidden=True)
def crl_install(host: Ref[Host], name: str, crl: str) -> None:
    """Install a certificate revocation list on the host."""


@message(Host, role=LOCAL_ROOT, since="george", pool_internal=True, hidden=True)
def crl_uninstall(host: Ref[Host], name: str) -> None:
    """Remove a certificate revocation list from the host."""


@message(Host, role=LOCAL_ROOT, since="george", pool_internal=True, hidden=True)
def crl_list(host: Ref[Host]) -> SetOf[str]:
    """Return the names of the certificate revocation lists installed on the host."""


@message(Host, role=LOCAL_ROOT, since="george", pool_internal=True, hidden=True)
def certificate_sync(host: Ref[Host]) -> None:
    """Rebuild the host's store of trusted certificates and revocation lists from its files."""


@message(Host, role=READ_ONLY, since="published george, changed inverness")
def get_server_certificate(host: Ref[Host]) -> str:
    """Return the host's TLS server certificate in PEM form."""


@message(Host, role=POOL_ADMIN, since="1.307.0")
def refresh_server_certificate(host: Ref[Host]) -> None:
    """Replace the host's internal certificate, used among pool members, by a new one."""


@message(Host, role=POOL_ADMIN, since="stockholm")
def install_server_certificate(
    host: Ref[Host], certificate: str, private_key: str, certificate_chain: str = ""
) -> None:
    """Install the TLS certificate, with private key and chain, that the host shows to clients.

    All are PEM texts. Refused if key and certificate do not match, are too weak or the certificate is not valid at
    present.
    """


@message(Host, role=LOCAL_ROOT, since="stockholm", asynchronous=False, emergency=True)
def emergency_reset_server_certificate() -> None:
    """Replace the local host's TLS certificate by a new self-signed one, even in emergency mode."""


@message(Host, role=POOL_ADMIN, since="1.290.0")
def reset_server_certificate(host: Ref[Host]) -> None:
    """Replace the host's TLS server certificate by a new self-signed one."""


@message(Host, role=LOCAL_ROOT, since="midnight-ride", pool_internal=True, hidden=True, secret_params=("pool_secret",))
def update_pool_secret(host: Ref[Host], pool_secret: str) -> None:
    """Replace the secret with which the host proves its membership to the pool."""


@message(Host, role=LOCAL_ROOT, since="midnight-ride", pool_internal=True, hidden=True)
def update_master(host: Ref[Host], master_address: str) -> None:
    """Tell the host the address of its pool coordinator."""


@message(Host, role=LOCAL_ROOT, since="midnight-ride", pool_internal=True, hidden=True)
def attach_static_vdis(host: Ref[Host], vdi_reason_map: Map[Ref[VDI], str]) -> None:
    """Have the given VDIs attached to the control domain now and at each boot.

    The map gives the reason for each, kept as a note.
    """


@message(Host, role=LOCAL_ROOT, since="midnight-ride", pool_internal=True, hidden=True)
def detach_static_vdis(host: Ref[Host], vdis: SetOf[Ref[VDI]]) -> None:
    """Detach VDIs that were attached statically and no longer attach them at boot."""


@message(Host, role=LOCAL_ROOT, since="midnight-ride", pool_internal=True, hidden=True)
def set_localdb_key(host: Ref[Host], key: str, value: str) -> None:
    """Store a key and value in the host's own small database outside the pool's."""


@message(Host, since="midnight-ride", asynchronous=False, param_since={"force": "clearwater"})
def apply_edition(host: Ref[Host], edition: str, force: bool = False) -> None:
    """Switch the host to another edition, or renew the current one after its licence expired.

    Refused for an unknown edition or if the licence cannot be checked out; force records the edition even then.
    """


@message(Host, since="published midnight-ride, deprecated ely")
def refresh_pack_info(host: Ref[Host]) -> None:
    """Read the list of installed supplemental packs anew; pool_update objects replace it."""


@message(Host, since="published cowley, changed stockholm, changed 24.19.0")
def set_power_on_mode(self: Ref[Host], power_on_mode: str, power_on_config: Map[str, str]) -> None:
    """Choose how the host can be switched on remotely, and the settings that takes.

    The mode is empty for none, wake-on-lan, or the name of a remote card or script.
    """


@message(Host, since="published midnight-ride, deprecated dundee, removed dundee", asynchronous=False)
def set_cpu_features(host: Ref[Host], features: str) -> None:
    """Masked CPU features by a hexadecimal string; removed, pools level their CPUs themselves now."""


@message(Host, since="published midnight-ride, deprecated dundee, removed dundee", asynchronous=False)
def reset_cpu_features(host: Ref[Host]) -> None:
    """Took back the masking of CPU features; removed along with set_cpu_features."""


@message(Host, since="boston", hidden=True)
def reset_networking(host: Ref[Host]) -> None:
    """Delete all network records of the host, so that they can be set up from scratch."""


@message(Host, since="cowley", asynchronous=False)
def enable_local_storage_caching(host: Ref[Host], sr: Ref[SR]) -> None:
    """Use the given SR on the host's own disk to cache reads of shared images.

    Refused unless the host is disabled and the SR is local and of a type that can hold a cache.
    """


@message(Host, since="cowley", asynchronous=False)
def disable_local_storage_caching(host: Ref[Host]) -> None:
    """Stop caching shared images on the host's local disk."""


@message(Host, since="boston", asynchronous=False, hidden=True)
def get_sm_diagnostics(host: Ref[Host]) -> str:
    """Return a text on the inner state of the storage layer, for support."""


@message(Host, since="boston", asynchronous=False, hidden=True)
def get_thread_diagnostics(host: Ref[Host]) -> str:
    """Return a text on what the threads of the toolstack are doing, for support."""


@message(Host, since="boston", asynchronous=False, hidden=True)
def sm_dp_destroy(host: Ref[Host], dp: str, allow_leak: bool) -> None:
    """Tear down a storage datapath by its name, to clean up after a failure.

    With allow_leak true a failure to release the storage behind it is passed over.
    """


@message(Host, since="boston", asynchronous=False, pool_internal=True, hidden=True)
def sync_vlans(host: Ref[Host]) -> None:
    """Create the coordinator's VLANs on the host, too."""


@message(Host, since="boston", asynchronous=False, pool_internal=True, hidden=True)
def sync_tunnels(host: Ref[Host]) -> None:
    """Create the coordinator's tunnels on the host, too."""


@message(Host, since="boston", asynchronous=False, pool_internal=True, hidden=True)
def sync_pif_currently_attached(host: Ref[Host], bridges: SetOf[str]) -> None:
    """Correct which PIFs count as plugged, from the list of bridges that are up."""


@message(Host, role=VM_POWER_ADMIN, since="tampa")
def migrate_receive(host: Ref[Host], network: Ref[Network], options: Map[str, str]) -> Map[str, str]:
    """Prepare the host to take in a VM from another pool.

    The returned map is the token to hand to VM.migrate_send; the traffic goes over the given network.
    """


@message(Host, since="clearwater")
def declare_dead(host: Ref[Host]) -> None:
    """Tell the pool that the host is certainly down, so that its VMs count as halted.

    Refused for a host that is alive. If the host still runs unseen, a VM started elsewhere may damage its disks.
    """


@message(Host, since="cream")
def enable_display(host: Ref[Host]) -> HostDisplay:
    """Give the local screen to the control domain from the next reboot on."""


@message(Host, since="cream")
def disable_display(host: Ref[Host]) -> HostDisplay:
    """Take the local screen from the control domain at the next reboot.

    Needed before the system's display device can be passed through to a VM.
    """


@message(Host, since="published dundee, changed stockholm")
def set_ssl_legacy(self: Ref[Host], value: bool) -> None:
    """Allow or forbid outdated TLS on the host.

    Support for it is gone, so true is refused.
    """


@message(Host, role=POOL_ADMIN, since="dundee", hidden=True)
def apply_guest_agent_config(host: Ref[Host]) -> None:
    """Write the pool's guest agent settings to all VMs running on the host."""


@message(Host, role=VM_OPERATOR, since="falcon", pool_internal=True, hidden=True)
def mxgpu_vf_setup(host: Ref[Host]) -> None:
    """Create the virtual functions of AMD MxGPU cards so that VMs can use them."""


@message(Host, role=VM_OPERATOR, since="quebec", pool_internal=True, hidden=True)
def nvidia_vf_setup(host: Ref[Host], pf: Ref[PCI], enable: bool) -> None:
    """Create or remove the virtual functions of an NVIDIA SR-IOV graphics card."""


@message(Host, role=VM_OPERATOR, since="inverness", hidden=True)
def allocate_resources_for_vm(self: Ref[Host], vm: Ref[VM], live: bool) -> None:
    """Reserve memory and devices on the host for a VM that is about to start there."""


@message(Host, since="kolkata")
def set_iscsi_iqn(host: Ref[Host], value: str) -> None:
    """Set the initiator name the host uses towards iSCSI targets.

    Sessions that are already open keep the old name until they reconnect.
    """


@message(Host, since="kolkata")
def set_multipathing(host: Ref[Host], value: bool) -> None:
    """Turn access to block storage over several paths on or off."""


@message(Host, role=LOCAL_ROOT, since="22.16.0", pool_internal=True, hidden=True)
def write_uefi_certificates_to_disk(host: Ref[Host]) -> None:
    """Write the pool's Secure Boot certificates to files where guests' firmware finds them."""


@message(Host, role=LOCAL_ROOT, since="published quebec, deprecated 22.16.0")
def set_uefi_certificates(host: Ref[Host], value: str) -> None:
    """Set the Secure Boot certificates of the host; pool.set_custom_uefi_certificates replaces it."""


@message(
    Host,
    role=LOCAL_ROOT,
    since="stockholm_psr",
    hidden=True,
    secret_params=(
        "old_ps",
        "new_ps",
    ),
)
def notify_accept_new_pool_secret(host: Ref[Host], old_ps: str, new_ps: str) -> None:
    """Accept a new pool secret beside the old one; first step of a rotation."""


@message(
    Host,
    role=LOCAL_ROOT,
    since="stockholm_psr",
    hidden=True,
    secret_params=(
        "old_ps",
        "new_ps",
    ),
)
def notify_send_new_pool_secret(host: Ref[Host], old_ps: str, new_ps: str) -> None:
    """Use the new pool secret in own requests; second step of a rotation."""


@message(
    Host,
    role=LOCAL_ROOT,
    since="stockholm_psr",
    hidden=True,
    secret_params=(
        "old_ps",
        "new_ps",
    ),
)
def cleanup_pool_secret(host: Ref[Host], old_ps: str, new_ps: str) -> None:
    """Forget the old pool secret; last step of a rotation."""


@message(Host, role=LOCAL_ROOT, since="1.271.0")
def set_sched_gran(self: Ref[Host], value: HostSchedGran) -> None:
    """Choose if the hypervisor schedules single CPU threads, whole cores or sockets.

    Takes effect after the host has rebooted.
    """


@message(Host, role=LOCAL_ROOT, since="1.271.0")
def get_sched_gran(self: Ref[Host]) -> HostSchedGran:
    """Return the unit (thread, core or socket) in which the hypervisor schedules VCPUs."""


@message(Host, role=POOL_ADMIN, since="prototyped 24.0.0")
def set_numa_affinity_policy(self: Ref[Host], value: HostNumaAffinityPolicy) -> None:
    """Choose how starting VMs are placed on the NUMA nodes of the host.

    VMs already running keep their placement.
    """


@message(Host, role=LOCAL_ROOT, since="1.290.0", asynchronous=False, emergency=True)
def emergency_disable_tls_verification() -> None:
    """Stop the local host from checking its peers' certificates.

    Meant for a host that lost contact with its pool over bad certificates.
    """


@message(Host, role=LOCAL_ROOT, since="1.298.0", asynchronous=False, emergency=True)
def emergency_reenable_tls_verification() -> None:
    """Make the local host check its peers' certificates again."""


@message(Host, role=LOCAL_ROOT, since="1.295.0", pool_internal=True, hidden=True)
def cert_distrib_atom(host: Ref[Host], command: str) -> str:
    """Carry out one step of spreading certificates over the pool; used among members."""


@message(Host, since="1.301.0", client_certificate=True)
def apply_updates(self: Ref[Host], hash: str) -> SetOf[SetOf[str]]:
    """Install updates from the enabled repository on the host.

    The hash must match the update list last read, else the call is refused. Warnings are returned, one list of
    strings each.
    """


@message(Host, role=POOL_ADMIN, since="prototyped 25.2.0")
def rescan_drivers(self: Ref[Host]) -> None:
    """Look again for drivers with several installed versions and update their objects."""


@message(Host, role=POOL_ADMIN, since="1.307.0", pool_internal=True, hidden=True)
def copy_primary_host_certs(host: Ref[Host]) -> None:
    """Fetch the pool's trusted certificates from the coordinator anew."""


@message(Host, since="prototyped 22.27.0")
def set_https_only(self: Ref[Host], value: bool) -> None:
    """Close or open the plain HTTP port 80 of the host for clients."""


@message(Host, since="prototyped 23.18.0, removed 23.25.0")
def apply_recommended_guidances(self: Ref[Host]) -> None:
    """Carried out the tasks advised after an update; removed."""


@message(Host, role=LOCAL_ROOT, since="prototyped 24.10.0", asynchronous=False, emergency=True)
def emergency_clear_mandatory_guidance() -> None:
    """Drop the mandatory update tasks still pending on the local host, without doing them."""


@message(Host, role=POOL_ADMIN, since="prototyped 25.13.0")
def enable_ssh(self: Ref[Host]) -> None:
    """Turn on the SSH service of the host.

    If ssh_enabled_timeout is set, it is turned off again after that many seconds.
    """


@message(Host, role=POOL_ADMIN, since="prototyped 25.13.0")
def disable_ssh(self: Ref[Host]) -> None:
    """Turn off the SSH service of the host."""


@message(Host, role=POOL_ADMIN, since="prototyped 25.21.0")
def set_ssh_enabled_timeout(self: Ref[Host], value: int) -> None:
    """Set for how many seconds SSH stays on once enabled; 0 for no limit.

    Values below 0 or above two days are refused.
    """


@message(Host, role=POOL_ADMIN, since="prototyped 25.21.0")
def set_console_idle_timeout(self: Ref[Host], value: int) -> None:
    """Set after how many idle seconds a console session is closed; 0 for never."""


@message(Host, role=POOL_ADMIN, since="prototyped 25.27.0")
def set_ssh_auto_mode(self: Ref[Host], value: bool) -> None:
    """Choose if SSH turns itself on when the toolstack fails and off when it works."""


@message(Host, role=READ_ONLY, since="prototyped 25.34.0")
def get_tracked_user_agents(self: Ref[Host]) -> Map[str, str]:
    """Return names and versions of the client programs seen by the host lately."""


@message(Host, since="prototyped 25.34.0", asynchronous=False, pool_internal=True, hidden=True, emergency=True)
def update_firewalld_service_status() -> None:
    """Open or close the local firewall's services as the current configuration demands."""


@message(Host, since="prototyped 26.0.0")
def set_max_cstate(self: Ref[Host], value: str) -> None:
    """Limit how deeply the host's CPUs may sleep; an empty string lifts the limit.

    The value is a C-state number, optionally with a sub-state after a comma.
    """


@message(Host, since="prototyped 26.0.0")
def set_ntp_mode(self: Ref[Host], value: HostNtpMode) -> None:
    """Choose where the host takes its NTP servers from, or turn NTP off.

    Custom is refused while ntp_custom_servers is empty.
    """


@message(Host, since="prototyped 26.0.0")
def set_ntp_custom_servers(self: Ref[Host], value: SetOf[str]) -> None:
    """Set the NTP servers for the mode Custom.

    In that mode they are used at once; an empty list is then refused.
    """


@message(Host, role=READ_ONLY, since="prototyped 26.0.0")
def get_ntp_servers_status(self: Ref[Host]) -> Map[str, str]:
    """Return the NTP servers in use, each with its state as seen by the NTP service."""


@message(Host, since="prototyped 26.0.0")
def set_timezone(self: Ref[Host], value: str) -> None:
    """Set the time zone of the host by its tz database name.

    Names not in list_timezones are refused.
    """


@message(Host, role=READ_ONLY, since="prototyped 26.0.0")
def list_timezones(self: Ref[Host]) -> SetOf[str]:
    """Return the names of the time zones the host can be set to."""


@message(Host, role=READ_ONLY, since="prototyped 26.0.0")
def get_ntp_synchronized(self: Ref[Host]) -> bool:
    """Return true if the host's clock is in step with an NTP server."""


@message(Host, since="prototyped 26.0.0")
def set_servertime(self: Ref[Host], value: datetime) -> None:
    """Set the clock of the host.

    Refused while NTP is on.
    """
