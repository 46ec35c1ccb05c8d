from xapi.datamodel.classes import VM, Crashdump


def test_a_dump_without_a_disk_is_only_an_object(client, toolstack):
    with toolstack.db.transaction() as transaction:
        vm = transaction.create(VM)
        dump = transaction.create(Crashdump, VM=vm)
    assert client.VM.get_crash_dumps(vm) == [dump]
    client.crashdump.destroy(dump)
    assert client.VM.get_crash_dumps(vm) == []


def test_the_disk_goes_with_the_dump(client, toolstack):
    sr = next(ref for ref, record in client.SR.get_all_records().items() if record["type"] in ("ext", "file"))
    vdi = client.VDI.create({"SR": sr, "virtual_size": str(1 << 20), "name_label": "core", "type": "crashdump"})
    with toolstack.db.transaction() as transaction:
        dump = transaction.create(Crashdump, VM=transaction.create(VM), VDI=vdi)
    client.crashdump.destroy(dump)
    assert vdi not in client.VDI.get_all()
    assert client.crashdump.get_all() == []
