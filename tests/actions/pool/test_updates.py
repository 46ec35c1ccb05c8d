import pytest

from tests.actions.refusal import guest_on, refused
from xapi.system.certificate_checks import as_pem
from xapi.system.certificates import make_self_signed


@pytest.fixture
def remote(client):
    return client.Repository.introduce("base", "", "https://updates.example/base", "https://updates.example/src", True)


def test_repositories_are_introduced_once(client, clock, remote):
    assert client.Repository.get_origin(remote) == "remote"
    introduce = client.Repository.introduce
    assert refused(introduce, "base", "", "https://x.example", "", True) == ("REPOSITORY_ALREADY_EXISTS", remote)
    assert refused(introduce, "two", "", "https://updates.example/base", "", True)[0] == "REPOSITORY_ALREADY_EXISTS"
    for url in ("", "ftp://x.example", "https://", "file:///etc", "https://[bad"):
        assert refused(introduce, "two", "", url, "", True) == ("INVALID_BASE_URL", url)
    assert refused(introduce, "two", "", "https://x.example", "", True, "../key")[0] == "INVALID_GPGKEY_PATH"
    bundle = client.Repository.introduce_bundle("bundle", "")
    assert refused(client.Repository.introduce_bundle, "more", "") == ("BUNDLE_REPOSITORY_ALREADY_EXISTS", bundle)
    pem = as_pem(make_self_signed("pool.example", (), clock.now()).certificate)
    other = client.Repository.introduce_remote_pool("other pool", "", "https://pool.example", pem)
    assert client.Repository.get_certificate(other) == pem
    client.Repository.set_gpgkey_path(remote, "KEY.asc")
    assert client.Repository.get_gpgkey_path(remote) == "KEY.asc"


def test_enabled_repositories_are_not_forgotten(client, pool, remote):
    client.pool.add_repository(pool, remote)
    client.pool.add_repository(pool, remote)
    assert client.pool.get_repositories(pool) == [remote]
    assert refused(client.Repository.forget, remote) == ("REPOSITORY_IS_IN_USE",)
    client.pool.remove_repository(pool, remote)
    client.Repository.forget(remote)
    assert client.Repository.get_all() == []


def test_a_bundle_stands_alone(client, pool, remote):
    bundle = client.Repository.introduce_bundle("bundle", "")
    client.pool.set_repositories(pool, [remote])
    assert refused(client.pool.add_repository, pool, bundle) == ("REPO_SHOULD_BE_SINGLE_ONE_ENABLED",)
    assert refused(client.pool.set_repositories, pool, [remote, "OpaqueRef:dead"])[:2] == (
        "HANDLE_INVALID",
        "Repository",
    )
    assert client.pool.get_repositories(pool) == [remote]
    client.pool.set_repositories(pool, [bundle])
    assert refused(client.pool.set_update_sync_enabled, pool, True) == ("CAN_NOT_PERIODIC_SYNC_UPDATES",)


def test_nothing_fetches_updates_and_nothing_says_so(client, pool, remote):
    assert refused(client.pool.set_update_sync_enabled, pool, True) == ("NO_REPOSITORIES_CONFIGURED",)
    client.pool.set_repositories(pool, [remote])
    assert refused(client.pool.set_update_sync_enabled, pool, True)[0] == "NOT_IMPLEMENTED"
    client.pool.set_update_sync_enabled(pool, False)
    client.pool.configure_update_sync(pool, "weekly", "6")
    assert refused(client.pool.configure_update_sync, pool, "weekly", "7") == ("INVALID_UPDATE_SYNC_DAY", "7")
    client.pool.configure_update_sync(pool, "daily", "5")
    assert client.pool.get_update_sync_day(pool) == "0"


def test_the_proxy_keeps_its_password_in_a_secret(client, pool):
    configure = client.pool.configure_repository_proxy
    assert refused(configure, pool, "x", "", "") == ("INVALID_REPOSITORY_PROXY_URL", "x")
    for user, password in (("u", ""), ("", "p"), ("u\n", "p")):
        assert refused(configure, pool, "http://p", user, password) == ("INVALID_REPOSITORY_PROXY_CREDENTIAL",)
    configure(pool, "http://proxy.example:3128", "u", "p")
    configure(pool, "http://proxy.example:3128", "u", "q")
    (secret,) = client.secret.get_all()
    assert client.pool.get_repository_proxy_password(pool) == secret
    assert client.secret.get_value(secret) == "q"
    client.pool.disable_repository_proxy(pool)
    assert client.secret.get_all() == []
    assert client.pool.get_repository_proxy_url(pool) == ""


def test_what_stands_in_the_way_of_a_reboot(client, toolstack, pool):
    assert client.pool.check_update_readiness(pool, True) == []
    guest = guest_on(toolstack, toolstack.this_host)
    assert client.pool.check_update_readiness(pool, False) == []
    assert client.pool.check_update_readiness(pool, True) == [["NO_HOSTS_AVAILABLE", guest]]
