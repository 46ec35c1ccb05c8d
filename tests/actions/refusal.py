"""What a refused call answers, and the objects that most refusals are about."""

import pytest

from xapi.datamodel.classes import VM
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.failure import Failure


def refused(call, *params):
    """Make a call that must fail; answers the error's code and parameters."""
    with pytest.raises(Failure) as caught:
        call(*params)
    return (caught.value.code, *caught.value.params)


def guest_on(toolstack, host):
    """A VM that counts as running on a host."""
    with toolstack.db.transaction() as transaction:
        return transaction.create(VM, name_label="guest", power_state=VmPowerState.RUNNING, resident_on=host)


def make_vm(client, name, order):
    """A halted VM without disks, from a built-in template."""
    (template,) = client.VM.get_by_name_label("Other install media")
    vm = client.VM.clone(template, name)
    client.VM.set_is_a_template(vm, False)
    client.VM.set_order(vm, str(order))
    return vm
