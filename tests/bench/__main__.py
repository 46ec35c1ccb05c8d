"""`make bench`: the figures of the server on this machine, as tables on the screen and as JSON in bench/.

They are for comparing within one run; no test asserts a time. `--quick` takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from typing import Any

from tests.bench import measure
from tests.bench.place import Load, Place
from tests.bench.report import OUTPUT, Row, table


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
