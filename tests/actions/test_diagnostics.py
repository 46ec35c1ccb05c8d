from tests.actions import standing_house
from tests.actions.refusal import refused
from xapi.datamodel.classes import DriverVariant, HostDriver

house, clock, standing = standing_house.house, standing_house.clock, standing_house.standing


def test_memory_is_cleaned_and_counted(client, toolstack):
    before = client.Diagnostics.gc_stats(toolstack.this_host)
    client.Diagnostics.gc_compact(toolstack.this_host)
    after = client.Diagnostics.gc_stats(toolstack.this_host)
    assert int(after["generation_2_collections"]) > int(before["generation_2_collections"])
    assert refused(client.Diagnostics.gc_stats, "OpaqueRef:dead") == ("HOST_OFFLINE", "OpaqueRef:dead")


def test_a_rescan_forgets_drivers_that_are_not_here(client, toolstack):
    with toolstack.db.transaction() as transaction:
        driver = transaction.create(HostDriver, host=toolstack.this_host)
        transaction.create(DriverVariant, driver=driver)
    client.host.rescan_drivers(toolstack.this_host)
    assert (client.Host_driver.get_all(), client.Driver_variant.get_all()) == ([], [])
    client.Host_driver.rescan(toolstack.this_host)
