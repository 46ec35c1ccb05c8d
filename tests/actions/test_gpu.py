import pytest

from tests.actions.refusal import make_vm, refused
from xapi.actions.pci import refresh_pcis
from xapi.datamodel.classes import PCI, PGPU, VGPU, VGPUType
from xapi.hypervisor.interface import PciDevice

CARD = PciDevice("0000:03:00.0", "0300", "VGA compatible controller", "10de", "NVIDIA", "1eb8", "T4")


class Hardware:
    """One card that can be had whole, in halves or in quarters; halves and quarters do not mix."""

    def __init__(self, toolstack):
        with toolstack.db.transaction() as transaction:
            refresh_pcis(transaction, toolstack.this_host, [CARD])
            (self.pci,) = [row.ref for row in transaction.all(PCI)]
            self.whole, self.half, self.quarter = (
                transaction.create(VGPUType, model_name=name, size=size)
                for name, size in (("passthrough", 0), ("half", 524288), ("quarter", 262144))
            )
            types = (self.whole, self.half, self.quarter)
            self.pgpu = transaction.create(
                PGPU,
                PCI=self.pci,
                host=toolstack.this_host,
                supported_VGPU_types=types,
                enabled_VGPU_types=types,
                supported_VGPU_max_capacities={self.whole: 1, self.half: 2, self.quarter: 4},
            )


@pytest.fixture
def hardware(toolstack):
    return Hardware(toolstack)


@pytest.fixture
def group(client, hardware):
    made = client.GPU_group.create("cards", "", {})
    client.PGPU.set_GPU_group(hardware.pgpu, made)
    return made


@pytest.fixture
def vm(client):
    return make_vm(client, "box", 0)


def run_on(toolstack, vgpu, pgpu):
    with toolstack.db.transaction() as transaction:
        transaction.update(VGPU, vgpu, resident_on=pgpu, currently_attached=True)


def test_a_group_takes_over_the_kind_and_the_types_of_its_first_device(client, hardware, group):
    assert client.GPU_group.get_GPU_types(group) == ["10de/1eb8"]
    assert set(client.GPU_group.get_enabled_VGPU_types(group)) == {hardware.whole, hardware.half, hardware.quarter}
    assert refused(client.GPU_group.destroy, group) == ("GPU_GROUP_CONTAINS_PGPU", hardware.pgpu)
    other = client.GPU_group.create("others")
    client.PGPU.set_GPU_group(hardware.pgpu, other)
    assert client.GPU_group.get_supported_VGPU_types(group) == []
    client.GPU_group.destroy(group)


def test_types_are_permitted_and_forbidden(client, toolstack, hardware, group, vm):
    client.PGPU.remove_enabled_VGPU_types(hardware.pgpu, hardware.half)
    assert hardware.half not in client.GPU_group.get_enabled_VGPU_types(group)
    client.PGPU.add_enabled_VGPU_types(hardware.pgpu, hardware.half)
    assert set(client.PGPU.get_enabled_VGPU_types(hardware.pgpu)) == {hardware.whole, hardware.half, hardware.quarter}
    with toolstack.db.transaction() as transaction:
        foreign = transaction.create(VGPUType)
    failure = refused(client.PGPU.add_enabled_VGPU_types, hardware.pgpu, foreign)
    assert failure[:2] == ("VGPU_TYPE_NOT_SUPPORTED", foreign)
    assert refused(client.PGPU.set_enabled_VGPU_types, hardware.pgpu, [hardware.half, foreign])[1] == foreign
    run_on(toolstack, client.VGPU.create(vm, group, "0", {}, hardware.quarter), hardware.pgpu)
    assert refused(client.PGPU.set_enabled_VGPU_types, hardware.pgpu, [hardware.half]) == ("PGPU_IN_USE_BY_VM", vm)
    client.PGPU.set_enabled_VGPU_types(hardware.pgpu, [hardware.quarter])
    assert client.PGPU.get_enabled_VGPU_types(hardware.pgpu) == [hardware.quarter]


