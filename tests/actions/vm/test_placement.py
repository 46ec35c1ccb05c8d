from __future__ import annotations

from tests.fakes.guests import halted
from xapi.actions.vm.placement import preferred
from xapi.datamodel.classes import VM, Host, VMGroup
from xapi.datamodel.classes.vm_group import PlacementPolicy


def hosts_and_group(toolstack, placement):
    with toolstack.db.transaction() as transaction:
        other = transaction.create(Host, name_label="another host")
        group = transaction.create(VMGroup, name_label="replicas", placement=placement)
    return toolstack.this_host, other, group


def test_the_members_of_an_anti_affinity_group_are_spread(client, toolstack):
    here, other, group = hosts_and_group(toolstack, PlacementPolicy.ANTI_AFFINITY)
    first, second = halted(client, name_label="first"), halted(client, name_label="second")
    with toolstack.db.transaction() as transaction:
        transaction.update(VM, first, groups=(group,), resident_on=here)
        transaction.update(VM, second, groups=(group,), affinity=here)
    row = toolstack.db.get(VM, second)
    assert preferred(toolstack.db, row, [here, other]) == other


def test_the_members_of_a_normal_group_go_where_they_like(client, toolstack):
    here, other, group = hosts_and_group(toolstack, PlacementPolicy.NORMAL)
    first, second = halted(client, name_label="first"), halted(client, name_label="second")
    with toolstack.db.transaction() as transaction:
        transaction.update(VM, first, groups=(group,), resident_on=here)
        transaction.update(VM, second, groups=(group,), affinity=here)
    assert preferred(toolstack.db, toolstack.db.get(VM, second), [other, here]) == here
    with toolstack.db.transaction() as transaction:
        transaction.update(VM, second, affinity=other)
    assert preferred(toolstack.db, toolstack.db.get(VM, second), [here, other]) == other
