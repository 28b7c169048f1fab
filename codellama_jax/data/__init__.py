"""Sources, tasks and mixtures of the paper, seekable row streams, host loader.

Names are imported when they are first asked for: processes that make rows take neither seqio, with
TensorFlow behind it, nor JAX (3 seconds and 700 MB each).
"""

import importlib
from typing import Any

_MODULES = {
    "Batch": "loader",
    "HostLoader": "loader",
    "Records": "records",
    "RowStream": "stream",
    "inspect": "inspection_command",
    "pack": "packing",
    "register": "tasks",
}
__all__ = ["Batch", "HostLoader", "Records", "RowStream", "inspect", "pack", "register"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
