"""The SR type `nfs`."""

from __future__ import annotations

import os
import uuid as uuids
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from xapi.storage.device_config import absolute_path, flag, plain_text, server_name
from xapi.storage.errors import InvalidConfiguration, SrExists, SrInUse, SrUnavailable, StorageFailure
from xapi.storage.facts import ProbeResult, SrStat
from xapi.storage.failures import translated
from xapi.storage.file.directory import Directory, is_uuid
from xapi.storage.file.driver import FileDriver, prepare_directory
from xapi.storage.file.repository import FileSr
from xapi.storage.file.settings import load_settings
from xapi.storage.interface import DataPaths
from xapi.storage.mounts import Mounter, SystemMounter
from xapi.storage.nfs.server import NfsMount, Runner, exports_document, list_exports, run_program
from xapi.storage.probe_text import sr_list_of
from xapi.system.command import CommandFailed

SERVER_MISSING = 102
PATH_MISSING = 101
PATH_BAD = 103
MOUNT_FAILED = 73
UNMOUNT_FAILED = 74
CREATE_FAILED = 88


class NfsDriver:
    """SRs on NFS servers, each in a directory of its own below the server's path, mounted below `mounts`.

    With sm_config `nosubdir` true, the server's path itself is the SR's directory.
    """

    type = replace(
        FileDriver.type,
        name="nfs",
        label="NFS VHD",
        description="Disks as VHD files on an NFS server",
        configuration={
            "server": "host name or address of the NFS server (required)",
            "serverpath": "path on the server (required)",
            "nfsversion": "version of the protocol: 3 or 4 (optional)",
            "options": "further mount options (optional)",
        },
        driver_filename="NFSSR",
        is_shared=True,
    )

    def __init__(self, mounts: str, mounter: Mounter | None = None, runner: Runner = run_program) -> None:
        self._mounts = mounts
        self._mounter = mounter or SystemMounter()
        self._runner = runner

    def _server(self, device_config: Mapping[str, str]) -> str:
        return server_name(plain_text(device_config, "server", SERVER_MISSING), "server")

    def _path(self, device_config: Mapping[str, str]) -> str:
        return absolute_path(device_config, "serverpath", PATH_MISSING, PATH_BAD)

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Return the SRs below a path, as XML; without a path, error 101 with the server's exports as its detail."""
        server = self._server(device_config)
        if not device_config.get("serverpath"):
            exports = exports_document(server, list_exports(server, self._runner))
            raise InvalidConfiguration("serverpath", "is required", PATH_MISSING, exports)
        return sr_list_of(self.probe_ext(device_config, sm_config))

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Return a server's exports, or the SRs below a path and that one can be made there."""
        server = self._server(device_config)
        if not device_config.get("serverpath"):
            return tuple(
                ProbeResult({**device_config, "serverpath": export.path}, True, extra_info={"access": export.access})
                for export in list_exports(server, self._runner)
            )
        path = self._path(device_config)
        with self._mounted(NfsMount.of(server, path, device_config), "probe") as target, translated("probe"):
            total, free = Directory(target, "").space()
            uuids_found = sorted(
                name for name in os.listdir(target) if is_uuid(name) and os.path.isdir(os.path.join(target, name))
            )
            found = [self._stat(os.path.join(target, uuid), uuid, total, free) for uuid in uuids_found]
        configuration = dict(device_config)
        return (*(ProbeResult(configuration, True, sr) for sr in found), ProbeResult(configuration, True))

    def _stat(self, path: str, uuid: str, total: int, free: int) -> SrStat:
        name, description = load_settings(Directory(path, uuid))
        return SrStat(total, free, uuid, name, description)

    @contextmanager
    def _mounted(self, mount: NfsMount, purpose: str) -> Iterator[str]:
        """Mount a server's directory for a moment."""
        target = os.path.join(self._mounts, f"{purpose}-{uuids.uuid4()}")
        self._mount(mount, target)
        try:
            yield target
        finally:
            self._unmount(target)

    def _mount(self, mount: NfsMount, target: str) -> None:
        kind = "nfs4" if mount.version.startswith("4") else "nfs"
        try:
            self._mounter.mount(kind, mount.source, target, mount.mount_options)
        except CommandFailed as error:
            raise SrUnavailable(f"{mount.source} cannot be mounted: {error}", MOUNT_FAILED) from error

    def _unmount(self, target: str) -> None:
        try:
            self._mounter.unmount(target)
        except CommandFailed as error:
            raise SrInUse(f"{target} cannot be unmounted: {error}", UNMOUNT_FAILED) from error

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Make the SR's directory on the server."""
        if not is_uuid(sr_uuid):
            raise StorageFailure(f"{sr_uuid!r} is not a UUID", 1)
        server = self._server(device_config)
        if not device_config.get("serverpath"):
            self.probe(device_config, sm_config)
        with self._mounted(NfsMount.of(server, self._path(device_config), device_config), "create") as target:
            if flag(sm_config, "nosubdir"):
                Directory(target, sr_uuid).check()
                return sm_config
            try:
                prepare_directory(os.path.join(target, sr_uuid), sr_uuid)
            except SrExists:
                raise
            except StorageFailure as error:
                raise StorageFailure(f"no directory could be made: {error.text}", CREATE_FAILED) from error
        return sm_config

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> FileSr:
        """Mount the SR's directory, unless it is mounted already, and see that it can hold snapshots."""
        if not is_uuid(sr_uuid):
            raise StorageFailure(f"{sr_uuid!r} is not a UUID", 1)
        server, path = self._server(device_config), self._path(device_config)
        if not flag(sm_config, "nosubdir"):
            path = os.path.join(path, sr_uuid)
        mount = NfsMount.of(server, path, device_config)
        target = os.path.join(self._mounts, sr_uuid)
        with ExitStack() as stack:
            if not self._mounter.is_mounted(target):
                self._mount(mount, target)
            stack.callback(self._unmount, target)
            unmount = ExitStack()
            unmount.callback(self._unmount, target)
            directory = Directory(target, sr_uuid)
            sr = FileSr(directory, self.type.name, device_config, data_paths, shared=True, unmount=unmount)
            stack.pop_all()
            return sr
