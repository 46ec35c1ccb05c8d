"""A target with two LUNs, for an initiator that believes what it is told: on top of the fake LVM."""

from __future__ import annotations

import json
from pathlib import Path

from xapi.system.command import CommandFailed

from .fake import FakeLvm

IQN = "iqn.2026-11.org.example:store"
OTHER_IQN = "iqn.2026-11.org.example:other"
LUNS = {0: "36001405aaaaaaaaaaaaaaaaaaaaaaaaa0", 1: "36001405aaaaaaaaaaaaaaaaaaaaaaaaa1"}


STALE = "node.session.auth.password = stale"


class FakeSan(FakeLvm):
    def __init__(self, root: Path, password: str = "") -> None:
        super().__init__(root)
        self.password = password
        self.given: dict[str, str] = {}
        self.sessions: list[str] = []
        self.silent = False
        """Whether it tells of itself only to who knows the password; else it ends a discovery that shows one."""
        self.records = root / "iscsi"
        self.records.mkdir()
        for kind in ("by-path", "by-id"):
            (self.devices / "disk" / kind).mkdir(parents=True)
        for number in LUNS:
            Path(self.device(f"sd{'bc'[number]}")).write_bytes(bytes(1 << 20))

    def _appear(self) -> None:
        for number, scsi_id in LUNS.items():
            device = self.devices / f"sd{'bc'[number]}"
            (self.devices / "disk" / "by-path" / f"ip-192.0.2.9:3260-iscsi-{IQN}-lun-{number}").symlink_to(device)
            (self.devices / "disk" / "by-id" / f"scsi-{scsi_id}").symlink_to(device)

    @property
    def node(self) -> Path:
        """The initiator's own file on the target."""
        return self.records / "nodes" / IQN / "192.0.2.9,3260,1" / "default"

    def _read(self, record: Path) -> None:
        pairs = (line.split(" = ", 1) for line in record.read_text().splitlines() if " = " in line)
        self.given = {name.rsplit(".", 1)[-1]: value for name, value in pairs}

    def iscsiadm(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        nodes = f"192.0.2.9:3260,1 {IQN}\n[2001:db8::9]:3261,1 {OTHER_IQN}\n"
        portal = self.records / "send_targets" / "192.0.2.9,3260" / "st_config"
        match pairs["-m"], pairs.get("-o"):
            case "discovery", _:
                if self.silent:
                    raise CommandFailed(["iscsiadm"], 24, b"", "authorization failure")
                self._remember()
                return nodes
            case "discoverydb", "new":
                portal.parent.mkdir(parents=True, exist_ok=True)
                portal.write_text("# BEGIN RECORD\ndiscovery.sendtargets.auth.authmethod = None\n# END RECORD\n")
                return ""
            case "discoverydb", _:
                self._read(portal)
                if not self.silent or self.given["authmethod"] != "CHAP" or self.given["password"] != self.password:
                    raise CommandFailed(["iscsiadm"], 24, b"", "authorization failure")
                self._remember()
                return nodes
            case "session", _:
                if not self.sessions:
                    raise CommandFailed(["iscsiadm"], 21, b"", "no active sessions")
                return "".join(f"tcp: [1] 192.0.2.9:3260,1 {iqn} (non-flash)\n" for iqn in self.sessions)
        if "--login" in options:
            self._read(self.node)
            if self.given.get("password", "") != self.password:
                raise CommandFailed(["iscsiadm"], 24, b"", "authorization failure")
            self.sessions.append(pairs["-T"])
            self._appear()
        elif "--logout" in options:
            self.sessions.remove(pairs["-T"])
            for path in (self.devices / "disk").glob("by-*/*"):
                path.unlink()
        return ""

    def _remember(self) -> None:
        self.node.parent.mkdir(parents=True, exist_ok=True)
        lines = ("# BEGIN RECORD 2.1.8", "node.startup = manual", STALE if self.password else "", "# END RECORD")
        self.node.write_text("\n".join(filter(None, lines)) + "\n")
        self.node.chmod(0o644)

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
