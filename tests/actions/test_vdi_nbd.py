from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography import x509

from tests.actions.storage_house import StorageHouse, storage_house
from xapi.actions.vdi.nbd import NbdPlace, nbd_places
from xapi.datamodel.classes import PIF


@pytest.fixture
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture
def network(house: StorageHouse) -> str:
    """A network on which this host has an address."""
    (management,) = [
        ref
        for ref, pif in house.client.PIF.get_all_records().items()
        if pif["management"] and pif["host"] == house.host
    ]
    give_addresses(house, management, "192.0.2.7", ("2001:db8::7/64", "fe80::1/64"))
    found: str = house.client.PIF.get_network(management)
    return found


def give_addresses(house: StorageHouse, pif: str, four: str, six: tuple[str, ...] = ()) -> None:
    with house.db.transaction() as transaction:
        transaction.update(PIF, pif, IP=four, IPv6=six)


def test_nothing_is_told_without_a_network_for_it(house: StorageHouse, network: str) -> None:
    assert house.client.VDI.get_nbd_info(house.disk(house.sr())) == []


@pytest.mark.parametrize("purpose", ["nbd", "insecure_nbd"])
def test_every_address_in_a_network_for_it_is_told(house: StorageHouse, network: str, purpose: str) -> None:
    disk = house.disk(house.sr())
    house.client.network.add_purpose(network, purpose)
    found = house.client.VDI.get_nbd_info(disk)
    assert {info["address"] for info in found} == {"192.0.2.7", "2001:db8::7"}
    for info in found:
        assert set(info) >= {"exportname", "address", "port", "cert", "subject"}
        assert info["exportname"] == f"/{house.client.VDI.get_uuid(disk)}?session_id={house.client.session}"
        assert info["port"] == "10809"
        certificate = x509.load_pem_x509_certificate(info["cert"].encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert info["subject"] in names.get_values_for_type(x509.DNSName)
        assert "PRIVATE" not in info["cert"]
    secure = purpose == "nbd"
    expected = (NbdPlace("192.0.2.7", secure), NbdPlace("2001:db8::7", secure))
    assert nbd_places(house.db, house.house.toolstack.this_host) == expected
    house.client.network.remove_purpose(network, purpose)
    assert house.client.VDI.get_nbd_info(disk) == []


def test_an_interface_that_is_down_or_has_no_address_counts_for_nothing(house: StorageHouse, network: str) -> None:
    disk = house.disk(house.sr())
    house.client.network.add_purpose(network, "nbd")
    (pif,) = (ref for ref in house.client.network.get_PIFs(network) if house.client.PIF.get_host(ref) == house.host)
    with house.db.transaction() as transaction:
        transaction.update(PIF, pif, currently_attached=False)
    assert house.client.VDI.get_nbd_info(disk) == []
    with house.db.transaction() as transaction:
        transaction.update(PIF, pif, currently_attached=True, IP="", IPv6=())
    assert house.client.VDI.get_nbd_info(disk) == []


def test_a_disk_of_an_sr_that_is_not_attached_is_nowhere(house: StorageHouse, network: str) -> None:
    sr = house.sr()
    disk = house.disk(sr)
    house.client.network.add_purpose(network, "nbd")
    house.client.PBD.unplug(house.pbd(sr))
    assert house.client.VDI.get_nbd_info(disk) == []
    house.client.PBD.plug(house.pbd(sr))
    assert len(house.client.VDI.get_nbd_info(disk)) == 2
