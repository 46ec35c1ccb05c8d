import pytest

from tests.actions import standing_house
from tests.actions.refusal import make_vm, refused
from xapi.actions.pusb import refresh_pusbs
from xapi.datamodel.classes import SR, VBD, VDI, VUSB
from xapi.hypervisor.interface import UsbDevice

house, clock, standing = standing_house.house, standing_house.clock, standing_house.standing


@pytest.fixture
def vm(client):
    return make_vm(client, "box", 0)


@pytest.fixture
def pusb(client, toolstack):
    client.PUSB.scan(toolstack.this_host)
    (ref,) = client.PUSB.get_all()
    return ref


def plug_in(toolstack, *devices):
    with toolstack.db.transaction() as transaction:
        refresh_pusbs(transaction, toolstack.this_host, devices)


def test_a_scan_finds_each_device_once(client, toolstack, pusb):
    record = client.PUSB.get_record(pusb)
    (device,) = toolstack.hypervisor.host.facts().usb_devices
    assert (record["vendor_id"], record["serial"], record["passthrough_enabled"]) == (
        device.vendor_id,
        device.serial,
        False,
    )
    client.PUSB.scan(toolstack.this_host)
    assert client.PUSB.get_all() == [pusb]
    assert client.USB_group.get_PUSBs(record["USB_group"]) == [pusb]
    assert refused(client.PUSB.scan, "OpaqueRef:dead") == ("HOST_OFFLINE", "OpaqueRef:dead")


def test_what_is_pulled_out_goes_with_all_that_was_made_of_it(client, toolstack, vm, pusb):
    client.VUSB.create(vm, client.PUSB.get_USB_group(pusb), {})
    plug_in(toolstack, UsbDevice("2-1", "ffff", "Maker", "0001", "Thing", "S1", "3.00"))
    (fresh,) = client.PUSB.get_all()
    assert client.PUSB.get_description(fresh) == "Maker Thing"
    assert client.USB_group.get_all() == [client.PUSB.get_USB_group(fresh)]
    assert (client.VUSB.get_all(), client.VM.get_VUSBs(vm)) == ([], [])


def test_a_group_has_one_user(client, vm, pusb):
    group = client.PUSB.get_USB_group(pusb)
    vusb = client.VUSB.create(vm, group, {"a": "b"})
    assert client.VM.get_VUSBs(vm) == [vusb]
    assert refused(client.VUSB.create, vm, group, {}) == ("USB_GROUP_CONFLICT", group)
    assert refused(client.USB_group.destroy, group) == ("USB_GROUP_CONTAINS_PUSB", pusb)
    assert refused(client.VUSB.unplug, vusb)[0] == "VM_BAD_POWER_STATE"
    client.VUSB.destroy(vusb)
    assert client.VM.get_VUSBs(vm) == []


def test_a_vm_has_six_devices_at_most(client, vm):
    for number in range(6):
        client.VUSB.create(vm, client.USB_group.create(f"g{number}", "", {}), {})
    spare = client.USB_group.create("spare")
    assert refused(client.VUSB.create, vm, spare, {}) == ("TOO_MANY_VUSBS", "6")
    client.USB_group.destroy(spare)
    used = client.VUSB.get_USB_group(client.VM.get_VUSBs(vm)[0])
    assert refused(client.USB_group.destroy, used)[0] == "USB_GROUP_CONTAINS_VUSB"


def test_an_attached_device_stays_with_its_vm(client, toolstack, vm, pusb):
    client.PUSB.set_passthrough_enabled(pusb, True)
    vusb = client.VUSB.create(vm, client.PUSB.get_USB_group(pusb), {})
    with toolstack.db.transaction() as transaction:
        transaction.update(VUSB, vusb, currently_attached=True)
    assert refused(client.VUSB.destroy, vusb)[0] == "OPERATION_NOT_ALLOWED"
    assert refused(client.PUSB.set_passthrough_enabled, pusb, False) == ("USB_ALREADY_ATTACHED", pusb, vm)
    with toolstack.db.transaction() as transaction:
        transaction.update(VUSB, vusb, currently_attached=False)
    client.PUSB.set_passthrough_enabled(pusb, False)
    assert client.VUSB.get_all() == []
    assert client.PUSB.get_passthrough_enabled(pusb) is False


def test_a_device_that_is_somebodys_disk_is_not_handed_over(client, toolstack, vm, pusb):
    with toolstack.db.transaction() as transaction:
        sr = transaction.create(SR, type="udev")
        vdi = transaction.create(VDI, SR=sr, sm_config={"usb_path": client.PUSB.get_path(pusb)})
        vbd = transaction.create(VBD, VM=vm, VDI=vdi)
    assert refused(client.PUSB.set_passthrough_enabled, pusb, True) == ("PUSB_VDI_CONFLICT", pusb, vdi)
    with toolstack.db.transaction() as transaction:
        transaction.delete(VBD, vbd)
    client.PUSB.set_passthrough_enabled(pusb, True)
    assert refused(client.VDI.get_record, vdi)[0] == "HANDLE_INVALID"


def test_a_high_available_vm_has_no_usb_device(client, vm, pusb):
    client.VM.set_ha_restart_priority(vm, "restart")
    assert refused(client.VUSB.create, vm, client.PUSB.get_USB_group(pusb), {})[0] == "OPERATION_NOT_ALLOWED"
