"""What every storage driver must satisfy: a suite of checks, run by the tests on each of them.

A check takes a `Subject`, which makes SRs of one kind; it looks at the driver's features and leaves out what is not
offered, apart from asking that it be refused by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from xapi.storage.contract import chains, disks, raw
from xapi.storage.contract.chains import bits
from xapi.storage.contract.subject import GRANULE, MIB, Subject, content, facts_agree, held, new_uuid, refuses, write

__all__ = [
    "CHECKS",
    "GRANULE",
    "MIB",
    "Subject",
    "bits",
    "content",
    "facts_agree",
    "held",
    "new_uuid",
    "refuses",
    "write",
]

CHECKS: tuple[Callable[[Subject], None], ...] = tuple(
    check
    for module in (disks, chains, raw)
    for name, check in vars(module).items()
    if name.startswith("check_") and inspect.isfunction(check)
)
"""All checks, in the order in which they stand in the modules."""
