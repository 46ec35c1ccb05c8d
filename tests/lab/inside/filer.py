"""The kernel's own NFS server, with its daemons."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.lab.inside.shell import eventually, sh

NFSD = Path("/proc/fs/nfsd")
DAEMONS = ("rpcbind", "rpc.statd", "rpc.mountd")


def daemon(*argv: str) -> None:
    """Run a program that goes on by itself, its outputs being nobody's."""
    path = shutil.which(argv[0])
    assert path is not None, argv[0]
    subprocess.run([path, *argv[1:]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Filer:
    """An NFS server whose exports are directories below one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("v4recovery", "sm", "sm.bak"):
            (Path("/var/lib/nfs") / name).mkdir(parents=True, exist_ok=True)
        for name in ("etab", "rmtab", "state"):
            (Path("/var/lib/nfs") / name).touch()
        daemon("rpcbind")
        eventually(lambda: "portmapper" in sh("rpcinfo", "-p", "127.0.0.1", check=False))
        daemon("rpc.statd", "--no-notify")
        self.start()
        daemon("rpc.mountd")
        # The machine's own root, a layered file system, cannot be the root that version 4 sees,
        # and what lies below this one, being of the same file system, is only as writable as this.
        self._offer(root, "rw,fsid=0,crossmnt")
        # showmount asks by name; it answers once mountd is known to rpcbind.
        eventually(lambda: "mountd" in sh("rpcinfo", "-p", "127.0.0.1", check=False))

    def start(self) -> None:
        """Serve, as versions 3 and 4; the grace period is over at once: nobody has anything to reclaim."""
        daemon("rpc.nfsd", "--grace-time", "10", "--lease-time", "10", "4")
        (NFSD / "v4_end_grace").write_text("Y\n")

    def stop(self) -> None:
        """Answer nobody any more."""
        daemon("rpc.nfsd", "0")

    def export(self, name: str, options: str = "rw", version: str = "3") -> str:
        """Offer a directory to everybody on this machine, and return its path for clients of a version."""
        path = self.root / name
        path.mkdir(exist_ok=True)
        self._offer(path, options)
        return str(path) if version == "3" else f"/{name}"

    def _offer(self, path: Path, options: str) -> None:
        sh("exportfs", "-o", f"{options},no_root_squash,insecure,no_subtree_check,sync", f"127.0.0.1:{path}")
