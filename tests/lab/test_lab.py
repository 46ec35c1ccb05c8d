"""The tests of real storage, in the lab machine: only where that has been prepared, for preparation needs a network."""

from __future__ import annotations

import pytest

from tests.lab.__main__ import pytest_command
from tests.lab.machine import Lab, boot, found
from tests.lab.packages import NotPrepared

CHOSEN = " or ".join(
    (
        "test_iscsi and (clients or password)",
        "test_nfs and not contract and (clients or directory or sealed)",
        "test_contract and check_snapshot and not attached and not thin and not hba",
        "test_nbd",
        "full_group",
    )
)
SECONDS = 1800.0


@pytest.fixture
def lab() -> Lab:
    try:
        return found()
    except NotPrepared as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
def test_drivers_work_on_real_volumes_targets_and_servers(lab: Lab) -> None:
    result = boot(lab, pytest_command(["-k", CHOSEN]), SECONDS, "uml", lambda line: None)
    assert result.code == 0, result.why
