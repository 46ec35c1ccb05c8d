"""The page docs/storage.md is true: its calls are made, and what it prints is compared."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.actions.storage_house import StorageHouse, disk_record, storage_house
from xapi.cli.vhd_util import main
from xapi.services.coalescer import Coalescer

PAGE = Path(__file__).parents[3] / "docs" / "storage.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


class Reader:
    """Follows the page, and knows things by the names that it gives them."""

    def __init__(self, house: StorageHouse) -> None:
        self.house = house
        self.sr = house.sr()
        self.directory = Path(house.repositories.get(house.db, self.sr).path)  # type: ignore[attr-defined]
        self.names: dict[str, str] = {}
        self.scope: dict[str, Any] = {
            "session": SimpleNamespace(xenapi=house.client),
            "record": disk_record(self.sr),
            "sr": self.sr,
            "guest_writes": self.guest_writes,
            "collected": Coalescer(house.house.toolstack).look_after,
        }

    def guest_writes(self, disk: str, at: int, length: int) -> None:
        self.house.write(disk, at, b"x" * length)

    def run(self, code: str) -> None:
        exec(code, self.scope)  # the page is ours
        for name, value in self.scope.items():
            if isinstance(value, str) and value.startswith("OpaqueRef:") and name != "sr":
                self.names[self.known_uuid(value)] = name
        for path in sorted(self.directory.glob("*.vhd"), key=lambda one: one.stat().st_ino):
            if path.stem not in self.names:
                self.names[path.stem] = f"base-{sum(name.startswith('base-') for name in self.names.values()) + 1}"

    def known_uuid(self, ref: str) -> str:
        uuid = self.house.client.VDI.get_all_records().get(ref, {}).get("uuid", "")
        assert isinstance(uuid, str)
        return uuid

    def named(self, text: str) -> str:
        return UUID.sub(lambda match: self.names[match[0]], text)


def lines(text: str) -> list[str]:
    """Siblings come in the order of their UUIDs, which is anybody's."""
    return sorted(text.splitlines())


def test_the_page_is_true(
    house: StorageHouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = Reader(house)
    monkeypatch.chdir(reader.directory)
    shown = 0
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind == "python":
            reader.run(text)
            continue
        assert kind == "console"
        command, _, expected = text.partition("\n")
        capsys.readouterr()
        program, *arguments = shlex.split(command.removeprefix("$ "))
        assert program == "vhd-util"
        assert main(arguments) == 0
        printed = reader.named(capsys.readouterr().out)
        assert lines(printed) == lines(expected)
        shown += 1
    assert shown == 8
    house.check_rows_follow_storage(reader.sr)
