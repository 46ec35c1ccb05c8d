from dataclasses import replace
from datetime import timedelta

import pytest

from tests.services.startup.installations import FACTS, GIB, MadeUpMachine
from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import PBD, PIF, SR, VM, Console, Host, HostCpu, HostMetrics, Network, Pool, Task, VMMetrics
from xapi.datamodel.classes.task import TaskAllowedOperations, TaskStatusType
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.model import NULL
from xapi.datamodel.types import RefType, SetType
from xapi.dispatch.tasks import Tasks
from xapi.services.startup.host import BOOT_TIME


def objects(home):
    return {
        entity.wire_name: {(row.ref, row.uuid) for row in home.all(entity)}
        for entity in CATALOG.stored()
        if home.all(entity)
    }


def test_the_first_start_makes_the_host_and_what_belongs_to_it(home):
    started = home.start()
    host = home.get(Host, started.this_host)
    assert started.first_start
    assert host.uuid == started.installation.uuid
    assert host.enabled
    assert host.address == "192.0.2.7"
    assert len(host.host_CPUs) == 4
    assert host.control_domain == started.control_domain
    assert home.get(HostMetrics, host.metrics).memory_total == 64 * GIB
    assert home.get(HostMetrics, host.metrics).live
    assert [pool.master for pool in home.all(Pool)] == [host.ref]
    assert set(host.resident_VMs) == {started.control_domain}


def test_a_second_start_finds_everything_again(home):
    first = home.start()
    before = objects(home)
    second = home.restart()
    assert objects(home) == before
    assert not second.first_start
    assert (second.this_host, second.pool, second.control_domain, second.to_plug) == (
        first.this_host,
        first.pool,
        first.control_domain,
        first.to_plug,
    )


def test_every_reference_leads_somewhere(home):
    home.start()
    for entity in CATALOG.stored():
        for row in home.all(entity):
            for field in entity.fields:
                match field.type:
                    case RefType(target):
                        refs = [row[field.index]]
                    case SetType(RefType(target)):
                        refs = row[field.index]
                    case _:
                        continue
                for ref in refs:
                    assert ref == NULL or home.get(target, ref), (entity.wire_name, field.name)


def test_every_value_has_its_declared_type(home):
    home.start()
    kinds = {"string": str, "int": int, "bool": bool, "float": float}
    for entity in CATALOG.stored():
        for row in home.all(entity):
            for field in entity.fields:
                wanted = kinds.get(str(field.type))
                if wanted is not None:
                    assert type(row[field.index]) is wanted, (entity.wire_name, field.name, row[field.index])


def test_what_clients_read_without_a_check_is_there(home):
    started = home.start()
    host, pool = home.get(Host, started.this_host), home.get(Pool, started.pool)
    assert {"iommu"} <= set(host.chipset_info)
    assert host.capabilities == FACTS.capabilities
    assert {"system-manufacturer", "system-product-name", "bios-vendor"} <= set(host.bios_strings)
    assert host.cpu_info["cpu_count"] == "4"
    assert host.logging == {}
    assert host.license_params["expiry"] > "2090"
    assert host.license_params["restrict_zstd_export"] == "false"
    version = host.software_version
    assert {"product_brand", "build_number", "date", "dbv", "xapi", "xen", "network_backend"} <= set(version)
    for name in ("product_version", "platform_version", "xapi_build"):
        assert [part.isdigit() for part in version[name].split(".")] == [True] * 3
    assert host.other_config["boot_time"] == "1704063600."
    assert host.other_config["agent_start_time"] == "1704067200."
    assert (host.API_version_major, host.API_version_minor, host.API_version_vendor) == (2, 23, "XenSource")
    assert {"restrict_zstd_export", "restrict_vtpm"} <= set(pool.restrictions)
    assert {value for name, value in pool.restrictions.items() if name.startswith("restrict_")} == {"false"}
    assert pool.ha_statefiles == ()
    assert pool.cpu_info["vendor"] == "Acme"


def test_the_control_domain_runs_here_and_has_consoles_of_this_server(home):
    home.change(https_port=8443)
    started = home.start()
    vm = home.get(VM, started.control_domain)
    assert vm.is_control_domain
    assert not vm.is_a_template
    assert vm.power_state is VmPowerState.RUNNING
    assert (vm.domid, vm.resident_on, vm.guest_metrics) == (0, started.this_host, NULL)
    assert vm.name_label == "Control domain on host: host-1"
    assert vm.memory_static_max == vm.memory_dynamic_min == 2 * GIB
    assert home.get(VMMetrics, vm.metrics).VCPUs_number == 4
    consoles = [home.get(Console, ref) for ref in vm.consoles]
    assert {str(console.protocol) for console in consoles} == {"rfb", "vt100"}
    for console in consoles:
        assert console.location == f"https://192.0.2.7:8443/console?uuid={console.uuid}"


