"""Records for the kernel as plain Python: with ``NUMBA_DISABLE_JIT=1`` a debugger steps through every line of it.

Compiled code reads ``view.sum`` as the field of that name. NumPy's own records are read by ``view["sum"]`` alone, and
``np.record`` gives the method ``sum``; this one gives the field.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config

INTERPRETED: bool = getattr(config, "DISABLE_JIT", 0) == 1
"""True where nothing is compiled."""


class NamedRecord(np.void):  # type: ignore[misc]  # a stub calls one of its bases final, NumPy does not
    """A record whose fields are attributes, whatever else has their name."""

    def __getattribute__(self, name: str) -> Any:
        if name in super().__getattribute__("dtype").fields:
            return self[name]
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value
