"""Figures as tables on the screen, and where their JSON is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).resolve().parents[2] / "bench"
Row = dict[str, Any]


def table(title: str, rows: list[Row]) -> str:
    """The rows as a table of text."""
    names = list(rows[0])
    cells = [[_text(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[place]) for line in cells)) for place, name in enumerate(names)]

    def line(values: list[str]) -> str:
        return "  ".join(value.rjust(width) for value, width in zip(values, widths, strict=True))

    return "\n".join([f"\n{title}", line(names), *(line(values) for values in cells)])


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.2f}"
    return str(value)
