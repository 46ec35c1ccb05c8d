from __future__ import annotations

from tests.lifecycle.rows import House, row
from xapi.datamodel.classes.cluster import Cluster
from xapi.datamodel.classes.host import Host
from xapi.datamodel.classes.pbd import PBD
from xapi.datamodel.classes.pool import Pool
from xapi.datamodel.classes.sr import SR
from xapi.datamodel.classes.vbd import VBD
from xapi.datamodel.classes.vdi import VDI
from xapi.datamodel.classes.vgpu import VGPU
from xapi.datamodel.classes.vif import VIF
from xapi.datamodel.classes.vm import VM
from xapi.datamodel.classes.vm_appliance import VMAppliance
from xapi.datamodel.classes.vusb import VUSB
from xapi.lifecycle import dependants
from xapi.lifecycle.dependants import FEW


def test_a_vm_decides_for_its_devices_and_its_appliance() -> None:
    house = House(appliance="appliance", VUSBs=("vusb",))
    found = set(dependants(house.view, house.vm))
    assert found == {(VBD, "disk"), (VBD, "cd"), (VIF, "vif"), (VUSB, "vusb"), (VMAppliance, "appliance")}


def test_a_vbd_decides_for_its_disk_and_for_those_who_want_it_too() -> None:
    house = House()
    house.view.change(house.vdi, VBDs=("disk", "second"))
    assert set(dependants(house.view, house.disk)) == {(VDI, "vdi"), (VBD, "second")}
    assert set(dependants(house.view, house.cd)) == set()


def test_an_iso_in_many_drives_costs_nothing() -> None:
    house = House()
    many = tuple(f"drive {n}" for n in range(FEW + 1))
    vdi = house.view.change(house.vdi, VBDs=many)
    assert set(dependants(house.view, house.disk)) == {(VDI, "vdi")}
    assert set(dependants(house.view, vdi)) == set()
    house.view.change(house.vdi, VBDs=("disk", "second"), read_only=True)
    assert set(dependants(house.view, house.disk)) == {(VDI, "vdi")}


def test_a_disk_decides_for_its_drives_and_their_vms() -> None:
    house = House()
    assert set(dependants(house.view, house.vdi)) == {(VBD, "disk"), (VM, "vm")}


def test_a_pbd_decides_for_the_disks_only_when_the_sr_lives_or_dies() -> None:
    house = House()
    assert set(dependants(house.view, house.pbd)) == {(SR, "sr"), (VDI, "vdi")}
    house.view.put(row(PBD, "pbd 2", SR="sr", currently_attached=True))
    house.view.change(house.sr, PBDs=("pbd", "pbd 2"))
    assert set(dependants(house.view, house.pbd)) == {(SR, "sr")}


def test_the_rest() -> None:
    house = House()
    assert list(dependants(house.view, house.host_metrics)) == [(Host, "host")]
    assert list(dependants(house.view, row(VGPU, "vgpu", VM="vm"))) == [(VM, "vm")]
    assert list(dependants(house.view, row(VUSB, "vusb", VM="vm"))) == [(VM, "vm")]
    assert list(dependants(house.view, row(Cluster, "cluster"))) == [(Pool, "pool")]
    assert list(dependants(house.view, house.pool)) == []


def test_clustered_storage_makes_hosts_depend_on_one_another() -> None:
    house = House()
    house.view.put(row(Host, "host 2"))
    house.view.change(house.sr, clustered=True)
    assert set(dependants(house.view, house.host_metrics)) == {(Host, "host"), (Host, "host 2")}
