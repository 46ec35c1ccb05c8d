import pytest
from defusedxml.ElementTree import fromstring

from xapi.datamodel.classes import VM, Pool
from xapi.services.startup import templates
from xapi.services.startup.template_catalog import CATALOG_VERSION, GIB, TEMPLATES

each = pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.label)


def rows(home):
    return {vm.reference_label: vm for vm in home.all(VM) if vm.is_default_template}


def test_labels_and_names_are_unique():
    assert len({template.label for template in TEMPLATES}) == len(TEMPLATES)
    assert len({template.name for template in TEMPLATES}) == len(TEMPLATES)


@pytest.mark.parametrize(
    "name",
    [
        "Debian Bookworm 12",
        "Ubuntu Noble Numbat 24.04",
        "Red Hat Enterprise Linux 9",
        "CentOS 7",
        "Rocky Linux 9",
        "AlmaLinux 9",
        "Oracle Linux 8",
        "SUSE Linux Enterprise 15 (64-bit)",
        "Windows 11",
        "Windows Server 2025 (64-bit)",
        "Other install media",
    ],
)
def test_templates_have_the_names_that_people_know(name):
    assert name in {template.name for template in TEMPLATES}


@each
def test_the_provision_xml_says_what_disks_to_make(template):
    keys = templates.other_config(template)
    if not template.disk:
        assert "disks" not in keys
        return
    root = fromstring(keys["disks"])
    assert root.tag == "provision"
    (disk,) = root
    assert disk.tag == "disk"
    assert set(disk.attrib) == {"device", "size", "sr", "bootable", "type"}
    assert (disk.get("device"), disk.get("sr"), disk.get("type")) == ("0", "", "system")
    assert int(disk.get("size")) >= 8 * GIB


@each
def test_the_recommendations_allow_what_the_template_itself_asks_for(template):
    root = fromstring(templates.recommendations(template))
    assert root.tag == "restrictions"
    found = {child.get("field") or child.get("property"): child for child in root}
    assert len(found) == len(root)
    values = templates.conduct(template)
    assert values["memory_static_max"] <= int(found["memory-static-max"].get("max"))
    assert values["VCPUs_max"] <= int(found["vcpus-max"].get("max"))
    assert "vcpus-min" not in found or int(found["vcpus-min"].get("min")) <= values["VCPUs_max"]
    assert found["number-of-vbds"].get("max") == "255"
    firmware = template.boot["firmware"]
    assert found[f"supports-{firmware}"].get("value") == "yes"


@each
def test_memory_is_in_order(template):
    values = templates.conduct(template)
    assert (
        0
        < values["memory_static_min"]
        <= values["memory_dynamic_min"]
        <= values["memory_dynamic_max"]
        <= values["memory_static_max"]
    )


@each
def test_maps_hold_nothing_but_strings(template):
    values = templates.conduct(template)
    for name in ("platform", "HVM_boot_params", "other_config"):
        assert all(isinstance(text, str) for pair in values[name].items() for text in pair)


@each
def test_a_device_model_goes_with_bios_only(template):
    assert "device-model" not in template.platform or template.boot["firmware"] == "bios"


def test_the_first_start_makes_every_template(home):
    home.start()
    made = rows(home)
    assert set(made) == {template.label for template in TEMPLATES}
    for vm in made.values():
        assert vm.is_a_template
        assert not vm.is_control_domain
        assert vm.other_config["default_template"] == "true"
        assert vm.other_config["mac_seed"]
        assert str(vm.domain_type) == "hvm"
        assert (str(vm.actions_after_reboot), str(vm.actions_after_shutdown)) == ("restart", "destroy")
        assert vm.HVM_boot_policy == "BIOS order"
        assert vm.domid == -1
    assert made["windows-11"].platform["vtpm"] == "true"
    assert made["windows-11"].platform["viridian"] == "true"
    assert made["debian-12"].other_config["linux_template"] == "true"
    assert len({vm.other_config["mac_seed"] for vm in made.values()}) == len(made)


def test_a_renamed_template_is_not_made_again(home):
    home.start()
    with home.database.transaction() as transaction:
        transaction.update(VM, rows(home)["debian-12"].ref, name_label="ours", tags=("t",))
    home.restart()
    assert rows(home)["debian-12"].name_label == "ours"
    assert len(rows(home)) == len(TEMPLATES)


def test_a_template_of_an_older_catalogue_is_renewed_and_keeps_what_people_added(home):
    home.start()
    old = rows(home)["rhel-9"]
    with home.database.transaction() as transaction:
        transaction.update(
            VM,
            old.ref,
            user_version=CATALOG_VERSION - 1,
            memory_static_max=1,
            name_label="ours",
            other_config={**old.other_config, "folder": "/f", "disks": "<old/>"},
        )
    home.restart()
    new = rows(home)["rhel-9"]
    assert (new.ref, new.user_version, new.memory_static_max) == (old.ref, CATALOG_VERSION, old.memory_static_max)
    assert new.name_label == "ours"
    assert new.other_config == {**old.other_config, "folder": "/f"}


def test_pools_do_not_share_the_uuids_of_templates(home):
    home.start()
    pool = home.all(Pool)[0]
    first = {vm.uuid for vm in rows(home).values()}
    with home.database.transaction() as transaction:
        for vm in rows(home).values():
            transaction.delete(VM, vm.ref)
        transaction.update(Pool, pool.ref, uuid="11111111-2222-3333-4444-555555555555")
    home.restart()
    assert first.isdisjoint({vm.uuid for vm in rows(home).values()})
