from tests.actions.host.test_power import refused
from tests.actions.test_vm_appliance import make_vm


def test_a_group_is_made_and_removed_and_its_vms_stay(client):
    group = client.VM_group.create({"name_label": "spread", "placement": "anti_affinity"})
    assert client.VM_group.get_placement(group) == "anti_affinity"
    assert client.VM_group.get_placement(client.VM_group.create({"name_label": "free"})) == "normal"
    vm = make_vm(client, "a", 0)
    client.VM.set_groups(vm, [group])
    assert client.VM_group.get_VMs(group) == [vm]
    client.VM_group.destroy(group)
    assert client.VM.get_groups(vm) == []
    assert refused(client.VM_group.destroy, group) == ("HANDLE_INVALID", "VM_group", group)
