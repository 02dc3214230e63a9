"""Between lists of byte strings and the flat arrays that compiled code takes."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.passes import Partials


def as_canonical(array: NDArray[Any]) -> NDArray[Any]:
    """Return it contiguous and writable: Numba compiles again for any other kind, and Arrow gives read-only ones."""
    flags = array.flags
    # asked first: NumPy takes eight times as long to find out that there is nothing to do, and a batch asks 60 times
    return array if flags.c_contiguous and flags.writeable else np.require(array, requirements=["C", "W"])


def pack(strings: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Put byte strings end to end; return them and their offsets.

    >>> data, offsets = pack([b"ab", b"", b"c"])
    >>> bytes(data), offsets.tolist()
    (b'abc', [0, 2, 2, 3])
    """
    return np.frombuffer(b"".join(strings), dtype=np.uint8), _add_up(strings)


def _add_up(sized: Sequence[Sized]) -> NDArray[np.int64]:
    """Return 0 and where each ends when they are put end to end; of a few, NumPy's sum takes four times as long."""
    return np.fromiter(accumulate(map(len, sized), initial=0), dtype=np.int64, count=len(sized) + 1)


def pack_one_each(strings: Sequence[bytes]) -> Partials:
    """Pack one partial per entity."""
    return Partials(*pack(strings), np.arange(len(strings) + 1, dtype=np.int64))


def pack_lists(lists: Sequence[Sequence[bytes]] | None, size: int) -> Partials:
    """Pack any number of partials per entity; None is none for any."""
    if lists is None:
        return Partials(*pack([]), np.zeros(size + 1, dtype=np.int64))
    return Partials(*pack(list(chain.from_iterable(lists))), _add_up(lists))


def unpack(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[bytes]:
    """Cut byte strings apart again.

    >>> unpack(*pack([b"ab", b"", b"c"]))
    [b'ab', b'', b'c']
    """
    whole = data.tobytes()
    return [whole[begin:end] for begin, end in pairwise(offsets.tolist())]
