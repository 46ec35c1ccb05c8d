"""A kernel in a directory that looks like /sys/class/net, which takes the commands of the drivers."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from xapi.network.steps import Command
from xapi.system.command import CommandFailed


class FakeKernel:
    """Interfaces come and go as the commands say; a command that contains one of `failing` fails."""

    def __init__(self, system: Path, cards: Collection[str]) -> None:
        self.system = system
        self.commands: list[Command] = []
        self.texts: list[str] = []
        self.failing: set[str] = set()
        for number, card in enumerate(cards):
            (system / card / "device").mkdir(parents=True)
            facts = {"address": f"02:00:00:00:00:{number:02x}", "mtu": "1500", "carrier": "1", "speed": "1000"}
            for name, value in {**facts, "duplex": "full"}.items():
                (system / card / name).write_text(f"{value}\n")

    def __call__(self, command: Command, text: str = "") -> str:
        self.commands.append(command)
        self.texts.append(text)
        if self.failing & set(command):
            raise CommandFailed(command, 1, b"", "no")
        match command:
            case ("ip", "link", "add", *words):
                self._add(words)
            case ("ip", "link", "delete", "dev", name):
                self._delete(name)
            case ("ip", "link", "set", "dev", name, *words):
                self._set(command, name, words)
            case ("ip", "-json", *_):
                return "[]"
            case ("ovs-vsctl", _, *words):
                self._vsctl(words)
        return ""

    def _add(self, words: list[str]) -> None:
        name = words[words.index("name") + 1]
        if (self.system / name).exists():
            raise CommandFailed(("ip",), 2, b"", "File exists")
        self._make(name, bridge="bridge" in words)
        if "peer" in words:
            self._make(words[words.index("peer") + 2])

    def _make(self, name: str, *, bridge: bool = False) -> None:
        (self.system / name).mkdir(exist_ok=True)
        (self.system / name / "mtu").write_text("1500\n")
        if bridge:
            for part in ("bridge", "brif"):
                (self.system / name / part).mkdir(exist_ok=True)

    def _delete(self, name: str) -> None:
        shutil.rmtree(self.system / name)
        for path in self.system.glob(f"*/brif/{name}"):
            path.rmdir()

    def _set(self, command: Command, name: str, words: list[str]) -> None:
        if not (self.system / name).exists():
            raise CommandFailed(command, 1, b"", "Cannot find device")
        if "mtu" in words:
            (self.system / name / "mtu").write_text(words[words.index("mtu") + 1])
        if "master" in words or "nomaster" in words:
            for path in self.system.glob(f"*/brif/{name}"):
                path.rmdir()
        if "master" in words:
            above = self.system / words[words.index("master") + 1]
            if (above / "brif").exists():
                (above / "brif" / name).mkdir()

    def _vsctl(self, words: list[str]) -> None:
        clauses: list[list[str]] = []
        for word in words:
            if word == "--":
                clauses.append([])
            elif not word.startswith("--"):
                clauses[-1].append(word)
        for clause in clauses:
            match clause:
                case ["add-br", name, *_] | ["add-port", _, name] | ["add-bond", _, name, *_]:
                    self._make(name)
                case ["del-br", name] | ["del-port", name] | ["del-port", _, name]:
                    if (self.system / name).exists() and not (self.system / name / "device").exists():
                        shutil.rmtree(self.system / name)
                case ["set", "interface", name, setting] if setting.startswith("mtu_request="):
                    (self.system / name / "mtu").write_text(setting.partition("=")[2])
