"""Keys of a viewer as what a terminal sends: X11's key symbols become bytes, with Control, Alt and cursor modes."""

_SHIFTS = frozenset({0xFFE1, 0xFFE2, 0xFFE5, 0xFFE6})  # the viewer has applied these to its symbols already
_CONTROLS = frozenset({0xFFE3, 0xFFE4})
_ALTS = frozenset({0xFFE7, 0xFFE8, 0xFFE9, 0xFFEA})
_PLAIN = {
    0xFF08: b"\x7f", 0xFF09: b"\t", 0xFF0D: b"\r", 0xFF8D: b"\r", 0xFF1B: b"\x1b", 0xFE20: b"\x1b[Z",
    0xFFFF: b"\x1b[3~", 0xFF9F: b"\x1b[3~", 0xFF63: b"\x1b[2~", 0xFF55: b"\x1b[5~", 0xFF56: b"\x1b[6~",
    0xFFBE: b"\x1bOP", 0xFFBF: b"\x1bOQ", 0xFFC0: b"\x1bOR", 0xFFC1: b"\x1bOS", 0xFFC2: b"\x1b[15~",
    0xFFC3: b"\x1b[17~", 0xFFC4: b"\x1b[18~", 0xFFC5: b"\x1b[19~", 0xFFC6: b"\x1b[20~", 0xFFC7: b"\x1b[21~",
    0xFFC8: b"\x1b[23~", 0xFFC9: b"\x1b[24~",
}  # fmt: skip
_CURSOR = {
    0xFF52: b"A", 0xFF54: b"B", 0xFF53: b"C", 0xFF51: b"D", 0xFF50: b"H", 0xFF57: b"F",
    0xFF97: b"A", 0xFF99: b"B", 0xFF98: b"C", 0xFF96: b"D", 0xFF95: b"H", 0xFF9C: b"F",
}  # fmt: skip
_KEYPAD = {0xFF80: " ", 0xFFAA: "*", 0xFFAB: "+", 0xFFAC: ",", 0xFFAD: "-", 0xFFAE: ".", 0xFFAF: "/", 0xFFBD: "="}
_UNICODE = 0x01000000


class Keyboard:
    """Remembers which of Control and Alt are held down."""

    def __init__(self) -> None:
        self._held: set[int] = set()

    def press(self, keysym: int, down: bool, *, application_cursor: bool = False) -> bytes:
        """What a terminal sends for a key; nothing for one that comes up, or means nothing to a terminal."""
        if keysym in _CONTROLS or keysym in _ALTS:
            (self._held.add if down else self._held.discard)(keysym)
            return b""
        if not down or keysym in _SHIFTS:
            return b""
        sent = self._text(keysym, application_cursor)
        return b"\x1b" + sent if sent and self._held & _ALTS else sent

    def _text(self, keysym: int, application_cursor: bool) -> bytes:
        if keysym in _PLAIN:
            return _PLAIN[keysym]
        if keysym in _CURSOR:
            return (b"\x1bO" if application_cursor else b"\x1b[") + _CURSOR[keysym]
        character = _character(keysym)
        if self._held & _CONTROLS and len(character) == 1 and "?" <= character.upper() <= "_":
            return b"\x7f" if character == "?" else bytes((ord(character.upper()) & 0x1F,))
        if self._held & _CONTROLS and character == " ":
            return b"\0"
        return character.encode()


def _character(keysym: int) -> str:
    if 0x20 <= keysym <= 0x7E or 0xA0 <= keysym <= 0xFF:
        return chr(keysym)
    if 0xFFB0 <= keysym <= 0xFFB9:
        return chr(keysym - 0xFF80)
    point = keysym - _UNICODE
    if 0x20 <= point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
        return chr(point)
    return _KEYPAD.get(keysym, "")