def test_what_clients_set_outlasts_a_restart(home):
    started = home.start()
    network = home.all(Network)[0].ref
    with home.database.transaction() as transaction:
        row = transaction.get(Host, started.this_host)
        transaction.update(
            Host,
            started.this_host,
            name_label="mine",
            logging={"syslog_destination": "a"},
            other_config={**row.other_config, "folder": "/f"},
        )
        transaction.update(Pool, started.pool, name_label="ours", other_config={"k": "v"}, default_SR=NULL)
        transaction.update(Network, network, name_label="blue")
    home.restart()
    host, pool = home.get(Host, started.this_host), home.get(Pool, started.pool)
    assert (host.name_label, host.logging, host.other_config["folder"]) == ("mine", {"syslog_destination": "a"}, "/f")
    assert (pool.name_label, pool.other_config, pool.default_SR) == ("ours", {"k": "v"}, NULL)
    assert home.get(Network, network).name_label == "blue"
    assert home.get(VM, started.control_domain).name_label == "Control domain on host: mine"


def test_a_disabled_host_is_enabled_when_the_machine_has_restarted_and_not_before(home):
    started = home.start()
    with home.database.transaction() as transaction:
        transaction.update(Host, started.this_host, enabled=False)
    home.restart()
    assert not home.get(Host, started.this_host).enabled
    home.machine = MadeUpMachine(replace(FACTS, boot_time=FACTS.boot_time + timedelta(hours=1)))
    home.restart()
    assert home.get(Host, started.this_host).enabled
    assert home.get(Host, started.this_host).other_config[BOOT_TIME] == "1704067200."


def test_cpus_follow_the_machine(home):
    started = home.start()
    kept = {cpu.number: cpu.ref for cpu in home.all(HostCpu)}
    home.machine = MadeUpMachine(replace(FACTS, cpus=FACTS.cpus[:2]))
    home.restart()
    assert {cpu.number: cpu.ref for cpu in home.all(HostCpu)} == {0: kept[0], 1: kept[1]}
    assert set(home.get(Host, started.this_host).host_CPUs) == {kept[0], kept[1]}


@pytest.mark.parametrize("status", [TaskStatusType.PENDING, TaskStatusType.CANCELLING])
def test_a_task_that_was_under_way_has_failed_after_a_restart(home, status):
    started = home.start()
    tasks = Tasks(home.database, home.clock, started.this_host)
    ref = tasks.make_row("Async.VM.start", "", "OpaqueRef:gone", kept=True)
    with home.database.transaction() as transaction:
        transaction.update(Task, ref, status=status)
    restarted = home.restart()
    task = home.get(Task, ref)
    assert restarted.failed_tasks == 1
    assert task.status is TaskStatusType.FAILURE
    assert task.error_info[0] == "INTERNAL_ERROR"
    assert "restarted" in task.error_info[1]
    assert task.finished == home.clock.now()
    assert task.session == NULL
    assert task.allowed_operations == (TaskAllowedOperations.DESTROY,)


def test_a_task_that_had_ended_stays_as_it_was(home):
    started = home.start()
    tasks = Tasks(home.database, home.clock, started.this_host)
    ref = tasks.make_row("Async.VM.start", "", NULL, kept=True)
    tasks.end(ref, TaskStatusType.SUCCESS, "<value></value>", ())
    before = home.get(Task, ref)
    assert home.restart().failed_tasks == 0
    after = home.get(Task, ref)
    assert (after.status, after.result, after.finished) == (before.status, before.result, before.finished)


def test_operations_under_way_are_never_stored():
    for entity in CATALOG.stored():
        field = entity.field_named.get("current_operations")
        assert field is None or not (entity.persistent and field.persistent), entity.wire_name


def test_a_first_start_that_fails_leaves_nothing_and_can_be_repeated(home):
    good = home.surroundings.drivers
    home.change(drivers=())
    with pytest.raises(ValueError, match="no storage driver 'ext'"):
        home.start()
    assert home.all(Host) == []
    home.change(drivers=good)
    assert home.start().first_start


def test_a_start_makes_few_commits(home):
    home.start()
    writes = []
    store = home.database._store
    original = store.write
    store.write = lambda operations, settings=None: writes.append(1) or original(operations, settings)
    home.clock.advance(1)
    home.start()
    assert len(writes) == 1


def test_a_larger_world_is_made_only_once(home):
    home.start()
    counts = {entity: len(home.all(entity)) for entity in (PBD, PIF, SR, VM, Network, VMMetrics)}
    for _ in range(3):
        home.restart()
    assert {entity: len(home.all(entity)) for entity in counts} == counts
