"""Names and numbers of drives: "0" is xvda in a paravirtual guest and hda in an emulated one's first four places.

Pure. The numbers are those that XenAPI clients give as `VBD.userdevice`.
"""

from __future__ import annotations

import re
import string

LETTERS = string.ascii_lowercase
EMULATED = 4  # places of an emulated controller
MOST = 255
FLOPPY = -1


def device_number(name: str) -> int:
    """The number of a drive from its number or its name (hda, sda, xvda, xvdaa1 …); ValueError when it is none."""
    if re.fullmatch(r"[0-9]{1,3}", name):
        number = int(name)
    else:
        match = re.fullmatch(r"(?:xvd|hd|sd)([a-z]{1,2})[0-9]*", name)
        if match is None:
            if name in ("fda", "fdb"):
                return FLOPPY - (name == "fdb")
            raise ValueError(name)
        number = 0
        for letter in match[1]:
            number = number * 26 + LETTERS.index(letter) + 1
        number -= 1
    if number > MOST:
        raise ValueError(name)
    return number


def device_name(number: int, *, hvm: bool) -> str:
    """The name under which a guest sees a drive."""
    if number < 0:
        return "fda" if number == FLOPPY else "fdb"
    suffix, rest = "", number + 1
    while rest:
        rest, digit = divmod(rest - 1, 26)
        suffix = LETTERS[digit] + suffix
    return f"{'hd' if hvm and number < EMULATED else 'xvd'}{suffix}"
