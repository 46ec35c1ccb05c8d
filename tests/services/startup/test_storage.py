import pytest

from tests.services.startup.installations import DRIVERS, driver_type
from xapi.datamodel.classes import PBD, SM, SR, VDI, Host, Pool
from xapi.services.startup import storage_in


def by_name(home):
    return {sr.name_label: sr for sr in home.all(SR)}


def test_each_driver_has_a_record_with_its_features(home):
    home.start()
    records = {record.type: record for record in home.all(SM)}
    assert set(records) == {"ext", "file", "iso", "udev"}
    record = records["ext"]
    assert record.features == {"VDI_CREATE": 1, "VDI_DELETE": 2}
    assert record.capabilities == ("VDI_CREATE", "VDI_DELETE")
    assert (record.name_label, record.driver_filename) == ("ext storage", "EXTSR")
    assert [str(one) for one in record.supported_image_formats] == ["vhd", "raw"]
    assert record.configuration == {"location": "where it is"}


def test_the_record_of_a_driver_that_went_stays_while_an_sr_needs_it(home):
    home.start()
    home.change(drivers=(*(driver for driver in DRIVERS if driver.name not in ("file", "udev")), driver_type("nfs")))
    home.restart()
    assert {record.type for record in home.all(SM)} == {"ext", "iso", "udev", "nfs"}


def test_the_default_srs_have_pbds_and_names_that_clients_can_translate(home):
    started = home.start()
    srs = by_name(home)
    assert {(name, sr.type, sr.content_type) for name, sr in srs.items()} == {
        ("Local storage", "ext", "user"),
        ("DVD drives", "udev", "iso"),
        ("Removable storage", "udev", "disk"),
        ("XenServer Tools", "iso", "iso"),
    }
    assert {sr.other_config["i18n-key"] for sr in srs.values()} == {
        "local-storage",
        "local-hotplug-cd",
        "local-hotplug-disk",
        "xenserver-tools",
    }
    for name, sr in srs.items():
        assert sr.other_config["i18n-original-value-name_label"] == name
        (pbd,) = [home.get(PBD, ref) for ref in sr.PBDs]
        assert pbd.host == started.this_host
        assert not pbd.currently_attached
        assert pbd.ref in started.to_plug
    assert len(started.to_plug) == len(srs)
    assert [name for name, sr in srs.items() if sr.is_tools_sr] == ["XenServer Tools"]


def test_the_local_sr_is_the_default_of_pool_and_host_and_its_directory_is_there(home):
    started = home.start()
    local = by_name(home)["Local storage"]
    pool, host = home.get(Pool, started.pool), home.get(Host, started.this_host)
    assert {pool.default_SR, pool.suspend_image_SR, pool.crash_dump_SR} == {local.ref}
    assert {host.suspend_image_sr, host.crash_dump_sr} == {local.ref}
    assert home.get(PBD, local.PBDs[0]).device_config == {"device": str(home.state / "sr")}
    assert (home.state / "sr").stat().st_mode & 0o777 == 0o700


def test_a_local_sr_of_files_says_where_they_are(home):
    home.change(local_storage=storage_in(home.state / "disks", "file"))
    home.start()
    local = by_name(home)["Local storage"]
    assert local.type == "file"
    assert home.get(PBD, local.PBDs[0]).device_config == {"location": str(home.state / "disks")}


def test_srs_are_known_by_their_marks_and_not_by_their_names(home):
    home.start()
    with home.database.transaction() as transaction:
        for sr in transaction.all(SR):
            transaction.update(SR, sr.ref, name_label=f"my {sr.name_label}")
    home.restart()
    assert set(by_name(home)) == {"my Local storage", "my DVD drives", "my Removable storage", "my XenServer Tools"}


def test_a_local_sr_that_somebody_forgot_stays_away(home):
    home.start()
    local = by_name(home)["Local storage"]
    with home.database.transaction() as transaction:
        transaction.delete(PBD, local.PBDs[0])
        transaction.delete(SR, local.ref)
    home.restart()
    assert "Local storage" not in by_name(home)


def test_without_drivers_there_is_no_storage(home):
    home.change(drivers=(), local_storage=None)
    assert home.start().to_plug == ()
    assert home.all(SR) == []


def test_storage_comes_when_drivers_do(home):
    home.change(drivers=(), local_storage=None)
    home.start()
    home.change(drivers=DRIVERS, local_storage=storage_in(home.state / "sr", "ext"))
    started = home.restart()
    assert home.get(Pool, started.pool).default_SR == by_name(home)["Local storage"].ref


def test_every_pbd_is_to_be_plugged_again_after_a_restart(home):
    first = home.start()
    with home.database.transaction() as transaction:
        for ref in first.to_plug:
            transaction.update(PBD, ref, currently_attached=True)
    second = home.restart()
    assert set(second.to_plug) == set(first.to_plug)
    assert not any(pbd.currently_attached for pbd in home.all(PBD))


@pytest.mark.parametrize("size", [None, 4096])
def test_the_tools_image_is_recorded_with_what_is_there_of_it(home, size):
    if size is not None:
        (home.state / "tools").mkdir()
        (home.state / "tools" / "guest-tools.iso").write_bytes(bytes(size))
    home.start()
    (image,) = home.all(VDI)
    assert (image.name_label, image.location) == ("guest-tools.iso", "guest-tools.iso")
    assert image.is_tools_iso
    assert image.read_only
    assert image.virtual_size == (size or 0)
    assert image.missing is (size is None)
    assert by_name(home)["XenServer Tools"].VDIs == (image.ref,)
