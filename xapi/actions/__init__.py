"""What each message does: one module or package for each XenAPI class. Importing this package registers them all."""

from __future__ import annotations

import importlib
import pkgutil


def load() -> None:
    """Import every module of this package, so that each action is known to the dispatcher."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
