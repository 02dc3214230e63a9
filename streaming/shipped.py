"""The kernel of the stream that is shipped; only what composes a command or a process asks for it."""

from __future__ import annotations

from functools import cache

from weir.schemas.streams.payments import payments
from weir.streaming.core.kernel import Kernel


@cache
def shipped_kernel() -> Kernel:
    """Return the kernel of the card payments."""
    return Kernel(payments)
