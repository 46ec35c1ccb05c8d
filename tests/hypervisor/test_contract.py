from pathlib import Path

import pytest

from tests.hypervisor.bench import SimulatorBench
from xapi.hypervisor.contract import CHECKS, ContractCheck


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("boot_seconds", [0.0, 7.0])
def test_simulator_keeps_the_contract(check: ContractCheck, boot_seconds: float, tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, boot_seconds=boot_seconds, shutdown_seconds=boot_seconds)
    assert check.needs <= bench.driver.features
    check.perform(bench)
    bench.driver.close()
