from datetime import timedelta

import pytest

from tests.actions.refusal import refused


def test_guest_agents_get_what_they_know(client, pool):
    client.pool.add_to_guest_agent_config(pool, "auto_update_enabled", "true")
    client.pool.add_to_guest_agent_config(pool, "auto_update_url", "https://updates.example/")
    assert refused(client.pool.add_to_guest_agent_config, pool, "auto_update_enabled", "false") == (
        "MAP_DUPLICATE_KEY",
        "pool",
        "guest_agent_config",
        pool,
        "auto_update_enabled",
    )
    client.pool.remove_from_guest_agent_config(pool, "auto_update_url")
    client.pool.remove_from_guest_agent_config(pool, "auto_update_url")
    assert client.pool.get_guest_agent_config(pool) == {"auto_update_enabled": "true"}


@pytest.mark.parametrize(
    ("key", "value"), [("x", "x"), ("auto_update_enabled", "yes"), ("auto_update_url", "ftp://x/"), ("", "")]
)
def test_guest_agents_do_not_get_what_they_do_not_know(client, pool, key, value):
    wanted = ("INVALID_VALUE", "guest_agent_config", f"{key} = {value}")
    assert refused(client.pool.add_to_guest_agent_config, pool, key, value) == wanted
    assert client.pool.get_guest_agent_config(pool) == {}


def test_telemetry_is_collected_soon_enough(client, clock, pool):
    soon = clock.now() + timedelta(days=14)
    client.pool.set_telemetry_next_collection(pool, soon)
    assert client.pool.get_telemetry_next_collection(pool) == soon
    assert refused(client.pool.set_telemetry_next_collection, pool, soon + timedelta(seconds=1)) == (
        "TELEMETRY_NEXT_COLLECTION_TOO_LATE",
        "2024-01-15T00:00:01Z",
    )


def test_the_telemetry_identifier_is_a_secret_that_is_replaced(client, pool):
    client.pool.reset_telemetry_uuid(pool)
    first = client.pool.get_telemetry_uuid(pool)
    value = client.secret.get_value(first)
    client.pool.reset_telemetry_uuid(pool)
    second = client.pool.get_telemetry_uuid(pool)
    assert client.secret.get_all() == [second]
    assert client.secret.get_value(second) != value


@pytest.mark.parametrize(
    ("setting", "bad", "name"),
    [
        ("local_auth_max_threads", "0", "local_auth_max_threads"),
        ("ext_auth_max_threads", "-1", "ext_auth_max_threads"),
        ("ext_auth_cache_size", "-1", "size"),
        ("ext_auth_cache_expiry", "0", "expiry"),
    ],
)
def test_numbers_within_reason(client, pool, setting, bad, name):
    client(f"pool.set_{setting}", pool, "7")
    with pytest.raises(Exception) as caught:
        client(f"pool.set_{setting}", pool, bad)
    assert (caught.value.code, *caught.value.params) == ("INVALID_VALUE", name, bad)
    assert client(f"pool.get_{setting}", pool) == "7"


def test_the_cache_of_a_directory_can_be_off(client, pool):
    client.pool.set_ext_auth_cache_enabled(pool, False)
    assert client.pool.get_ext_auth_cache_enabled(pool) is False


def test_what_is_gone_for_good(client, pool):
    assert refused(client.pool.test_archive_target, pool, {}) == ("MESSAGE_REMOVED",)
    assert refused(client.pool.enable_ssl_legacy, pool) == ("MESSAGE_REMOVED",)
    client.pool.disable_ssl_legacy(pool)


def test_caching_needs_an_sr_that_can(client, toolstack, pool):
    assert refused(client.pool.enable_local_storage_caching, pool) == (
        "HOSTS_FAILED_TO_ENABLE_CACHING",
        toolstack.this_host,
    )
