"""A terminal as programs expect it (VT100 to VT220, and xterm's colours): bytes in, a grid of characters out.

It is our own and not pyte: what is needed fits in one module without a dependency, every cell is an immutable value
that a picture can compare with what it showed last, and whatever a guest sends, memory and time stay bounded.
"""

import codecs
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from xapi.hypervisor.rfb.pixels import nearest

INK, PAPER = 7, 0
_MOST_PARAMETERS = 32
_LARGEST = 9999
_CONTROL = re.compile("[\x00-\x1f\x7f\x9b]")
_SEQUENCE = re.compile(r"\x1b\[([<-?]?)([0-9;:]*)([ -/]*)([@-~])")
_UNFINISHED = re.compile(r"\x1b(?:\[[<-?]?[0-9;:]{0,200}[ -/]{0,4}|[ -/]{0,4})?")
_STRING = re.compile(r"\x1b[]PX^_][^\x07\x1b\x18\x1a]*(?:\x07|\x1b\\|[\x18\x1a])?")
_SHORT = re.compile(r"\x1b([ -/]*)([0-~])")
_LONGEST_STRING = 4096
_DRAWING = dict(zip("`afgjklmnqtuvwx~", "◆▒°±┘┐┌└┼─├┤┴┬│·", strict=True))


class Cell(NamedTuple):
    """One character of the grid with its colours, by their numbers in the palette."""

    text: str
    ink: int = INK
    paper: int = PAPER
    underlined: bool = False


class Style(NamedTuple):
    """How the next characters look."""

    ink: int = INK
    paper: int = PAPER
    bold: bool = False
    underlined: bool = False
    reverse: bool = False
    hidden: bool = False

    def cell(self, text: str) -> Cell:
        """A character in this style."""
        ink = self.ink + 8 if self.bold and self.ink < 8 else self.ink
        paper = self.paper
        if self.reverse:
            ink, paper = paper, ink
        return Cell(" " if self.hidden else text, ink, paper, self.underlined)


class _Saved(NamedTuple):
    row: int = 0
    column: int = 0
    style: Style = Style()
    drawing: tuple[bool, bool] = (False, False)
    shifted: int = 0


