"""The tests of real storage, in the lab machine: only where that has been prepared, for preparation needs a network."""

from __future__ import annotations

import pytest

from tests.lab.__main__ import pytest_command
from tests.lab.machine import Lab, boot, found
from tests.lab.packages import NotPrepared

INSIDE = "tests/lab/inside"
CHOSEN = (
    "test_iscsi.py::test_targets_and_luns_are_told_as_clients_look_for_them",
    "test_iscsi.py::test_nobody_sees_a_password_in_the_list_of_processes",
    "test_nfs.py::test_exports_are_told_as_clients_look_for_them",
    "test_nfs.py::test_each_sr_has_a_directory_of_its_own_mounted_as_asked",
    "test_smb.py::test_images_on_a_share_are_disks_that_are_only_read",
    "test_smb.py::test_nobody_sees_the_password_in_the_list_of_processes",
    "test_nbd.py",
    "test_lvm.py::test_a_full_group_refuses_and_leaves_nothing_behind",
    "test_contract.py::test_lvm[check_snapshot_while_attached]",
    "test_contract.py::test_nfs[4.2-check_snapshot]",
    "test_contract.py::test_ext[check_snapshot]",
)
"""Something of everything, in less than two minutes of an idle machine; `make lab` runs all."""
SECONDS = 900.0


@pytest.fixture
def lab() -> Lab:
    try:
        return found()
    except NotPrepared as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
def test_drivers_work_on_real_volumes_targets_and_servers(lab: Lab) -> None:
    result = boot(lab, pytest_command([f"{INSIDE}/{test}" for test in CHOSEN]), SECONDS, "uml", lambda line: None)
    assert result.code == 0, result.why
