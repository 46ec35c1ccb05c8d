from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.lab import qemu, uml
from tests.lab.__main__ import pytest_command
from tests.lab.machine import CHECKOUT, DISKS, FORM, Lab, Versions, boot, found
from tests.lab.packages import NotPrepared, kernels
from tests.lab.runs import KEPT

PATIENCE = 30.0
VERSIONS = Versions(FORM, "6.1.176", "6.1.0-56-amd64", "tcg")

SCRIPT = """#!/bin/sh
for each; do
  case $each in lab_out=*) out=${each#lab_out=};; esac
done
echo booted
(. "$out/job")
echo $? >"$out/exit"
"""


def test_a_lab_that_was_not_prepared_says_how(tmp_path: Path) -> None:
    with pytest.raises(NotPrepared, match=r"python -m tests\.lab --prepare"):
        found(tmp_path)
    (tmp_path / "stamp.json").write_text(json.dumps({**asdict(VERSIONS), "form": FORM - 1, "other": 1}))
    with pytest.raises(NotPrepared, match=r"python -m tests\.lab --prepare"):
        found(tmp_path)
    (tmp_path / "stamp.json").write_text(json.dumps(asdict(VERSIONS)))
    assert found(tmp_path) == Lab(tmp_path, VERSIONS)


def test_disks_have_the_devices_that_the_command_gives_them(tmp_path: Path) -> None:
    disks = {name: tmp_path / name for name in DISKS}
    argv = uml.command(tmp_path, [Path("/a.ko")], tmp_path, tmp_path / "guest.sh", disks)
    for number, (name, device) in enumerate(uml.places(disks).items()):
        assert f"ubd{number}={disks[name]}" in argv
        assert device == f"/dev/ubd{'abcdef'[number]}"
    assert argv[-2:] == ["--", str(tmp_path / "first.sh")]
    argv = qemu.command(["qemu"], tmp_path, tmp_path, disks, {"hba0": tmp_path / "h,0"})
    assert any(f"file={tmp_path}/h,,0" in each for each in argv)
    for name in disks:
        assert f"virtio-blk-pci,drive={name},serial={name}" in argv
    shares = [each for each in argv if each.startswith("local,")]
    assert [each.endswith("readonly=on") for each in shares] == [True, True, False]


def test_modules_of_both_kernels_get_to_one_place(tmp_path: Path) -> None:
    (tmp_path / "lib" / "modules" / "6.1-amd64").mkdir(parents=True)
    (tmp_path / "usr" / "lib" / "uml" / "modules" / "6.1.1").mkdir(parents=True)
    assert kernels(tmp_path) == ("6.1.1", "6.1-amd64")
    assert sorted(path.name for path in (tmp_path / "lib" / "modules").iterdir()) == ["6.1-amd64", "6.1.1"]


def test_arguments_choose_the_tests_inside() -> None:
    assert pytest_command(["-k", "nfs"])[-3:] == ["tests/lab/inside", "-k", "nfs"]
    assert "tests/lab/inside" not in pytest_command(["tests/lab/inside/test_nfs.py"])


@pytest.fixture
def fake_lab(tmp_path: Path) -> Lab:
    """A machine that is a shell script: it finds the job where a kernel would."""
    program = tmp_path / "root" / "usr" / "bin" / uml.PROGRAM
    program.parent.mkdir(parents=True)
    program.write_text(SCRIPT)
    program.chmod(0o755)
    modules = tmp_path / "root" / "lib" / "modules" / VERSIONS.uml
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("")
    (tmp_path / "stamp.json").write_text(json.dumps(asdict(VERSIONS)))
    return Lab(tmp_path, VERSIONS)


def test_what_the_job_ends_with_is_the_result(fake_lab: Lab) -> None:
    (fake_lab.directory / "out").mkdir()  # as it was when one machine alone could run
    told: list[str] = []
    script = 'case $XAPI_LAB_DISKS in *lvm=/dev/ubdb*) echo "$XAPI_LAB in $PWD";; esac; exit 7'
    result = boot(fake_lab, ["sh", "-c", script], 60.0, "uml", told.append)
    assert result.code == 7
    assert told[0] == "booted"
    assert told[1].startswith("uml in /")
    assert "ended with 7" in result.why
    assert result.directory.resolve() == (fake_lab.directory / "out").resolve()
    assert not (result.directory.parent / "disks").exists()


