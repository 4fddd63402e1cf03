"""Goldwire delivers golden-record changes to the systems that run a business, and proves what each one holds.

The Python API is imported when it is first used, so that `import goldwire` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldwire.python_api import Goldwire

__all__ = ["Goldwire", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Goldwire":
        return import_module("goldwire.python_api").Goldwire
    raise AttributeError(f"module 'goldwire' has no attribute {name!r}")
