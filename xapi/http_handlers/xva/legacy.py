"""Archives of the first release: `<appliance version="0.1">`, and disks as gzipped chunks of a thousand million bytes.

The description is turned into one of today's form, so that the same objects are made of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from lxml import etree

from xapi.http_handlers.xva.archive import Member, TarReader
from xapi.http_handlers.xva.compression import plain_source
from xapi.http_handlers.xva.disks import BLOCK, SECTOR, Incoming, Passed
from xapi.http_handlers.xva.errors import BadArchive, EndedEarly, UnexpectedMember
from xapi.http_handlers.xva.ova_xml import Description, ExportedObject

VERSION: Final = "0.1"
SCHEME: Final = "file://"
CHUNKS: Final = "dir-gzipped-chunks"
CHUNK = re.compile(r"chunk-([0-9]{9})\.gz")
SR_NAME: Final = "the SR of the archive"
LEAST_MEMORY: Final = 16 << 20
OLD_WINDOWS: Final = ("windows", "win2k")


def is_legacy(data: bytes) -> bool:
    """Whether a description is one of the first release."""
    return re.match(rb"\s*(<\?xml[^>]*\?>)?\s*(<!--.*?-->\s*)*<appliance[\s>]", data, re.DOTALL) is not None


def parse(data: bytes) -> Description:
    """Read a description of the first release as one of today's form; BadArchive says why it is none."""
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise BadArchive(f"the description is not XML: {problem}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadArchive("the description declares a type")
    if root.get("version") != VERSION:
        raise BadArchive(f"an appliance of version {root.get('version')!r} is not known")
    objects = [ExportedObject("SR", SR_NAME, {"content_type": "user"})]
    disks: dict[str, ExportedObject] = {}
    for element in root.iterfind("vdi"):
        disk = _disk(element)
        disks[_attribute(element, "name")] = disk
        objects.append(disk)
    for number, element in enumerate(root.iterfind("vm")):
        objects += _vm(f"vm {number}", element, disks)
    if len({one.id for one in objects}) < len(objects):
        raise BadArchive("two disks of the archive have the same source")
    return Description({"export_vsn": "0"}, tuple(objects), legacy=True)


def _attribute(element: etree._Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise BadArchive(f"a {element.tag} lacks its {name}")
    return str(value)


def _number(element: etree._Element, name: str) -> str:
    text = _attribute(element, name)
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadArchive(f"the {name} of a {element.tag} is no number: {text!r}")
    return text


def _disk(element: etree._Element) -> ExportedObject:
    source = _attribute(element, "source")
    prefix = source.removeprefix(SCHEME).strip("/")
    if not source.startswith(SCHEME) or not prefix or ".." in prefix.split("/"):
        raise BadArchive(f"a disk comes from {source!r}, which is not in the archive")
    if element.get("type", CHUNKS) != CHUNKS:
        raise BadArchive(f"a disk is stored as {element.get('type')!r}")
    return ExportedObject(
        "VDI",
        prefix,
        {
            "name_label": _attribute(element, "name"),
            "virtual_size": _number(element, "size"),
            "type": (element.get("variety") or "user").lower(),
            "SR": SR_NAME,
        },
    )


def _text(element: etree._Element, name: str) -> str:
    found = element.find(name)
    return "" if found is None else (found.text or "").strip()


def _vm(identity: str, element: etree._Element, disks: Mapping[str, ExportedObject]) -> list[ExportedObject]:
    config, hacks = element.find("config"), element.find("hacks")
    if config is None:
        raise BadArchive("a VM lacks its config")
    memory, count = _number(config, "mem_set"), _number(config, "vcpus")
    hvm = hacks is None or hacks.get("is_hvm", "true").lower() == "true"
    old_windows = (config.get("distrib"), config.get("distrib_version")) == OLD_WINDOWS
    modern = "false" if old_windows else "true"
    vm = ExportedObject(
        "VM",
        identity,
        {
            "name_label": _text(element, "label") + " import",
            "name_description": _text(element, "shortdesc"),
            "memory_static_max": memory,
            "memory_static_min": str(min(LEAST_MEMORY, int(memory))),
            "VCPUs_max": count,
            "VCPUs_at_startup": count,
            "actions_after_shutdown": "destroy",
            "actions_after_reboot": "restart",
            "actions_after_crash": "destroy",
            "HVM_boot_policy": "BIOS order" if hvm else "",
            "HVM_boot_params": {"order": "cd"} if hvm else {},
            "PV_bootloader": "pygrub",
            "PV_legacy_args": "" if hacks is None else str(hacks.get("kernel_boot_cmdline", "")),
            "platform": {"acpi": modern, "apic": modern, "nx": "false", "pae": "true"},
        },
    )
    drives = (_drive(identity, number, drive, disks) for number, drive in enumerate(element.iterfind("vbd")))
    return [vm, *drives]


def _drive(vm: str, number: int, element: etree._Element, disks: Mapping[str, ExportedObject]) -> ExportedObject:
    disk = disks.get(_attribute(element, "vdi"))
    if disk is None:
        raise BadArchive(f"a drive has the disk {element.get('vdi')!r}, which is not in the archive")
    return ExportedObject(
        "VBD",
        f"{vm} drive {number}",
        {
            "VM": vm,
            "VDI": disk.id,
            "userdevice": _attribute(element, "device"),
            "bootable": (element.get("function") or "").lower() == "root",
            "mode": "RO" if (element.get("mode") or "").lower() == "r" else "RW",
            "type": "Disk",
            "other_config": {"owner": ""},
            "unpluggable": disk.snapshot["type"] != "system",
        },
    )


class ChunkStream:
    """The disks of such an archive, as they come: chunk after chunk of each disk, without checksums."""

    def __init__(self, tar: TarReader, disks: Mapping[str, Incoming], passed: Passed) -> None:
        self._tar = tar
        self._disks = disks
        self._passed = passed

    def receive(self) -> None:
        """Write all disks; BadArchive in its kinds for what cannot be right."""
        while (member := self._tar.next()) is not None:
            self._receive_chunk(member)
        for prefix, disk in self._disks.items():
            if not disk.complete:
                raise EndedEarly(f"the disk {prefix} ends at {disk.offset} of {disk.size} bytes")

    def _receive_chunk(self, member: Member) -> None:
        prefix, _, name = member.name.removeprefix("./").rpartition("/")
        disk, found = self._disks.get(prefix), CHUNK.fullmatch(name)
        if disk is None or found is None or int(found[1]) != disk.number + 1:
            raise UnexpectedMember("the next chunk of a disk", member.name)
        disk.number += 1
        source = plain_source(self._tar)
        view = memoryview(bytearray(BLOCK))
        while True:
            got = 0
            while got < BLOCK:
                count = source.readinto(view[got:])
                if not count:
                    break
                got += count
            if not got:
                return
            if disk.offset + got > disk.size or disk.offset % SECTOR:
                raise BadArchive(f"the chunk {member.name} does not fit the disk of {disk.size} bytes")
            whole = -(-got // SECTOR) * SECTOR
            view[got:whole] = bytes(whole - got)
            disk.writer.pwrite(disk.offset, view[:whole])
            disk.offset += got
            self._passed(got)
