"""The kernel of each stream that this process works on; only what composes a command or a process asks for one."""

from __future__ import annotations

from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments
from weir.streaming.core.kernel import Kernel

_KERNELS: dict[int, Kernel] = {}


def kernel_of(stream: Stream) -> Kernel:
    """Return the kernel of a stream, the same one each time.

    Raises:
        Refused: the stream declares what cannot be computed.
    """
    return _KERNELS.get(id(stream)) or _KERNELS.setdefault(id(stream), Kernel(stream))  # it keeps the stream alive


def shipped_kernel() -> Kernel:
    """Return the kernel of the card payments."""
    return kernel_of(payments)
