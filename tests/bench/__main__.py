"""`make bench`: the figures of the server on this machine, as tables on the screen and as JSON in bench/.

They are for comparing within one run; no test asserts a time. `--quick` takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from tests.bench import measure
from tests.bench.place import Load, Place

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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer VMs, listeners and seconds")
    quick = parser.parse_args().quick
    seconds = 1.0 if quick else 3.0
    load = Load()
    results: dict[str, Any] = {"machine": {"processors": os.cpu_count(), "python": platform.python_version()}}

    def tell(title: str, rows: list[Row]) -> None:
        results[title] = rows
        print(table(title, rows), flush=True)

    place = Place(100)
    tell("calls", measure.calls(place, load, seconds, (1, 8, 64)))
    tell("events", measure.events(place, load, (1, 100) if quick else (1, 100, 500), 20 if quick else 50))
    place.close()
    listing = measure.listing(load, (100, 1000) if quick else (100, 1000, 10_000), seconds)
    tell("lists", listing)
    tell("memory of a VM", [measure.memory_per_vm(listing)])
    load.close()
    OUTPUT.mkdir(exist_ok=True)
    file = OUTPUT / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nkept in {file}")


if __name__ == "__main__":
    main()
