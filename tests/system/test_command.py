import os
import signal
import threading

import pytest

from xapi.system import command
from xapi.system.command import CommandFailed, CommandTimeout, OutputTooLong, run


def test_output_and_code_of_a_program() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2"])
    assert (done.code, done.text, done.stderr) == (0, "out\n", "err\n")


def test_failure_names_program_code_and_text() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "echo part; echo bad >&2; exit 7"])
    assert caught.value.code == 7
    assert caught.value.stderr == "bad\n"
    assert caught.value.stdout == b"part\n"
    assert caught.value.argv[0] == "sh"


def test_accepted_codes_are_no_failure() -> None:
    assert run(["sh", "-c", "exit 2"], accept=(0, 2)).code == 2


def test_missing_program_is_a_failure_with_code_127() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["no-such-program-at-all"])
    assert caught.value.code == 127


def test_unrunnable_program_is_a_failure_with_code_126(tmp_path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(CommandFailed) as caught:
        run([str(script)])
    assert caught.value.code == 126


def test_arguments_reach_the_program_as_they_are() -> None:
    awkward = ["$(id)", "a b", "'", "--", "*", "\n"]
    assert run(["printf", "%s|", *awkward]).text == "".join(f"{part}|" for part in awkward)


def test_large_input_and_output_do_not_wait_for_one_another() -> None:
    data = os.urandom(1 << 20)
    assert run(["cat"], input=data).stdout == data


def test_program_that_does_not_read_its_input() -> None:
    assert run(["true"], input=bytes(1 << 20)).code == 0


def test_environment_of_this_process_does_not_leak(monkeypatch) -> None:
    monkeypatch.setenv("SECRET", "value")
    text = run(["env"], environment={"EXTRA": "yes"}).text
    assert "SECRET" not in text
    assert "EXTRA=yes" in text
    assert "PATH=/usr/local/sbin:" in text


def test_too_long_a_run_is_killed_with_its_children() -> None:
    with pytest.raises(CommandTimeout):
        run(["sh", "-c", "sleep 1000 & wait"], timeout=0.05)


def test_a_program_that_cannot_be_killed_is_not_waited_for(monkeypatch, caplog) -> None:
    stuck: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: stuck.append(group))  # as for one that waits for a device
    monkeypatch.setattr(command, "PATIENCE", 0.1)
    with pytest.raises(CommandTimeout):
        run(["sleep", "1000"], timeout=0.1)
    assert "sleep" in caplog.text and "does not end" in caplog.text
    (waiting,) = [thread for thread in threading.enumerate() if thread.name == "sleep that does not end"]
    os.kill(stuck[0], signal.SIGKILL)
    waiting.join()


def test_too_much_output_is_killed() -> None:
    with pytest.raises(OutputTooLong):
        run(["cat", "/dev/zero"], output_limit=100_000)


def test_nul_in_an_argument_is_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        run(["echo", "a\0b"])