class Terminal:
    """A grid of `rows` by `columns`; `answer` is called with what the terminal itself sends (its place, its kind)."""

    def __init__(self, rows: int, columns: int, answer: Callable[[bytes], None] = lambda _: None) -> None:
        self._answer = answer
        self.rows, self.columns = rows, columns
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self.reset()

    def reset(self) -> None:
        """Become as when switched on."""
        self.row = self.column = 0
        self.cursor_shown = True
        self.application_cursor = False
        self._style = Style()
        self._top, self._bottom = 0, self.rows - 1
        self._wraps, self._origin, self._inserts, self._newline = True, False, False, False
        self._wrap_due = False
        self._drawing = [False, False]
        self._shifted = 0
        self._saved = _Saved()
        self._tabs = set(range(8, self.columns, 8))
        self._last = " "
        self._other: list[list[Cell]] | None = None  # the ordinary screen, while the alternate one is shown
        self.lines = [self._blank_line() for _ in range(self.rows)]

    def resize(self, rows: int, columns: int) -> None:
        """Take another size; what does not fit is lost, at the top and on the right."""
        blank = Style().cell(" ")
        lost = max(0, self.row + 1 - rows)
        self.lines = [(line + [blank] * columns)[:columns] for line in self.lines[lost:][:rows]]
        self.lines += [[blank] * columns for _ in range(rows - len(self.lines))]
        self.rows, self.columns = rows, columns
        self.row, self.column = min(self.row - lost, rows - 1), min(self.column, columns - 1)
        self._top, self._bottom = 0, rows - 1
        self._tabs = set(range(8, columns, 8))
        self._wrap_due = False
        self._other = None

    def feed(self, data: bytes) -> None:
        """Take what the program behind the terminal wrote."""
        text = self._pending + self._decoder.decode(data)
        self._pending = ""
        place = 0
        while place < len(text):
            control = _CONTROL.search(text, place)
            end = control.start() if control else len(text)
            if end > place:
                self._write(text[place:end])
            if control is None:
                return
            place = end
            if text[place] != "\x1b":
                self._control(text[place])
                place += 1
                continue
            taken = self._escape(text, place)
            if not taken:
                self._pending = text[place:]
                return
            place += taken

    # ---------------------------------------------------------------------------------------- characters

    def _blank(self) -> Cell:
        return Cell(" ", INK, self._style.paper)

    def _blank_line(self) -> list[Cell]:
        return [self._blank()] * self.columns

    def _write(self, text: str) -> None:
        drawing = self._drawing[self._shifted]
        for character in text:
            self._put(_DRAWING.get(character, character) if drawing else character)
        self._last = text[-1]

    def _put(self, character: str) -> None:
        if self._wrap_due:
            self._wrap_due = False
            self.column = 0
            self._down()
        line = self.lines[self.row]
        cell = self._style.cell(character)
        if self._inserts:
            line.insert(self.column, cell)
            line.pop()
        else:
            line[self.column] = cell
        if self.column + 1 < self.columns:
            self.column += 1
        else:
            self._wrap_due = self._wraps

    def _control(self, character: str) -> None:
        match character:
            case "\b":
                self.column = max(0, self.column - 1)
                self._wrap_due = False
            case "\t":
                self.column = min((tab for tab in self._tabs if tab > self.column), default=self.columns - 1)
                self._wrap_due = False
            case "\n" | "\v" | "\f":
                self._down()
                if self._newline:
                    self._to_column(0)
            case "\r":
                self._to_column(0)
            case "\x0e" | "\x0f":
                self._shifted = 1 if character == "\x0e" else 0

    # --------------------------------------------------------------------------------------------- moves

    def _to_column(self, column: int) -> None:
        self.column = min(max(column, 0), self.columns - 1)
        self._wrap_due = False

    def _to(self, row: int, column: int) -> None:
        first, last = (self._top, self._bottom) if self._origin else (0, self.rows - 1)
        self.row = min(max(row + first, first), last)
        self._to_column(column)

    def _move_row(self, count: int) -> None:
        inside = self._top <= self.row <= self._bottom
        first, last = (self._top, self._bottom) if inside else (0, self.rows - 1)
        self.row = min(max(self.row + count, first), last)
        self._wrap_due = False

    def _move_line(self, count: int) -> None:
        self._move_row(count)
        self._to_column(0)

    def _down(self) -> None:
        if self.row == self._bottom:
            self._scroll(self._top, 1)
        elif self.row < self.rows - 1:
            self.row += 1
        self._wrap_due = False

    def _up(self) -> None:
        if self.row == self._top:
            self._scroll(self._top, -1)
        elif self.row:
            self.row -= 1
        self._wrap_due = False

    def _scroll(self, top: int, count: int) -> None:
        """Move the lines from `top` to the end of the scrolling region up, or down for a negative count."""
        size = self._bottom + 1 - top
        blanks = [self._blank_line() for _ in range(min(abs(count), size))]
        region = self.lines[top : self._bottom + 1]
        moved = region[len(blanks) :] + blanks if count > 0 else blanks + region[: size - len(blanks)]
        self.lines[top : self._bottom + 1] = moved

    def _save(self) -> None:
        drawing = (self._drawing[0], self._drawing[1])
        self._saved = _Saved(self.row, self.column, self._style, drawing, self._shifted)

    def _restore(self) -> None:
        saved = self._saved
        self.row = min(saved.row, self.rows - 1)
        self._to_column(saved.column)
        self._style = saved.style
        self._drawing, self._shifted = list(saved.drawing), saved.shifted

    # ----------------------------------------------------------------------------------------- sequences

    def _escape(self, text: str, place: int) -> int:
        """Obey the sequence that begins here; its length, or 0 when its end has not come yet."""
        found = _SEQUENCE.match(text, place)
        if found is not None:
            private, parameters, middle, final = found.groups()
            if not middle:
                self._obey(private, _numbers(parameters), final)
            return found.end() - place
        if text[place + 1 : place + 2] in ("]", "P", "X", "^", "_"):
            return self._string(text, place)
        found = _SHORT.match(text, place)
        if found is not None and found[2] != "[":
            self._obey_short(found[1], found[2])
            return found.end() - place
        unfinished = _UNFINISHED.match(text, place)
        return 0 if unfinished is not None and unfinished.end() == len(text) else 1

    def _string(self, text: str, place: int) -> int:
        """Skip a title or another text to the terminal, of which nothing is shown."""
        found = _STRING.match(text, place)
        assert found is not None
        ended = found[0][-1] in "\x07\x18\x1a" or found[0].endswith("\x1b\\")
        if ended or found.end() < len(text) - 1 or len(found[0]) > _LONGEST_STRING:
            return found.end() - place
        return 0

    def _obey_short(self, middle: str, final: str) -> None:
        if middle in ("(", ")"):
            self._drawing[middle == ")"] = final == "0"
            return
        if middle == "#" and final == "8":
            self.lines = [[Cell("E")] * self.columns for _ in range(self.rows)]
            return
        if middle:
            return
        match final:
            case "7":
                self._save()
            case "8":
                self._restore()
            case "D":
                self._down()
            case "E":
                self._to_column(0)
                self._down()
            case "H":
                self._tabs.add(self.column)
            case "M":
                self._up()
            case "Z":
                self._answer(b"\x1b[?6c")
            case "c":
                self.reset()

    def _obey(self, private: str, numbers: list[int], final: str) -> None:
        if private == "?" and final in "hl":
            for number in numbers:
                self._set_mode(number, final == "h")
            return
        if private:
            return
        if final in "hl":
            for number in numbers:
                if number == 4:
                    self._inserts = final == "h"
                elif number == 20:
                    self._newline = final == "h"
            return
        act = _ACTS.get(final)
        if act is not None:
            act(self, numbers)

    def _set_mode(self, mode: int, on: bool) -> None:
        match mode:
            case 1:
                self.application_cursor = on
            case 6:
                self._origin = on
                self._to(0, 0)
            case 7:
                self._wraps = on
            case 25:
                self.cursor_shown = on
            case 47 | 1047 | 1049:
                self._alternate(on, keeps_cursor=mode == 1049)

    def _alternate(self, on: bool, *, keeps_cursor: bool) -> None:
        if on and self._other is None:
            if keeps_cursor:
                self._save()
            self._other = self.lines
            self.lines = [self._blank_line() for _ in range(self.rows)]
        elif not on and self._other is not None:
            self.lines, self._other = self._other, None
            if keeps_cursor:
                self._restore()

    def _erase_screen(self, numbers: list[int]) -> None:
        how = numbers[0]
        if how in (0, 1):
            self._erase_line(numbers)
        rows = {0: range(self.row + 1, self.rows), 1: range(self.row), 2: range(self.rows), 3: range(0)}
        for row in rows.get(how, range(0)):
            self.lines[row] = self._blank_line()

    def _erase_line(self, numbers: list[int]) -> None:
        spans = {0: (self.column, self.columns), 1: (0, self.column + 1), 2: (0, self.columns)}
        first, last = spans.get(numbers[0], (0, 0))
        self.lines[self.row][first:last] = [self._blank()] * (last - first)
        self._wrap_due = False

    def _insert_lines(self, count: int) -> None:
        if self._top <= self.row <= self._bottom:
            self._scroll(self.row, -count)
            self._to_column(0)

    def _change_characters(self, final: str, count: int) -> None:
        line, column = self.lines[self.row], self.column
        blanks = [self._blank()] * min(count, self.columns - column)
        rest = line[column:]
        if final == "@":
            rest = blanks + rest
        elif final == "P":
            rest = rest[len(blanks) :] + blanks
        else:
            rest = blanks + rest[len(blanks) :]
        line[column:] = rest[: self.columns - column]
        self._wrap_due = False

    def _set_region(self, numbers: list[int]) -> None:
        top = max(numbers[0], 1) - 1
        bottom = min((numbers[1] if len(numbers) > 1 else 0) or self.rows, self.rows) - 1
        if top < bottom:
            self._top, self._bottom = top, bottom
            self._to(0, 0)

    def _report(self, numbers: list[int]) -> None:
        if numbers[0] == 5:
            self._answer(b"\x1b[0n")
        elif numbers[0] == 6:
            self._answer(b"\x1b[%d;%dR" % (self.row + 1, self.column + 1))

    def _forget_tabs(self, numbers: list[int]) -> None:
        if numbers[0] == 3:
            self._tabs.clear()
        else:
            self._tabs.discard(self.column)

    def _restyle(self, numbers: list[int]) -> None:
        left = list(reversed(numbers))
        while left:
            self._style = _restyled(self._style, left.pop(), left)


