"""The document in which a template says what disks it wants (`other_config:disks`)."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

LONGEST = 64 * 1024
MOST_DISKS = 255


@dataclass(frozen=True, slots=True)
class WantedDisk:
    """One disk of a `<provision>`: its device number, size in bytes, SR's UUID or nothing, and VDI type."""

    device: str
    size: int
    sr: str
    bootable: bool
    type: str


def read_disks(document: str) -> tuple[WantedDisk, ...]:
    """Read a `<provision>` document; ValueError says what is wrong with it."""
    if len(document) > LONGEST:
        raise ValueError("the document is too long")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False)
    try:
        root = etree.fromstring(document.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise ValueError(f"the document is not XML: {problem}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("a document type is not accepted")
    if root.tag != "provision":
        raise ValueError("the document is no <provision>")
    disks = [element for element in root if element.tag == "disk"]
    if len(disks) > MOST_DISKS:
        raise ValueError("too many disks")
    return tuple(_disk(element) for element in disks)


def _disk(element: etree._Element) -> WantedDisk:
    device, size = element.get("device", ""), element.get("size", "")
    if not device.isdecimal() or not size.isdecimal():
        raise ValueError("a <disk> needs a device number and a size in bytes")
    return WantedDisk(
        device=device,
        size=int(size),
        sr=element.get("sr", ""),
        bootable=element.get("bootable") == "true",
        type=element.get("type") or "system",
    )