def test_capacity_shrinks_as_virtual_gpus_run(client, toolstack, hardware, group, vm):
    def left(kind):
        whole_group = client.GPU_group.get_remaining_capacity(group, kind)
        assert client.PGPU.get_remaining_capacity(hardware.pgpu, kind) == whole_group
        return whole_group

    assert [left(kind) for kind in (hardware.whole, hardware.half, hardware.quarter)] == ["1", "2", "4"]
    run_on(toolstack, client.VGPU.create(vm, group, "0", {}, hardware.quarter), hardware.pgpu)
    assert [left(kind) for kind in (hardware.whole, hardware.half, hardware.quarter)] == ["0", "0", "3"]
    client.PGPU.set_enabled_VGPU_types(hardware.pgpu, [hardware.quarter, hardware.half])
    assert left(hardware.whole) == "0"


def test_a_used_device_does_not_move(client, toolstack, hardware, group, vm):
    vgpu = client.VGPU.create(vm, group, "0", {}, hardware.quarter)
    other = client.GPU_group.create("others")
    assert refused(client.PGPU.set_GPU_group, hardware.pgpu, other) == ("GPU_GROUP_CONTAINS_VGPU", vgpu)
    run_on(toolstack, vgpu, hardware.pgpu)
    assert refused(client.PGPU.set_GPU_group, hardware.pgpu, other) == ("PGPU_IN_USE_BY_VM", vm)
    assert client.PGPU.get_GPU_group(hardware.pgpu) == group


def test_virtual_gpus_of_one_vm(client, hardware, group, vm):
    vgpu = client.VGPU.create(vm, group)
    assert client.VGPU.get_type(vgpu) == hardware.whole
    assert refused(client.VGPU.create, vm, group, "0") == ("DEVICE_ALREADY_EXISTS", "0")
    assert refused(client.VGPU.create, vm, group, "x") == ("INVALID_DEVICE", "x")
    assert refused(client.VGPU.create, vm, group, "1")[0] == "VGPU_TYPE_NOT_COMPATIBLE"
    assert refused(client.VGPU.create, vm, "OpaqueRef:dead")[:2] == ("HANDLE_INVALID", "GPU_group")
    client.VGPU.destroy(vgpu)
    assert client.VM.get_VGPUs(vm) == []
    client.VM.start(vm, False, False)
    assert refused(client.VGPU.create, vm, group) == ("VM_BAD_POWER_STATE", vm, "halted", "running")


def test_a_processor_in_use_stays(house, client, toolstack, hardware, group, vm):
    vgpu = client.VGPU.create(vm, group)
    client.VM.start(vm, False, False)
    house.caller(superuser=True, pool=True).VGPU.atomic_set_resident_on(vgpu, hardware.pgpu)
    assert client.PGPU.get_resident_VGPUs(hardware.pgpu) == [vgpu]
    run_on(toolstack, vgpu, hardware.pgpu)
    assert refused(client.VGPU.destroy, vgpu)[0] == "OPERATION_NOT_ALLOWED"


def test_the_control_domain_gives_a_card_away_at_the_next_start(client, toolstack, hardware):
    assert client.PCI.get_dom0_access_status(hardware.pci) == "enabled"
    assert client.PCI.disable_dom0_access(hardware.pci) == "disable_on_reboot"
    assert client.PGPU.get_dom0_access(hardware.pgpu) == "disable_on_reboot"
    assert client.PGPU.enable_dom0_access(hardware.pgpu) == "enabled"
    assert client.PGPU.disable_dom0_access(hardware.pgpu) == "disable_on_reboot"
    with toolstack.db.transaction() as transaction:
        plain = transaction.create(PCI, host=toolstack.this_host)
    assert client.PCI.get_dom0_access_status(plain) == "enabled"
    assert refused(client.PCI.disable_dom0_access, plain)[0] == "NOT_IMPLEMENTED"


def test_pci_objects_follow_what_is_built_in(client, toolstack, hardware):
    record = client.PCI.get_record(hardware.pci)
    assert (record["pci_id"], record["vendor_name"], record["device_name"]) == ("0000:03:00.0", "NVIDIA", "T4")
    other = PciDevice("0000:04:00.0", "0200", "Ethernet controller", "8086", "Intel", "1", "NIC")
    with toolstack.db.transaction() as transaction:
        refresh_pcis(transaction, toolstack.this_host, [CARD, other])
    assert len(client.PCI.get_all()) == 2
    assert hardware.pci in client.PCI.get_all()
    with toolstack.db.transaction() as transaction:
        refresh_pcis(transaction, toolstack.this_host, [other])
    assert [client.PCI.get_pci_id(ref) for ref in client.PCI.get_all()] == ["0000:04:00.0"]
