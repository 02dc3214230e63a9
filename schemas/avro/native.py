"""Calls of native libraries on bytes and schemas that others wrote.

A panic in Rust reaches Python as a class that is no ``Exception``, past every handler that was written for one; and
which classes a library raises is learnt one at a time. Whatever it raises becomes ``NativeFailure`` here, where the
call is made, so that the caller can take the other way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_NOT_ITS_OWN = (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)
"""Raised through a library and not by it; memory that is gone is no verdict on a record."""


class NativeFailure(Exception):
    """A native library failed in a way that it does not document; the message names the class of its error."""


def call_native(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a native function.

    Raises:
        NativeFailure: it raised anything at all.
    """
    try:
        return function(*args, **kwargs)
    except _NOT_ITS_OWN:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception, and must end neither loop nor service
        # its own words may quote the bytes it found: name the class alone
        raise NativeFailure(type(error).__name__) from None
