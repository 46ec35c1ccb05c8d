"""A font of 8 by 16 pixels for text screens.

The letters are the public-domain font font8x8_basic (Daniel Hepper, after Marcel Sondaar and IBM's VGA fonts, "License:
Public Domain"), each of its rows shown twice; lines and blocks are drawn here, so that they meet between cells. Letters
with accents look like those without; whatever else is unknown is a hollow box.
"""

import unicodedata
from functools import lru_cache

WIDTH, HEIGHT = 8, 16

# The characters from "!" to "~": eight bytes each, a row a byte, the lowest bit on the left.
_LETTERS = """
183C3C1818001800 3636000000000000 36367F367F363600 0C3E031E301F0C00 006333180C666300 1C361C6E3B336E00
0606030000000000 180C0606060C1800 060C1818180C0600 00663CFF3C660000 000C0C3F0C0C0000 00000000000C0C06
0000003F00000000 00000000000C0C00 6030180C06030100 3E63737B6F673E00 0C0E0C0C0C0C3F00 1E33301C06333F00
1E33301C30331E00 383C36337F307800 3F031F3030331E00 1C06031F33331E00 3F3330180C0C0C00 1E33331E33331E00
1E33333E30180E00 000C0C00000C0C00 000C0C00000C0C06 180C0603060C1800 00003F00003F0000 060C1830180C0600
1E3330180C000C00 3E637B7B7B031E00 0C1E33333F333300 3F66663E66663F00 3C66030303663C00 1F36666666361F00
7F46161E16467F00 7F46161E16060F00 3C66030373667C00 3333333F33333300 1E0C0C0C0C0C1E00 7830303033331E00
6766361E36666700 0F06060646667F00 63777F7F6B636300 63676F7B73636300 1C36636363361C00 3F66663E06060F00
1E3333333B1E3800 3F66663E36666700 1E33070E38331E00 3F2D0C0C0C0C1E00 3333333333333F00 33333333331E0C00
6363636B7F776300 6363361C1C366300 3333331E0C0C1E00 7F6331184C667F00 1E06060606061E00 03060C1830604000
1E18181818181E00 081C366300000000 00000000000000FF 0C0C180000000000 00001E303E336E00 0706063E66663B00
00001E3303331E00 3830303E33336E00 00001E333F031E00 1C36060F06060F00 00006E33333E301F 0706366E66666700
0C000E0C0C0C1E00 300030303033331E 070666361E366700 0E0C0C0C0C0C1E00 0000337F7F6B6300 00001F3333333300
00001E3333331E00 00003B66663E060F 00006E33333E3078 00003B6E66060F00 00003E031E301F00 080C3E0C0C2C1800
0000333333336E00 00003333331E0C00 0000636B7F7F3600 000063361C366300 00003333333E301F 00003F190C263F00
380C0C070C0C3800 1818180018181800 070C0C380C0C0700 6E3B000000000000
"""

_GLYPHS = {
    chr(0x21 + place): tuple(byte for byte in bytes.fromhex(word) for _ in range(2))
    for place, word in enumerate(_LETTERS.split())
}
# Lines of a frame, by which of their arms there are: up, down, left, right.
_FRAMES = {
    "│": "ud", "─": "lr", "┌": "dr", "┐": "dl", "└": "ur", "┘": "ul",
    "├": "udr", "┤": "udl", "┬": "dlr", "┴": "ulr", "┼": "udlr",
}  # fmt: skip
_BLOCKS = {
    "█": (0xFF,) * HEIGHT,
    "▒": (0x55, 0xAA) * (HEIGHT // 2),
    "░": (0x11, 0x44) * (HEIGHT // 2),
    "▀": (0xFF,) * 8 + (0,) * 8,
    "▄": (0,) * 8 + (0xFF,) * 8,
    "·": (0,) * 7 + (0x18, 0x18) + (0,) * 7,
    "◆": (0, 0, 0, 0, 0x08, 0x1C, 0x3E, 0x7F, 0x3E, 0x1C, 0x08, 0, 0, 0, 0, 0),
    "°": (0x1C, 0x36, 0x36, 0x1C) + (0,) * 12,
    "±": (0, 0, 0, 0x18, 0x18, 0x7E, 0x7E, 0x18, 0x18, 0, 0x7E, 0x7E, 0, 0, 0, 0),
}
_UNKNOWN = (0, 0, 0x7E, *(0x42,) * 10, 0x7E, 0, 0)
_EMPTY = (0,) * HEIGHT


def _frame(arms: str) -> tuple[int, ...]:
    middle = (0x1F if "l" in arms else 0x18) | (0xF8 if "r" in arms else 0x18)
    above, below = 0x18 if "u" in arms else 0, 0x18 if "d" in arms else 0
    return (above,) * 7 + (middle, middle) + (below,) * 7


@lru_cache(maxsize=1024)
def glyph(character: str) -> tuple[int, ...]:
    """The rows of a character, sixteen numbers of eight bits, the lowest bit on the left."""
    if character in (" ", "\xa0", ""):
        return _EMPTY
    found = _GLYPHS.get(character) or _BLOCKS.get(character)
    if found is not None:
        return found
    if character in _FRAMES:
        return _frame(_FRAMES[character])
    bare = unicodedata.normalize("NFKD", character)[0]
    return _GLYPHS.get(bare, _UNKNOWN)


@lru_cache(maxsize=4096)
def painted(character: str, ink: int, paper: int, underlined: bool = False) -> tuple[bytes, ...]:
    """The rows of a character as pixels of two colours."""
    rows = [bytes(ink if bits >> place & 1 else paper for place in range(WIDTH)) for bits in glyph(character)]
    if underlined:
        rows[-2] = bytes((ink,)) * WIDTH
    return tuple(rows)
