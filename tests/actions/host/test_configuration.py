import pytest

from tests.actions.refusal import refused
from xapi.datamodel.classes import Host
from xapi.datamodel.classes.vm import UpdateGuidances


def test_a_new_name_reaches_the_control_domain(client, host):
    client.host.set_hostname_live(host, "prince")
    assert client.host.get_hostname(host) == "prince"
    assert client.VM.get_name_label(client.host.get_control_domain(host)) == "Control domain on host: prince"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "hostname empty"),
        ("x" * 256, "hostname is too long"),
        ("under_score", "hostname contains invalid characters"),
        ("-lead", "hostname contains invalid characters"),
        ("trail-", "hostname contains invalid characters"),
        ("naïve", "hostname contains invalid characters"),
    ],
)
def test_names_that_cannot_be(client, host, name, reason):
    before = client.host.get_record(host)
    assert refused(client.host.set_hostname_live, host, name) == ("HOST_NAME_INVALID", reason)
    assert client.host.get_record(host) == before


def test_power_on_secrets_that_nobody_names_any_more_are_dropped(client, host):
    old = client.secret.create({"value": "a"})
    kept = client.secret.create({"value": "b"})
    config = {"power_on_password_secret": client.secret.get_uuid(old)}
    client.host.set_power_on_mode(host, "DRAC", config)
    assert client.host.get_power_on_config(host) == config
    client.host.set_power_on_mode(host, "DRAC", {"power_on_password_secret": client.secret.get_uuid(kept)})
    assert client.secret.get_all() == [kept]
    client.host.set_power_on_mode(host, "", {})
    assert client.secret.get_all() == []


def test_initiator_name_and_multipathing_are_noted_for_older_clients_too(client, host):
    client.host.set_iscsi_iqn(host, "iqn.2024-01.org.example:host")
    client.host.set_multipathing(host, True)
    other_config = client.host.get_other_config(host)
    assert client.host.get_iscsi_iqn(host) == other_config["iscsi_iqn"] == "iqn.2024-01.org.example:host"
    assert client.host.get_multipathing(host) is True
    assert other_config["multipathing"] == "true"
    assert refused(client.host.set_iscsi_iqn, host, "") == ("INVALID_VALUE", "value", "")


def test_the_display_changes_at_the_next_start(client, host):
    assert client.host.disable_display(host) == "disable_on_reboot"
    assert client.host.disable_display(host) == "disable_on_reboot"
    assert client.host.enable_display(host) == "enabled"
    client.host.set_display(host, "disabled")
    assert client.host.enable_display(host) == "enable_on_reboot"
    assert client.host.disable_display(host) == "disabled"
    assert client.host.get_display(host) == "disabled"


def test_outdated_tls_is_gone(client, host):
    client.host.set_ssl_legacy(host, False)
    assert refused(client.host.set_ssl_legacy, host, True)[:3] == ("VALUE_NOT_SUPPORTED", "value", "true")


def test_a_host_may_doubt_its_peers_only_as_the_pool_does(client, host):
    assert refused(client.host.emergency_reenable_tls_verification) == ("TLS_VERIFICATION_NOT_ENABLED_IN_POOL",)
    client.pool.enable_tls_verification()
    assert client.pool.get_tls_verification_enabled(client.pool.get_all()[0]) is True
    assert client.host.get_tls_verification_enabled(host) is True
    client.host.emergency_disable_tls_verification()
    assert client.host.get_tls_verification_enabled(host) is False
    client.host.emergency_reenable_tls_verification()
    assert client.host.get_tls_verification_enabled(host) is True


def test_guidances_can_be_cleared(client, toolstack, host):
    with toolstack.db.transaction() as transaction:
        transaction.update(Host, host, pending_guidances=(UpdateGuidances.REBOOT_HOST,))
    client.host.emergency_clear_mandatory_guidance()
    assert client.host.get_pending_guidances(host) == []


def test_an_sr_that_cannot_cache_is_refused(client, host):
    client.host.disable(host)
    for sr in client.SR.get_all():
        assert refused(client.host.enable_local_storage_caching, host, sr) == ("SR_OPERATION_NOT_SUPPORTED", sr)
    client.host.disable_local_storage_caching(host)
    client.host.enable(host)
    assert refused(client.host.disable_local_storage_caching, host) == ("HOST_NOT_DISABLED",)


def test_certificates_for_secure_boot_belong_to_the_pool(client, host):
    assert refused(client.host.set_uefi_certificates, host, "x")[0] == "OPERATION_NOT_ALLOWED"


def test_removed_messages_say_so(client, host):
    assert refused(client.host.set_cpu_features, host, "ff") == ("MESSAGE_REMOVED",)
    assert refused(client.host.reset_cpu_features, host) == ("MESSAGE_REMOVED",)
    assert refused(client.host.license_apply, host, "") == ("MESSAGE_REMOVED",)


def test_cpus_are_scheduled_by_threads(client, host):
    client.host.set_sched_gran(host, "cpu")
    assert refused(client.host.set_sched_gran, host, "core")[0] == "OPERATION_NOT_ALLOWED"
    assert client.host.get_sched_gran(host) == "cpu"
    client.host.set_numa_affinity_policy(host, "best_effort")
    assert client.host.get_numa_affinity_policy(host) == "best_effort"
