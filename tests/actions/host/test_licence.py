from tests.actions.refusal import refused


def test_a_host_has_one_edition(client, host):
    edition = client.host.get_edition(host)
    client.host.apply_edition(host, edition)
    client.host.apply_edition(host, "")
    client.pool.apply_edition(client.pool.get_all()[0], edition)
    assert client.host.get_edition(host) == edition
    assert refused(client.host.apply_edition, host, "platinum") == ("INVALID_EDITION", "platinum")
    assert refused(client.host.apply_edition, host, "platinum", True) == ("INVALID_EDITION", "platinum")


def test_licence_files_are_of_no_use(client, host):
    before = client.host.get_license_params(host)
    assert refused(client.host.license_add, host, "bGljZW5jZQ==") == ("LICENSE_PROCESSING_ERROR",)
    client.host.license_remove(host)
    assert client.host.get_license_params(host) == before


def test_the_pools_licence_is_its_coordinators(client, host):
    state = client.pool.get_license_state(client.pool.get_all()[0])
    assert state == {"edition": client.host.get_edition(host), "expiry": client.host.get_license_params(host)["expiry"]}


def test_restrictions_follow_the_licence(house, client, host):
    params = {**client.host.get_license_params(host), "restrict_vtpm": "true"}
    house.caller(superuser=True, pool=True).host.set_license_params(host, params)
    assert client.host.get_license_params(host) == params
    assert client.pool.get_restrictions(client.pool.get_all()[0])["restrict_vtpm"] == "true"
