"""The rows of the table, a module for each thing that fails."""

import importlib
import pkgutil


def load() -> None:
    """Have every row enter itself."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
