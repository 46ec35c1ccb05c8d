"""Addresses that clients give, and MAC addresses that the toolstack chooses."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets

from xapi.datamodel.errors import INVALID_CIDR_ADDRESS_SPECIFIED, INVALID_IP_ADDRESS_SPECIFIED, VALUE_NOT_SUPPORTED

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}\Z")
IPV4, IPV6 = 4, 6
_FAMILIES = {IPV4: ipaddress.IPv4Address, IPV6: ipaddress.IPv6Address}


def is_mac(text: str) -> bool:
    """Whether a text is six hexadecimal pairs with colons between them."""
    return _MAC.match(text) is not None


def is_ip(family: int, text: str) -> bool:
    """Whether a text is an address of the family."""
    try:
        _FAMILIES[family](text)
    except ValueError:
        return False
    return True


def check_ip(family: int, field: str, text: str) -> None:
    """Pass an address of the family; INVALID_IP_ADDRESS_SPECIFIED [field] otherwise."""
    if not is_ip(family, text):
        raise INVALID_IP_ADDRESS_SPECIFIED(field)


def check_cidr(family: int, field: str, text: str) -> str:
    """The address in a text of the form address/prefix length; INVALID_CIDR_ADDRESS_SPECIFIED [field] otherwise."""
    address, slash, length = text.partition("/")
    most = 32 if family == IPV4 else 128
    digits = length.isascii() and length.isdecimal()
    if not slash or not is_ip(family, address) or not digits or int(length) > most:
        raise INVALID_CIDR_ADDRESS_SPECIFIED(field)
    return address


def check_port(field: str, number: int) -> None:
    """Pass a TCP or UDP port; VALUE_NOT_SUPPORTED [field, value, reason] otherwise."""
    if not 1 <= number <= 65535:
        raise VALUE_NOT_SUPPORTED(field, number, "Port out of range")


def _mac_of(octets: list[int]) -> str:
    """Six numbers as a MAC address that is for one station, and locally administered."""
    first = (octets[0] | 0x02) & 0xFE
    return ":".join(f"{octet:02x}" for octet in (first, *octets[1:]))


def mac_from_seed(seed: str, device: int) -> str:
    """The MAC address that a VM's seed stands for at a device.

    As the public service derives it, so that a VM keeps its addresses when it comes from there: the seed goes through
    MD5 once more than twice the device's number; four octets are taken from that, two from its own digest.
    """
    digest = seed.encode()
    for _ in range(2 * device + 1):
        digest = hashlib.md5(digest, usedforsecurity=False).digest()
    after = hashlib.md5(digest, usedforsecurity=False).digest()
    return _mac_of([*digest[:4], after[1], after[2]])


def random_mac() -> str:
    """A MAC address that nobody else is likely to have."""
    return _mac_of(list(secrets.token_bytes(6)))
