"""A toolstack that kills itself while it moves a disk: `python -m tests.actions.killed_move ROOT DISK SR STEP`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests.actions.lvm_house import lvm_of_files
from tests.fakes.house import House
from xapi.actions.attach_disks import AttachDisks
from xapi.actions.vdi import moving
from xapi.actions.vdi.moving import _Move
from xapi.storage.images.repository import ImagesSr

STEPS = (
    "begin",
    "made",
    "frozen",
    "target",
    "first round",
    "rounds",
    "last round",
    "path noted",
    "over",
    "followed",
    "committed",
    "left",
)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(function: Callable[..., Any], count: int = 1) -> Callable[..., Any]:
    left = [count]

    def run(*params: Any, **named: Any) -> Any:
        answer = function(*params, **named)
        left[0] -= 1
        if not left[0]:
            die()
        return answer

    return run


def plan_death(step: str) -> None:
    owner, name, count = {
        "begin": (_Move, "_drives", 1),
        "target": (moving, "room_for", 1),
        "made": (ImagesSr, "create", 1),
        "frozen": (ImagesSr, "snapshot", 2),
        "first round": (_Move, "_bring", 1),
        "rounds": (_Move, "_copy_rounds", 1),
        "last round": (_Move, "_bring", 3),
        "path noted": (_Move, "_note_path", 1),
        "over": (AttachDisks, "_replace", 1),
        "followed": (moving, "follow", 1),
        "committed": (AttachDisks, "_let_go", 1),
        "left": (_Move, "run", 1),
    }[step]
    if step in ("followed", "committed"):  # in the transaction, which comes to nothing; and right after it
        setattr(owner, name, die)
    else:
        setattr(owner, name, then_die(getattr(owner, name), count))


def main(root: str, disk: str, sr: str, step: str) -> None:
    plan_death(step)
    with lvm_of_files(Path(root)) if (Path(root) / "lvm").exists() else nullcontext():
        house = House(Path(root) / "state", None, ("--config", str(Path(root) / "xapi.toml")))
        house.client.VDI.pool_migrate(disk, sr, {})


if __name__ == "__main__":
    main(*sys.argv[1:])