def test_user_mode_linux_stays_on_one_processor_and_leaves_one_to_others(fake_lab: Lab) -> None:
    told: list[str] = []
    boot(fake_lab, ["grep", "-o", "Cpus_allowed_list:.*", "/proc/self/status"], 60.0, "uml", told.append)
    mine = sorted(os.sched_getaffinity(0))
    allowed = told[1].split()[1]
    assert allowed in [str(each) for each in mine[1:]] if len(mine) > 1 else allowed == str(mine[0])


def test_a_machine_that_hangs_is_killed_with_all_its_processes(fake_lab: Lab) -> None:
    result = boot(fake_lab, ["sh", "-c", "echo still here; cat /dev/zero >/dev/null"], 0.5, "uml", lambda line: None)
    assert result.code is None
    assert "did not come to its end" in result.why


def told(process: subprocess.Popen[str]) -> str:
    """What a lab's process prints after the machine is up."""
    assert process.stdout is not None
    assert process.stdout.readline() == "booted\n"
    return process.stdout.readline().strip()


@pytest.fixture
def start(fake_lab: Lab) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Have `python -m tests.lab` run something in the fake machine, beside this process."""
    argv = [sys.executable, "-m", "tests.lab", "--offline", "--directory", str(fake_lab.directory), "--run"]
    with ExitStack() as stack:

        def run(command: str) -> subprocess.Popen[str]:
            options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": CHECKOUT}
            return stack.enter_context(subprocess.Popen([*argv, command], **options))  # type: ignore[call-overload]

        yield run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_who_kills_the_lab_kills_all_of_its_machine(
    start: Callable[[str], subprocess.Popen[str]], fake_lab: Lab, number: signal.Signals
) -> None:
    process = start("sleep 600 & echo $$ $PPID $!; trap '' TERM INT HUP; wait; sleep 600")
    descriptors = [os.pidfd_open(int(word)) for word in told(process).split()]
    process.send_signal(number)
    ended = [bool(select.select([descriptor], [], [], PATIENCE)[0]) for descriptor in descriptors]
    for descriptor in descriptors:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)
    assert all(ended), "a process of the machine is still there"
    process.wait()
    (run,) = (each.parent for each in fake_lab.directory.glob("runs/*/out"))
    assert (run / "disks").exists() == (number is signal.SIGKILL)
    assert boot(fake_lab, ["true"], 60.0, "uml", lambda line: None).code == 0
    assert not (run / "disks").exists(), "the next run clears away what nobody could"
    assert (run / "out").exists()


def test_a_machine_does_not_wait_for_another(
    start: Callable[[str], subprocess.Popen[str]], fake_lab: Lab, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = start(f"echo here; read answer <{gate}; [ $answer = go ]")
    assert told(first) == "here"
    result = boot(fake_lab, ["true"], 60.0, "uml", lambda line: None)
    assert result.code == 0
    assert len(list(fake_lab.directory.glob("runs/*/disks/store"))) == 1, "the first still has its disks"
    gate.write_text("go\n")
    assert first.wait(PATIENCE) == 0
    assert len(list(fake_lab.directory.glob("runs/*/out/job"))) == 2


def test_only_the_latest_results_are_kept(fake_lab: Lab) -> None:
    for number in range(KEPT + 3):
        (fake_lab.directory / "runs" / f"2020-{number:02}" / "out").mkdir(parents=True)
    result = boot(fake_lab, ["true"], 60.0, "uml", lambda line: None)
    names = sorted(path.name for path in (fake_lab.directory / "runs").glob("20*"))
    assert len(names) == KEPT + 1
    assert names[0] == "2020-03"
    assert result.directory.parent.name == names[-1]
