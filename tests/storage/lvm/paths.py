"""A target with two portals, and multipath over what they bring: on top of the fake target and the fake LVM."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from xapi.system.command import CommandFailed, Completed

from .san import IQN, LUNS, FakeSan

PORTALS = ("192.0.2.9:3260", "192.0.2.10:3260")
NODES = "".join(f"{portal},1 {IQN}\n" for portal in PORTALS)


class FakePaths(FakeSan):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (self.devices / "mapper").mkdir()
        self.begun: dict[str, dict[str, str]] = {}
        """The portals that there are sessions with, and how the initiator was set up for each."""
        self.told: dict[str, dict[str, str]] = {}
        self.dead: set[str] = set()
        self.slow: set[str] = set()
        self.wwids: set[str] = set()
        self.maps: set[str] = set()
        self.daemon = True
        self.excluded: set[str] = set()
        self.shy: set[str] = set()
        """The LUNs whose maps do not appear."""
        self.in_use: set[str] = set()
        self.alias: dict[str, str] = {}
        self.filtered = False
        """Whether LVM does not see maps."""

    def __call__(self, argv: Sequence[str]) -> Completed:
        return super().__call__(argv[3:] if argv[0] == "timeout" else argv)

    def left(self) -> set[str]:
        """What nobody has tidied up."""
        return {*self.begun, *self.maps, *self.wwids}

    def _disk(self, portal: str, number: int) -> Path:
        return self.devices / f"sd{'bcde'[2 * PORTALS.index(portal) + number]}"

    def _link(self) -> None:
        for path in (self.devices / "disk").glob("by-*/*"):
            path.unlink()
        for portal in self.begun:
            for number, scsi_id in LUNS.items():
                device = self._disk(portal, number)
                if not device.exists():
                    device.write_bytes(bytes(1 << 20))
                by_id = self.devices / "disk" / "by-id" / f"scsi-{scsi_id}"
                by_id.unlink(missing_ok=True)
                by_id.symlink_to(device)
                (self.devices / "disk" / "by-path" / f"ip-{portal}-iscsi-{IQN}-lun-{number}").symlink_to(device)
        for scsi_id in self.maps & self.alias.keys():
            uuid = self.devices / "disk" / "by-id" / f"dm-uuid-mpath-{scsi_id}"
            uuid.symlink_to(self.devices / "mapper" / self.alias[scsi_id])

    def appear(self) -> None:
        """Have every path there without iSCSI, as adapters do."""
        self.begun = {portal: {} for portal in PORTALS}
        self._link()
        self.begun = {}

    def pvs(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        report = json.loads(super().pvs(pairs, options, names))
        for row in report["report"][0]["pv"]:
            row["pv_name"] = self._seen_by_lvm(Path(row["pv_name"]))
        return json.dumps(report)

    def _seen_by_lvm(self, device: Path) -> str:
        """The name by which LVM knows a LUN now, of which a group was made by this or another name."""
        names = {self.alias.get(scsi_id, scsi_id): scsi_id for scsi_id in LUNS.values()}
        if device.parent.name == "mapper":
            scsi_id = names[device.name]
        else:
            scsi_id = LUNS["bcde".index(device.name[-1]) % 2]
        if scsi_id in self.maps and not self.filtered:
            return str(self.devices / "mapper" / self.alias.get(scsi_id, scsi_id))
        return str((self.devices / "disk" / "by-id" / f"scsi-{scsi_id}").resolve())

    def scsi_id(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        number = "bcde".index(Path(options[-1].removeprefix("--device=")).resolve().name[-1]) % 2
        return f"ID_VENDOR=EXAMPLE\nID_SERIAL={LUNS[number]}\nID_SCSI_SERIAL=serial-{number}\n"

    def iscsiadm(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        portal = pairs.get("-p", "")
        match pairs["-m"], pairs.get("-o"):
            case "discoverydb", "new":
                record = self.records / "send_targets" / portal.replace(":", ",") / "st_config"
                record.parent.mkdir(parents=True, exist_ok=True)
                record.write_text("# BEGIN RECORD\n# END RECORD\n")
                return ""
            case "discovery" | "discoverydb", _:
                if portal in self.slow:
                    raise CommandFailed(["timeout"], 124, b"", "")
                self._answers(portal)
                return NODES
            case "session", _:
                if not self.begun:
                    raise CommandFailed(["iscsiadm"], 21, b"", "no active sessions")
                return "".join(f"tcp: [1] {each},1 {IQN} (non-flash)\n" for each in self.begun)
            case "node", "update":
                self.told.setdefault(portal, {})[pairs["-n"].rpartition(".")[2]] = pairs["-v"]
                return ""
        if "--login" in options:
            self._answers(portal)
            if self.password:
                raise CommandFailed(["iscsiadm"], 24, b"", "authorization failure")
            self.begun[portal] = self.told.pop(portal, {})
        elif "--logout" in options:
            if portal not in self.begun:
                raise CommandFailed(["iscsiadm"], 21, b"", "no such session")
            del self.begun[portal]
        else:
            return NODES
        self._link()
        return ""

    def _answers(self, portal: str) -> None:
        if portal in self.dead:
            raise CommandFailed(["iscsiadm"], 8, b"", "connection timed out")

    def multipath(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        option, wwid = options
        place = self.devices / "mapper" / self.alias.get(wwid, wwid)
        match option:
            case "-a" if wwid in self.excluded:
                raise CommandFailed(["multipath"], 1, b"", "blacklisted")
            case "-a":
                self.wwids.add(wwid)
            case "-w":
                self.wwids.discard(wwid)
            case "-v1" if wwid not in self.shy:
                assert wwid in self.wwids or wwid in self.maps
                place.write_bytes(bytes(1 << 20))
                self.maps.add(wwid)
            case "-f":  # by its name only
                place = self.devices / "mapper" / wwid
                named = {self.alias.get(scsi_id, scsi_id): scsi_id for scsi_id in self.maps}[wwid]
                if named in self.in_use:
                    raise CommandFailed(["multipath"], 1, b"", "map in use")
                assert named not in self.wwids, "the daemon makes it anew"
                place.unlink()
                self.maps.remove(named)
        self._link_if_there()
        return ""

    def _link_if_there(self) -> None:
        if self.begun:
            self._link()

    def multipathd(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        if not self.daemon:
            raise CommandFailed(["multipathd"], 1, b"", "connection refused")
        if options == ["show", "daemon"]:
            return "pid 123 idle\n"
        if options[:3] == ["show", "maps", "raw"]:
            return "".join(f"{scsi_id} {self.alias.get(scsi_id, scsi_id)}\n" for scsi_id in self.maps)
        if options[:3] == ["show", "paths", "raw"]:
            rows = [
                f"{scsi_id} {'failed faulty' if portal in self.dead else 'active ready'}"
                for portal in self.begun
                for scsi_id in LUNS.values()
                if scsi_id in self.maps
            ]
            return "\n".join([*rows, "some-other-disk undef ready"]) + "\n"
        return "ok\n"
