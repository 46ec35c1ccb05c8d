"""The SR type `iso`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack

from xapi.storage.device_config import (
    LOCATION_MISSING,
    absolute_path,
    flag,
    mount_options,
    plain_text,
    relative_path,
    server_name,
)
from xapi.storage.errors import InvalidConfiguration, SrInUse, SrUnavailable, StorageFailure, Unsupported
from xapi.storage.existing_disks import ExistingDisksSr
from xapi.storage.facts import Feature, ProbeResult, SrDriverType
from xapi.storage.file.directory import Directory, is_uuid
from xapi.storage.interface import DataPaths
from xapi.storage.iso.catalogue import IsoCatalogue
from xapi.storage.mounts import Mounter, SystemMounter
from xapi.storage.nfs.server import NfsMount
from xapi.system.command import CommandFailed

MOUNT_FAILED = 222
UNMOUNT_FAILED = 223
LOCATION_INVALID = 225
LOCAL_PATH_INVALID = 226
SMB_VERSION_INVALID = 227
SMB_VERSIONS = ("1.0", "2.0", "2.1", "3.0", "3.1.1")
SMB_OPTIONS = frozenset(
    ("cache", "domain", "file_mode", "dir_mode", "gid", "iocharset", "noperm", "ro", "sec", "uid", "vers")
)


class IsoDriver:
    """SRs of CD images: a local directory (`legacy_mode`), or one that is mounted below `mounts`."""

    type = SrDriverType(
        name="iso",
        label="ISO",
        description="CD images in a directory of this host, of an NFS server or of an SMB server",
        configuration={
            "location": "directory, SERVER:PATH for NFS or \\\\SERVER\\PATH for SMB (required)",
            "legacy_mode": "true for a directory of this host",
            "type": "nfs_iso or cifs, where the location does not tell",
            "iso_path": "directory below the location",
            "options": "further mount options",
            "nfsversion": "version of NFS: 3 or 4",
            "vers": "version of SMB: 1.0 or 3.0",
            "username": "user of the SMB server, may be DOMAIN\\USER",
            "cifspassword_secret": "UUID of the secret with the password of that user",
            "cifspassword": "password of that user (better use a secret)",
        },
        features=dict.fromkeys(
            (
                Feature.VDI_CREATE,
                Feature.VDI_DELETE,
                Feature.VDI_ATTACH,
                Feature.VDI_DETACH,
                Feature.SR_SCAN,
                Feature.SR_ATTACH,
                Feature.SR_DETACH,
            ),
            1,
        ),
        driver_filename="ISOSR",
        supported_image_formats=("raw",),
        content_type="iso",
    )

    def __init__(self, mounts: str, mounter: Mounter | None = None) -> None:
        self._mounts = mounts
        self._mounter = mounter or SystemMounter()

    def probe(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> str:
        """Refuse: images are no SR until one is made of them."""
        raise Unsupported("SR_PROBE")

    def probe_ext(self, device_config: Mapping[str, str], sm_config: Mapping[str, str]) -> tuple[ProbeResult, ...]:
        """Refuse: images are no SR until one is made of them."""
        raise Unsupported("SR_PROBE")

    def create(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        physical_size: int,
        content_type: str,
        sm_config: Mapping[str, str],
    ) -> Mapping[str, str]:
        """See that the images can be reached; `iso_type` is noted."""
        self.attach(sr_uuid, device_config, sm_config).detach_sr()
        return {**sm_config, "iso_type": device_config["type"]} if "type" in device_config else sm_config

    def attach(
        self,
        sr_uuid: str,
        device_config: Mapping[str, str],
        sm_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
    ) -> ExistingDisksSr:
        """Mount the directory, unless it is on this host or mounted already."""
        if not is_uuid(sr_uuid):
            raise StorageFailure(f"{sr_uuid!r} is not a UUID", 1)
        location = plain_text(device_config, "location", LOCATION_MISSING)
        below = relative_path(device_config, "iso_path", LOCAL_PATH_INVALID)
        with ExitStack() as stack:
            unmount = ExitStack()
            local = flag(device_config, "legacy_mode") or (location.startswith("/") and not location.startswith("//"))
            if local:
                top = absolute_path(device_config, "location", LOCATION_MISSING, LOCAL_PATH_INVALID)
                if not os.path.isdir(os.path.join(top, below)):
                    raise InvalidConfiguration("location", f"there is no directory {top}", LOCAL_PATH_INVALID)
            else:
                top = os.path.join(self._mounts, sr_uuid)
                if not self._mounter.is_mounted(top):
                    self._mount(location, device_config, top)
                stack.callback(self._unmount, top)
                unmount.callback(self._unmount, top)
            directory = Directory(os.path.join(top, below), sr_uuid)
            if not local and os.path.commonpath([directory.path, os.path.realpath(top)]) != os.path.realpath(top):
                raise InvalidConfiguration("iso_path", "leads out of the share", LOCAL_PATH_INVALID)
            sr = ExistingDisksSr(sr_uuid, IsoCatalogue(directory, trusted=local), device_config, unmount)
            stack.pop_all()
            return sr

    def _mount(self, location: str, device_config: Mapping[str, str], target: str) -> None:
        smb = device_config.get("type") == "cifs" or ("type" not in device_config and ":/" not in location)
        try:
            if smb:
                source, options, environment = smb_mount(location, device_config)
                self._mounter.mount("cifs", source, target, options, environment)
            else:
                mount = nfs_mount(location, device_config)
                kind = "nfs4" if mount.version.startswith("4") else "nfs"
                self._mounter.mount(kind, mount.source, target, mount.mount_options)
        except CommandFailed as error:
            raise SrUnavailable(f"{location} cannot be mounted: {error}", MOUNT_FAILED) from error

    def _unmount(self, target: str) -> None:
        try:
            self._mounter.unmount(target)
        except CommandFailed as error:
            raise SrInUse(f"{target} cannot be unmounted: {error}", UNMOUNT_FAILED) from error


def nfs_mount(location: str, device_config: Mapping[str, str]) -> NfsMount:
    """Return what a location SERVER:PATH stands for; an IPv6 address is in brackets."""
    server, separator, path = location.partition("]:") if location.startswith("[") else location.partition(":")
    if not separator or not path.startswith("/"):
        raise InvalidConfiguration("location", "does not have the form SERVER:PATH", LOCATION_INVALID)
    name = server_name(server.lstrip("["), "location")
    checked = absolute_path({"location": path}, "location", LOCATION_MISSING, LOCATION_INVALID)
    return NfsMount.of(name, checked, device_config)


def smb_mount(location: str, device_config: Mapping[str, str]) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """Return source, options and environment of the mount of \\\\SERVER\\PATH; the password is in the environment."""
    parts = location.replace("\\", "/").strip("/").split("/")
    if len(parts) < 2 or ".." in parts or "," in location:
        raise InvalidConfiguration("location", "does not have the form \\\\SERVER\\PATH", LOCATION_INVALID)
    server = server_name(parts[0], "location")
    version = device_config.get("vers") or "3.0"
    if version not in SMB_VERSIONS:
        raise InvalidConfiguration("vers", f"is none of {', '.join(SMB_VERSIONS)}", SMB_VERSION_INVALID)
    options = ["cache=none", f"vers={version}"]
    environment: dict[str, str] = {}
    if device_config.get("username"):
        user = plain_text(device_config, "username", 1)
        if "," in user:
            raise InvalidConfiguration("username", "cannot have a comma in it", 2)
        domain, _, name = user.rpartition("\\")
        environment = {"USER": name, "PASSWD": device_config.get("cifspassword", "")}
        if "\0" in environment["PASSWD"]:
            raise InvalidConfiguration("cifspassword", "cannot have a NUL in it", 2)
        options += [f"domain={domain}"] if domain else []
    else:
        options.append("guest")
    further = mount_options(device_config.get("options", ""), SMB_OPTIONS)
    if not any(option.startswith("iocharset=") for option in further):
        options.append("iocharset=utf8")  # by default a kernel may know no names beyond Latin
    options += further
    return "//" + "/".join([server, *parts[1:]]), tuple(options), environment
