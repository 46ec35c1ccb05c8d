from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.lab import qemu, uml
from tests.lab.__main__ import pytest_command
from tests.lab.machine import DISKS, FORM, Lab, Versions, boot, found
from tests.lab.packages import NotPrepared, kernels

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
    return Lab(tmp_path, VERSIONS)


def test_what_the_job_ends_with_is_the_result(fake_lab: Lab) -> None:
    told: list[str] = []
    script = 'case $XAPI_LAB_DISKS in *lvm=/dev/ubdb*) echo "$XAPI_LAB in $PWD";; esac; exit 7'
    result = boot(fake_lab, ["sh", "-c", script], 60.0, "uml", told.append)
    assert result.code == 7
    assert told[0] == "booted"
    assert told[1].startswith("uml in /")
    assert "ended with 7" in result.why
    assert not list(fake_lab.directory.glob("disks-*"))


def test_a_machine_that_hangs_is_killed_with_all_its_processes(fake_lab: Lab) -> None:
    result = boot(fake_lab, ["sh", "-c", "echo still here; cat /dev/zero >/dev/null"], 0.5, "uml", lambda line: None)
    assert result.code is None
    assert "did not come to its end" in result.why
