from tests.actions import standing_house
from tests.actions.refusal import make_vm, refused

house, clock, standing = standing_house.house, standing_house.clock, standing_house.standing


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