def _restyled(style: Style, number: int, left: list[int]) -> Style:
    """The style after one number of a sequence; colours of many numbers take them off the rest."""
    if number in _SWITCHES:
        return style._replace(**_SWITCHES[number])
    if 30 <= number <= 37 or 90 <= number <= 97:
        return style._replace(ink=number - 30 if number < 90 else number - 82)
    if 40 <= number <= 47 or 100 <= number <= 107:
        return style._replace(paper=number - 40 if number < 100 else number - 92)
    if number in (38, 48):
        colour = _extended(left)
        if colour is not None:
            return style._replace(ink=colour) if number == 38 else style._replace(paper=colour)
    return Style() if number == 0 else style


_SWITCHES: dict[int, dict[str, Any]] = {
    1: {"bold": True}, 22: {"bold": False}, 4: {"underlined": True}, 24: {"underlined": False},
    7: {"reverse": True}, 27: {"reverse": False}, 8: {"hidden": True}, 28: {"hidden": False},
    39: {"ink": INK}, 49: {"paper": PAPER},
}  # fmt: skip


def _extended(left: list[int]) -> int | None:
    kind = left.pop() if left else 0
    if kind == 5 and left:
        return min(left.pop(), 255)
    if kind == 2 and len(left) >= 3:
        return nearest(min(left.pop(), 255), min(left.pop(), 255), min(left.pop(), 255))
    return None


