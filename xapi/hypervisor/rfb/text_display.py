"""A text terminal as a picture: what vncterm is for, so that a serial line can be looked at like a screen.

Bytes of the guest go into a terminal, the terminal's grid into a framebuffer, and keys come out as bytes.
"""

from collections.abc import Callable

from xapi.hypervisor.rfb import font
from xapi.hypervisor.rfb.framebuffer import Framebuffer
from xapi.hypervisor.rfb.keyboard import Keyboard
from xapi.hypervisor.rfb.terminal import Cell, Terminal

LONGEST_PASTE = 4096


class TextDisplay:
    """A display (see `session.Display`) of a terminal; `typed` gets what a person types and the terminal answers."""

    def __init__(self, rows: int, columns: int, typed: Callable[[bytes], None]) -> None:
        self._typed = typed
        self._keyboard = Keyboard()
        self.terminal = Terminal(rows, columns, typed)
        self._screen = Framebuffer(columns * font.WIDTH, rows * font.HEIGHT)
        self._shown: list[list[Cell]] = [[] for _ in range(rows)]
        self._stale = True

    @property
    def framebuffer(self) -> Framebuffer:
        """The picture as of now; it is drawn only when somebody looks."""
        if self._stale:
            self._stale = False
            self._draw()
        return self._screen

    def receive(self, data: bytes) -> None:
        """Take what the guest wrote."""
        self.terminal.feed(data)
        self._stale = True

    def resize(self, rows: int, columns: int) -> None:
        """Become a display of another size."""
        self.terminal.resize(rows, columns)
        self._screen.resize(columns * font.WIDTH, rows * font.HEIGHT)
        self._shown = [[] for _ in range(rows)]
        self._stale = True

    def key(self, keysym: int, down: bool) -> None:
        """A key is a few bytes to the guest."""
        sent = self._keyboard.press(keysym, down, application_cursor=self.terminal.application_cursor)
        if sent:
            self._typed(sent)

    def pointer(self, buttons: int, left: int, top: int) -> None:
        """A terminal has no pointer."""

    def paste(self, text: str) -> None:
        """Type a text; one that is too long for a person to have meant it is left out."""
        if len(text) <= LONGEST_PASTE:
            self._typed(text.replace("\r\n", "\r").replace("\n", "\r").encode())

    def _draw(self) -> None:
        terminal = self.terminal
        for row, line in enumerate(terminal.lines):
            cells = line
            if row == terminal.row and terminal.cursor_shown:
                under = line[terminal.column]
                cells = [*line]
                cells[terminal.column] = under._replace(ink=under.paper, paper=under.ink)
            shown = self._shown[row]
            if cells == shown:
                continue
            first, last = _difference(cells, shown)
            self._shown[row] = [*cells]
            glyphs = [font.painted(*cell) for cell in cells[first:last]]
            self._screen.paint(
                first * font.WIDTH, row * font.HEIGHT, [b"".join(parts) for parts in zip(*glyphs, strict=True)]
            )


def _difference(cells: list[Cell], shown: list[Cell]) -> tuple[int, int]:
    """From where to where a line differs from what was shown."""
    if len(cells) != len(shown):
        return 0, len(cells)
    differing = [place for place, cell in enumerate(cells) if cell != shown[place]]
    return differing[0], differing[-1] + 1
