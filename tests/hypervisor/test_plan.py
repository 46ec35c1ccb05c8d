from pathlib import Path

from tests.hypervisor.scenarios import SCENARIOS, VM
from xapi.hypervisor.plan import render, start
from xapi.hypervisor.steps import (
    ActivateVolume,
    AttachVolume,
    ConnectNic,
    CreateDomain,
    OnFailure,
    UnpauseDomain,
    UnplugDisk,
    UnplugNic,
)

GOLDEN = Path(__file__).parent / "plans.txt"


def rendered() -> str:
    return "\n".join(f"# {each.name}\n{render(each.plan)}" for each in SCENARIOS)


def test_plans_are_as_golden() -> None:
    assert rendered() == GOLDEN.read_text(), "if this is meant, run: python -m tests.hypervisor.test_plan"


def test_start_gets_everything_before_it_builds() -> None:
    kinds = [type(step) for step in start(VM).steps]
    build = kinds.index(CreateDomain)
    assert set(kinds[:build]) == {AttachVolume, ActivateVolume, ConnectNic}
    assert kinds[build + 1 :] == [UnpauseDomain]


def test_undoing_an_undo_is_the_step_itself() -> None:
    checked = 0
    for scenario in SCENARIOS:
        for step in scenario.plan.steps:
            reverse = None if isinstance(step, OnFailure | UnplugDisk | UnplugNic) else step.reverse()
            again = reverse.reverse() if reverse is not None else None
            if again is not None:
                assert again == step
                checked += 1
    assert checked > 50


if __name__ == "__main__":
    GOLDEN.write_text(rendered())
