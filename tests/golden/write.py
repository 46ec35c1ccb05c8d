"""Writes what is derived from the declarations and kept in the project: `make docs`.

The golden dump of the contract, the ledger of messages, and the lists that may only shrink, from which it takes out
what is done by now and to which it never adds anything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tests.api import observed
from tests.golden import coverage, datamodel

DATAMODEL = Path(__file__).with_name("datamodel.txt")


def shrink_missing() -> None:
    """Take the messages that are done out of the list of the missing ones."""
    now = coverage.missing()
    before = coverage.listed() if coverage.NOT_IMPLEMENTED.exists() else now
    kept = [name for name in before if name in set(now)]
    coverage.NOT_IMPLEMENTED.write_text(coverage.HEAD + "".join(f"{name}\n" for name in kept))
    added = sorted(set(now) - set(before))
    if added:
        sys.stderr.write(f"these messages are missing and not in the list: {' '.join(added)}\n")


def shrink_differences() -> None:
    """Take the recorded answers that ours equal by now out of the list of differences."""
    from tests.api.observed_replays import Place, find
    from tests.fakes.served import Served

    recorded = observed.load()
    if not recorded:
        return
    served = Served()
    place = Place(served)
    gone: set[str] = set()
    for label in observed.not_yet():
        again = find(label)
        if again is not None and not observed.difference(label, recorded[label], again(place)):
            gone.add(label)
    served.close()
    lines = observed.NOT_YET.read_text().splitlines(keepends=True)
    observed.NOT_YET.write_text("".join(line for line in lines if line.split("\t")[0] not in gone))


def main(arguments: Iterable[str]) -> None:
    """Write everything, or only what is named: datamodel, coverage, differences."""
    wanted = set(arguments) or {"datamodel", "coverage", "differences"}
    if "datamodel" in wanted:
        DATAMODEL.write_text(datamodel.dump())
    if "coverage" in wanted:
        shrink_missing()
        coverage.COVERAGE.write_text(coverage.render())
    if "differences" in wanted:
        shrink_differences()


if __name__ == "__main__":
    main(sys.argv[1:])
