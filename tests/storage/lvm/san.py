"""A target with two LUNs, for an initiator that believes what it is told: on top of the fake LVM."""

from __future__ import annotations

import json
from pathlib import Path

from xapi.system.command import CommandFailed

from .fake import FakeLvm

IQN = "iqn.2026-11.org.example:store"
OTHER_IQN = "iqn.2026-11.org.example:other"
LUNS = {0: "36001405aaaaaaaaaaaaaaaaaaaaaaaaa0", 1: "36001405aaaaaaaaaaaaaaaaaaaaaaaaa1"}


class FakeSan(FakeLvm):
    def __init__(self, root: Path, password: str = "") -> None:
        super().__init__(root)
        self.password = password
        self.given: dict[str, str] = {}
        self.sessions: list[str] = []
        for kind in ("by-path", "by-id"):
            (self.devices / "disk" / kind).mkdir(parents=True)
        for number in LUNS:
            Path(self.device(f"sd{'bc'[number]}")).write_bytes(bytes(1 << 20))

    def _appear(self) -> None:
        for number, scsi_id in LUNS.items():
            device = self.devices / f"sd{'bc'[number]}"
            (self.devices / "disk" / "by-path" / f"ip-192.0.2.9:3260-iscsi-{IQN}-lun-{number}").symlink_to(device)
            (self.devices / "disk" / "by-id" / f"scsi-{scsi_id}").symlink_to(device)

    def iscsiadm(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        nodes = f"192.0.2.9:3260,1 {IQN}\n[2001:db8::9]:3261,1 {OTHER_IQN}\n"
        for name, value in zip(options, options[2:], strict=False):
            if name.startswith(("node.session.auth", "discovery.sendtargets.auth")):
                self.given[name.rsplit(".", 1)[-1]] = value
        match pairs["-m"]:
            case "discovery":
                return nodes
            case "discoverydb":
                return nodes if "--discover" in options else ""
            case "session":
                if not self.sessions:
                    raise CommandFailed(["iscsiadm"], 21, b"", "no active sessions")
                return "".join(f"tcp: [1] 192.0.2.9:3260,1 {iqn} (non-flash)\n" for iqn in self.sessions)
        if "--login" in options:
            if self.given.get("password", "") != self.password:
                raise CommandFailed(["iscsiadm"], 24, b"", "authorization failure")
            self.sessions.append(pairs["-T"])
            self._appear()
        elif "--logout" in options:
            self.sessions.remove(pairs["-T"])
            for path in (self.devices / "disk").glob("by-*/*"):
                path.unlink()
        return ""

    def udevadm(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        return ""

    def scsi_id(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        path = Path(options[-1].removeprefix("--device=")).resolve()
        number = "bc".index(path.name[-1])
        return f"ID_SCSI=1\nID_VENDOR=EXAMPLE\nID_SERIAL={LUNS[number]}\nID_SCSI_SERIAL=serial-{number}\n"

    def lsblk(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        rows = [
            {"path": str(self.devices / "sda"), "tran": "sata", "hctl": "0:0:0:0"},
            {"path": str(self.devices / "sdb"), "tran": "fc", "hctl": "3:0:1:0"},
            {"path": str(self.devices / "sdb"), "tran": "fc", "hctl": "4:0:1:0"},
            {"path": str(self.devices / "sdc"), "tran": "fc", "hctl": None},
        ]
        return json.dumps({"blockdevices": rows})

    def appear(self) -> None:
        """Have the disks there without iSCSI, as adapters do."""
        self._appear()
