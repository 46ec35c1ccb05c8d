from __future__ import annotations

import logging
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.system.log import AUDIT, BoundedFile, Logs, OneLine, secret, start_logging

SESSION = "OpaqueRef:0f6d4a3c-1111-2222-3333-444455556666"


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    root = logging.getLogger()
    level = root.level
    started = start_logging("info", tmp_path / "xapi.log", tmp_path / "audit.log")
    yield started
    started.close()
    root.setLevel(level)


def rendered(message: str, *arguments: object) -> str:
    return OneLine().format(logging.LogRecord("x", logging.INFO, "f", 1, message, arguments, None))


def test_a_line_has_time_level_thread_and_logger(logs, tmp_path):
    logging.getLogger("xapi.test").warning("hello %s", "there")
    line = (tmp_path / "xapi.log").read_text()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING \[MainThread\] xapi\.test: hello there\n", line
    )


def test_levels_are_kept(logs, tmp_path):
    logging.getLogger("xapi.test").debug("unseen")
    assert (tmp_path / "xapi.log").read_text() == ""


def test_a_traceback_stays_in_its_line(logs, tmp_path):
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("xapi.test").exception("it failed")
    (line,) = (tmp_path / "xapi.log").read_text().splitlines()
    assert "it failed | Traceback" in line
    assert line.endswith("| ValueError: first | second")


@given(st.text())
def test_nobody_can_forge_a_line(text):
    line = rendered("name %s", text)
    assert len(line.splitlines()) == 1
    assert line.isprintable() or not re.search("[\x00-\x1f\x7f-\x9f]", line)


def test_secrets_are_not_shown():
    line = rendered("session %s, password %s, null %s", secret(SESSION), secret("hunter2"), secret("OpaqueRef:NULL"))
    assert line.endswith("session OpaqueRef:0f6d4a3c…, password (secret), null OpaqueRef:NULL")
    assert f"{secret('hunter2')!r:>10}" == "  (secret)"
    assert f"{secret('hunter2')}" == f"{secret('hunter2'):s}" == "(secret)"


@pytest.mark.parametrize("value", ["OpaqueRef:", "OpaqueRef:abc", "OpaqueRef:hunter2!hunter2!", "", b"hunter2", 5])
def test_what_only_looks_like_a_session_is_a_secret_wholly(value):
    assert str(secret(value)) == "(secret)"


def test_a_secret_does_not_keep_its_value():
    assert not any("hunter2" in str(getattr(secret("hunter2"), slot)) for slot in ("_shown",))
    assert not hasattr(secret("hunter2"), "__dict__")


def test_passwords_in_urls_are_left_out():
    assert rendered("at %s", "postgresql+psycopg://xapi:hunter2@db/xapi").endswith(
        "postgresql+psycopg://xapi:***@db/xapi"
    )


def test_reopen_goes_on_in_a_new_file(logs, tmp_path):
    log = logging.getLogger("xapi.test")
    log.info("one")
    (tmp_path / "xapi.log").rename(tmp_path / "xapi.log.1")
    log.info("two")
    logs.reopen()
    log.info("three")
    log.info("four")
    assert re.findall(r": (\w+)$", (tmp_path / "xapi.log.1").read_text(), re.MULTILINE) == ["one", "two"]
    assert re.findall(r": (\w+)$", (tmp_path / "xapi.log").read_text(), re.MULTILINE) == ["three", "four"]


def test_audit_has_a_private_file_of_its_own(logs, tmp_path):
    logging.getLogger(AUDIT).info("VM.start by root")
    assert "VM.start by root" in (tmp_path / "audit.log").read_text()
    assert (tmp_path / "xapi.log").read_text() == ""
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600


def test_audit_is_bounded(tmp_path):
    handler = BoundedFile(tmp_path / "audit.log", size=1000, files=3)
    handler.setFormatter(OneLine())
    for number in range(200):
        handler.handle(logging.LogRecord("audit", logging.INFO, "f", 1, f"call {number}", (), None))
    handler.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3"]
    assert all(file.stat().st_size <= 1000 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert "call 199" in files[0].read_text()


def test_undecodable_names_are_written_all_the_same(logs, tmp_path):
    logging.getLogger("xapi.test").info("file %s", b"\xff".decode(errors="surrogateescape"))
    assert "file \\udcff" in (tmp_path / "xapi.log").read_text()


def test_standard_error_without_a_file(tmp_path, capsys):
    started = start_logging("error", None, tmp_path / "audit.log")
    try:
        logging.getLogger("xapi.test").error("loud")
        started.reopen()
        assert capsys.readouterr().err.endswith("xapi.test: loud\n")
    finally:
        started.close()
        logging.getLogger().setLevel(logging.WARNING)


def test_a_place_without_a_directory_is_an_error_and_leaves_no_handler(tmp_path):
    before = list(logging.getLogger().handlers)
    with pytest.raises(FileNotFoundError):
        start_logging("info", tmp_path / "xapi.log", tmp_path / "nowhere" / "audit.log")
    assert logging.getLogger().handlers == before
