"""The one way in which harness code reaches into the pipeline: replacing functions, in a worker process alone."""

from __future__ import annotations

from typing import Any


def replace(where: Any, **functions: Any) -> None:
    """Put other functions in place of a class's or module's own, by name.

    Raises:
        AttributeError: there is none of that name: what was to be broken has moved, and the run would prove nothing.
    """
    for name, function in functions.items():
        getattr(where, name)
        setattr(where, name, function)
