"""vncdotool, a VNC client that automates screens: what it captures, and what it types."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.eventually import eventually
from tests.http_handlers.clients.guest import Guest
from tests.http_handlers.clients.pictures import Picture, differing, read_png

VNCDO = shutil.which("vncdo") or shutil.which("vncdo", path=str(Path(sys.executable).parent))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(VNCDO is None, reason="needs vncdo: the PyPI package vncdotool"),
]


def vncdo(port: int, *commands: str) -> None:
    assert VNCDO is not None
    command = [VNCDO, "--timeout", "60", "--nocursor", "-s", f"127.0.0.1::{port}", *commands]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr


def test_what_it_captures_is_the_screen_before_and_after_typing(guest: Guest, tmp_path: Path) -> None:
    def captured(*before: str) -> Picture:
        vncdo(port, *before, "capture", str(tmp_path / "screen.png"))
        return read_png((tmp_path / "screen.png").read_bytes())

    with guest.tunnel() as port:
        first = captured()
        assert differing(first.below_the_clock(), read_png(guest.snapshot()).below_the_clock()) == 0
        assert first.lines_that_say("typed by vncdotool") == []
        vncdo(port, "type", "echo typed by vncdotool", "key", "enter")
        second = eventually(captured, lambda picture: bool(picture.lines_that_say("typed by vncdotool")))
        assert second.lines_that_say("typed by vncdotool") != []
        assert differing(second.below_the_clock(), read_png(guest.snapshot()).below_the_clock()) == 0


def test_it_recognises_a_picture_that_the_door_took(guest: Guest, tmp_path: Path) -> None:
    """`expect` waits until the screen is like a picture, by a histogram of its own."""
    (tmp_path / "wanted.png").write_bytes(guest.snapshot())
    with guest.tunnel() as port:
        vncdo(port, "expect", str(tmp_path / "wanted.png"), "5")
