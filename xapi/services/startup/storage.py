"""The storage that a host starts with: SM records of the drivers at hand, default SRs and their PBDs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xapi.datamodel.classes import PBD, SM, SR, VDI, Host, Pool
from xapi.datamodel.classes.sm import ImageFormatType
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.services.startup.surroundings import Surroundings
from xapi.storage.interface import SrDriverType

I18N_KEY = "i18n-key"
TOOLS_ISO = "guest-tools.iso"


@dataclass(frozen=True, slots=True)
class DefaultSr:
    """An SR that every host has. Clients translate its name by the key `i18n` for as long as nobody renamed it."""

    type: str
    i18n: str
    name_label: str
    name_description: str
    content_type: str
    device_config: Mapping[str, str] = field(default_factory=dict)
    sm_config: Mapping[str, str] = field(default_factory=dict)
    other_config: Mapping[str, str] = field(default_factory=dict)
    shared: bool = False
    is_tools_sr: bool = False


DVD_DRIVES = DefaultSr(
    "udev", "local-hotplug-cd", "DVD drives", "Physical DVD drives", "iso", {"location": "/dev/xapi/cd"}, {"type": "cd"}
)
REMOVABLE_STORAGE = DefaultSr(
    "udev",
    "local-hotplug-disk",
    "Removable storage",
    "Physical removable storage",
    "disk",
    {"location": "/dev/xapi/block"},
    {"type": "block"},
)


def prepare_drivers(transaction: Transaction, drivers: tuple[SrDriverType, ...]) -> None:
    """Make an SM record for each driver, and drop those of drivers that are gone and that no SR needs."""
    known = {record.type: record for record in transaction.all(SM)}
    for driver in drivers:
        values: dict[str, Any] = {
            "type": driver.name,
            "name_label": driver.label,
            "name_description": driver.description,
            "vendor": driver.vendor,
            "copyright": driver.copyright,
            "version": driver.version,
            "required_api_version": driver.required_api_version,
            "configuration": dict(driver.configuration),
            "capabilities": driver.capabilities,
            "features": {str(feature): version for feature, version in driver.features.items()},
            "driver_filename": driver.driver_filename,
            "required_cluster_stack": driver.required_cluster_stack,
            "supported_image_formats": tuple(ImageFormatType(name) for name in driver.supported_image_formats),
        }
        record = known.pop(driver.name, None)
        if record is None:
            transaction.create(SM, **values)
        else:
            transaction.update(SM, record.ref, **values)
    needed = {sr.type for sr in transaction.all(SR)}
    for record in known.values():
        if record.type not in needed:
            transaction.delete(SM, record.ref)


def prepare_storage(transaction: Transaction, surroundings: Surroundings, host: Ref[Host], pool: Ref[Pool]) -> None:
    """Make the default SRs that are missing, as far as their drivers are at hand.

    The local SR is made for a host without any storage only: afterwards its absence is somebody's wish.
    """
    types = {driver.name for driver in surroundings.drivers}
    local = surroundings.local_storage
    bare = not any(pbd.host == host for pbd in transaction.all(PBD))
    if local is not None and bare:
        if local.type not in types:
            raise ValueError(f"there is no storage driver {local.type!r} for the local SR; there are {sorted(types)}")
        if local.directory is not None:
            local.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = DefaultSr(local.type, "local-storage", local.name_label, "", "user", local.device_config)
        _make_defaults(transaction, _ensure_sr(transaction, wanted, host), host, pool)
    for drives in (DVD_DRIVES, REMOVABLE_STORAGE):
        if drives.type in types:
            _ensure_sr(transaction, drives, host)
    if surroundings.tools is not None and "iso" in types:
        _prepare_tools(transaction, surroundings.tools, host)


def pbds_to_plug(transaction: Transaction, host: Ref[Host]) -> tuple[Ref[PBD], ...]:
    """Mark each PBD of the host as not attached, since this run has attached nothing yet, and answer them all."""
    found = tuple(pbd for pbd in transaction.all(PBD) if pbd.host == host)
    for pbd in found:
        if pbd.currently_attached:
            transaction.update(PBD, pbd.ref, currently_attached=False)
    return tuple(pbd.ref for pbd in found)


def _make_defaults(transaction: Transaction, sr: Ref[SR], host: Ref[Host], pool: Ref[Pool]) -> None:
    """Let the local SR take what nobody says another place for."""
    transaction.update(Host, host, suspend_image_sr=sr, crash_dump_sr=sr)
    row = transaction.get(Pool, pool)
    unset = {
        name: sr
        for name, value in (
            ("default_SR", row.default_SR),
            ("suspend_image_SR", row.suspend_image_SR),
            ("crash_dump_SR", row.crash_dump_SR),
        )
        if value == NULL
    }
    transaction.update(Pool, pool, **unset)


def _ensure_sr(transaction: Transaction, wanted: DefaultSr, host: Ref[Host]) -> Ref[SR]:
    """The host's SR of this kind, with its PBD; a shared one is the same for all hosts."""
    here = {pbd.SR for pbd in transaction.all(PBD) if pbd.host == host}
    for sr in transaction.all(SR):
        marked = sr.is_tools_sr if wanted.is_tools_sr else sr.other_config.get(I18N_KEY) == wanted.i18n
        if marked and (wanted.shared or sr.ref in here):
            ref = sr.ref
            break
    else:
        ref = _make_sr(transaction, wanted)
    if ref not in here:
        transaction.create(PBD, host=host, SR=ref, device_config=dict(wanted.device_config))
    return ref


def _make_sr(transaction: Transaction, wanted: DefaultSr) -> Ref[SR]:
    originals = {"i18n-original-value-name_label": wanted.name_label}
    if wanted.name_description:
        originals["i18n-original-value-name_description"] = wanted.name_description
    return transaction.create(
        SR,
        type=wanted.type,
        name_label=wanted.name_label,
        name_description=wanted.name_description,
        content_type=wanted.content_type,
        shared=wanted.shared,
        sm_config=dict(wanted.sm_config),
        other_config={I18N_KEY: wanted.i18n, **originals, **wanted.other_config},
        is_tools_sr=wanted.is_tools_sr,
        default_vdi_visibility=True,
    )


def _prepare_tools(transaction: Transaction, directory: Path, host: Ref[Host]) -> None:
    """Make the SR with the guest tools, and the record of its one image as long as the image is there."""
    wanted = DefaultSr(
        "iso",
        "xenserver-tools",
        "XenServer Tools",
        "XenServer Tools ISOs",
        "iso",
        {"location": str(directory), "legacy_mode": "true"},
        other_config={"xenserver_tools_sr": "true"},
        shared=True,
        is_tools_sr=True,
    )
    sr = _ensure_sr(transaction, wanted, host)
    directory.mkdir(parents=True, exist_ok=True)
    image = directory / TOOLS_ISO
    size = image.stat().st_size if image.exists() else 0
    known = next((vdi for vdi in transaction.all(VDI) if sr == vdi.SR and vdi.location == TOOLS_ISO), None)
    ref = (
        known.ref
        if known is not None
        else transaction.create(
            VDI,
            SR=sr,
            location=TOOLS_ISO,
            name_label=TOOLS_ISO,
            name_description="Drivers and agents for guests",
            type=VdiType.USER,
            sharable=True,
            read_only=True,
            managed=True,
            is_tools_iso=True,
            sm_config={"xs-tools": "true"},
        )
    )
    transaction.update(
        VDI, ref, virtual_size=size, physical_utilisation=size, missing=not image.exists(), is_tools_iso=True
    )
