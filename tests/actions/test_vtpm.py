import pytest

from tests.actions.refusal import make_vm, refused
from xapi.datamodel.classes import Pool


@pytest.fixture
def vm(client):
    return make_vm(client, "box", 0)


def test_a_vm_has_one_tpm_whose_content_is_a_secret(client, vm):
    vtpm = client.VTPM.create(vm, False)
    assert client.VM.get_VTPMs(vm) == [vtpm]
    assert client.VTPM.get_contents(vtpm) == ""
    client.VTPM.set_contents(vtpm, "c3RhdGU=")
    assert client.VTPM.get_contents(vtpm) == "c3RhdGU="
    assert len(client.secret.get_all()) == 1
    assert refused(client.VTPM.set_contents, vtpm, "no base64!")[0] == "INVALID_VALUE"
    assert refused(client.VTPM.create, vm, False) == ("VTPM_MAX_AMOUNT_REACHED", "1")
    client.VTPM.destroy(vtpm)
    assert (client.VM.get_VTPMs(vm), client.secret.get_all()) == ([], [])


def test_a_running_vm_keeps_its_tpm_or_its_lack_of_one(client, vm):
    client.VM.start(vm, False, False)
    assert refused(client.VTPM.create, vm, False) == ("VM_BAD_POWER_STATE", vm, "halted", "running")
    client.VM.hard_shutdown(vm)
    vtpm = client.VTPM.create(vm, True)
    assert client.VTPM.get_is_unique(vtpm) is True
    client.VM.start(vm, False, False)
    assert refused(client.VTPM.destroy, vtpm) == ("VM_BAD_POWER_STATE", vm, "halted", "running")
    assert client.secret.get_all() != []


def test_a_restricted_pool_has_none(client, toolstack, vm):
    (pool,) = client.pool.get_all()
    with toolstack.db.transaction() as transaction:
        transaction.update(Pool, pool, restrictions={"restrict_vtpm": "true"})
    assert refused(client.VTPM.create, vm, False) == ("FEATURE_RESTRICTED", "restrict_vtpm")
    assert refused(client.VTPM.create, "OpaqueRef:dead", False) == ("HANDLE_INVALID", "VM", "OpaqueRef:dead")
