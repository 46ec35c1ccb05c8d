"""What else is going on at an object, and how a call is told that it must wait for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from xapi.datamodel.errors import OTHER_OPERATION_IN_PROGRESS
from xapi.datamodel.failure import Failure
from xapi.datamodel.types import WireEnum
from xapi.lifecycle.wording import operation_text

O = TypeVar("O", bound=WireEnum)  # noqa: E741 - an operation
Current = tuple[tuple[str, O], ...]


def others(current_operations: Mapping[str, O], ignoring: str) -> Current[O]:
    """The operations in progress as (task, operation), without the one that belongs to the task `ignoring`."""
    if not current_operations:
        return ()
    return tuple((task, operation) for task, operation in current_operations.items() if task != ignoring)


def in_progress(
    kind: str,
    ref: str,
    current: Current[O],
    text: Callable[[WireEnum], str] = operation_text,
    *,
    always_braced: bool = False,
) -> Failure:
    """OTHER_OPERATION_IN_PROGRESS [class, object, operation, task]; several are put between braces."""
    operations, tasks = [text(operation) for _, operation in current], [task for task, _ in current]
    if len(current) == 1 and not always_braced:
        return OTHER_OPERATION_IN_PROGRESS(kind, ref, operations[0], tasks[0])
    separator = "; " if always_braced else ","
    return OTHER_OPERATION_IN_PROGRESS(kind, ref, f"{{{separator.join(operations)}}}", f"{{{separator.join(tasks)}}}")