def _numbers(text: str) -> list[int]:
    parts = text.replace(":", ";").split(";", _MOST_PARAMETERS)[:_MOST_PARAMETERS]
    return [min(int(part[:5]), _LARGEST) if part else 0 for part in parts]


def _count(numbers: list[int]) -> int:
    return max(numbers[0], 1)


def _second(numbers: list[int]) -> int:
    return max(numbers[1] if len(numbers) > 1 else 1, 1)


_Act = Callable[[Terminal, list[int]], None]
_ACTS: dict[str, _Act] = {
    "A": lambda it, n: it._move_row(-_count(n)),
    "B": lambda it, n: it._move_row(_count(n)),
    "C": lambda it, n: it._to_column(it.column + _count(n)),
    "D": lambda it, n: it._to_column(it.column - _count(n)),
    "E": lambda it, n: it._move_line(_count(n)),
    "F": lambda it, n: it._move_line(-_count(n)),
    "G": lambda it, n: it._to_column(_count(n) - 1),
    "H": lambda it, n: it._to(_count(n) - 1, _second(n) - 1),
    "J": Terminal._erase_screen,
    "K": Terminal._erase_line,
    "L": lambda it, n: it._insert_lines(_count(n)),
    "M": lambda it, n: it._insert_lines(-_count(n)),
    "P": lambda it, n: it._change_characters("P", _count(n)),
    "S": lambda it, n: it._scroll(it._top, _count(n)),
    "T": lambda it, n: it._scroll(it._top, -_count(n)),
    "X": lambda it, n: it._change_characters("X", _count(n)),
    "@": lambda it, n: it._change_characters("@", _count(n)),
    "`": lambda it, n: it._to_column(_count(n) - 1),
    "a": lambda it, n: it._to_column(it.column + _count(n)),
    "b": lambda it, n: it._write(it._last * min(_count(n), it.columns * it.rows)),
    "c": lambda it, n: it._answer(b"\x1b[?6c"),
    "d": lambda it, n: it._to(_count(n) - 1, it.column),
    "e": lambda it, n: it._move_row(_count(n)),
    "f": lambda it, n: it._to(_count(n) - 1, _second(n) - 1),
    "g": Terminal._forget_tabs,
    "m": Terminal._restyle,
    "n": Terminal._report,
    "r": Terminal._set_region,
    "s": lambda it, n: it._save(),
    "u": lambda it, n: it._restore(),
}
