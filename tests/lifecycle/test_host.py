from __future__ import annotations

import pytest

from tests.lifecycle.rows import House, row
from xapi.datamodel.classes.cluster_host import ClusterHost
from xapi.datamodel.classes.host import Host
from xapi.datamodel.classes.host import HostAllowedOperations as Op
from xapi.datamodel.classes.host_metrics import HostMetrics
from xapi.lifecycle import allowed_operations, why_not


def said(house: House, operation: Op, ignoring: str = "") -> list[str] | None:
    failure = why_not(house.view, house.view.get(Host, "host"), operation, ignoring=ignoring)
    return failure.description if failure is not None else None


@pytest.mark.parametrize(
    ("current", "stopped", "text"),
    [
        (Op.PROVISION, {Op.PROVISION, Op.EVACUATE, Op.REBOOT, Op.SHUTDOWN}, "provision"),
        (Op.VM_MIGRATE, {Op.EVACUATE, Op.REBOOT, Op.SHUTDOWN}, "VM.migrate"),
        (Op.VM_START, set(), "VM.start"),
        (Op.EVACUATE, {Op.PROVISION, Op.VM_RESUME, Op.VM_MIGRATE}, "evacuate"),
        (Op.REBOOT, {Op.PROVISION, Op.VM_RESUME, Op.VM_MIGRATE, Op.SHUTDOWN, Op.APPLY_UPDATES}, "reboot"),
        (Op.APPLY_UPDATES, {Op.REBOOT, Op.SHUTDOWN, Op.ENABLE}, "apply_updates"),
    ],
)
def test_coming_and_going_exclude_one_another(current: Op, stopped: set[Op], text: str) -> None:
    house = House()
    host = house.view.change(house.host, enabled=False, current_operations={"task": current})
    assert set(Op) - set(allowed_operations(house.view, host)) - {Op.POWER_ON} == stopped
    for operation in stopped:
        assert said(house, operation) == ["OTHER_OPERATION_IN_PROGRESS", "host", "host", text, "task"]
        assert said(house, operation, ignoring="task") is None


def test_a_host_is_disabled_before_it_goes_down() -> None:
    house = House()
    for operation in (Op.REBOOT, Op.SHUTDOWN, Op.APPLY_UPDATES):
        assert said(house, operation) == ["HOST_NOT_DISABLED"]
    assert said(house, Op.EVACUATE) is None


def test_only_a_host_that_is_down_is_switched_on_and_only_if_somebody_knows_how() -> None:
    house = House()
    house.view.change(house.host, power_on_mode="wake-on-lan")
    assert said(house, Op.POWER_ON) == ["HOST_IS_LIVE", "host"]
    house.view.change(house.host_metrics, live=False)
    assert said(house, Op.POWER_ON) is None
    house.view.change(house.host, power_on_mode="")
    assert said(house, Op.POWER_ON) == ["HOST_POWER_ON_MODE_DISABLED"]


def test_a_cluster_that_has_lost_a_member_loses_no_other() -> None:
    house = House()
    house.view.change(house.host, enabled=False)
    house.view.change(house.sr, clustered=True)
    house.view.put(row(HostMetrics, "metrics 2", live=False))
    house.view.put(row(Host, "host 2", metrics="metrics 2"))
    assert said(house, Op.REBOOT) is None  # the other host is no member
    member = house.view.put(row(ClusterHost, "member", host="host 2", enabled=True))
    assert said(house, Op.REBOOT) == ["CLUSTERED_SR_DEGRADED", "sr"]
    house.view.change(member, enabled=False)
    assert said(house, Op.REBOOT) is None
