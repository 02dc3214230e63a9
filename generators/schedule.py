"""When each record of a live stream is due: an open-loop schedule, fixed before anything is sent.

A sender that falls behind does not slow the schedule down; it reports its lag. Pure: offsets from a start, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from weir.generators.seeds import Floats

SHAPES = ("constant", "wave", "spike")
PERIOD_SECONDS = 60.0
"""A wave's length, and the time between spikes."""
WAVE_DEPTH = 0.8
SPIKE_SECONDS, SPIKE_FACTOR = 6.0, 5.0
"""A spike begins in the middle of each period and is five times the rate."""
BLOCK_RECORDS_MAX = 100_000
BLOCK_SECONDS_MAX = 5.0
_GRID_SECONDS = 0.01


def _count_constant(seconds: Floats) -> Floats:
    return seconds


def _count_wave(seconds: Floats) -> Floats:
    turn = 2 * np.pi / PERIOD_SECONDS
    wave: Floats = seconds + WAVE_DEPTH * (1 - np.cos(turn * seconds)) / turn
    return wave


def _count_spike(seconds: Floats) -> Floats:
    whole, into = np.divmod(seconds, PERIOD_SECONDS)
    extra = np.clip(into - PERIOD_SECONDS / 2, 0, SPIKE_SECONDS) + whole * SPIKE_SECONDS
    spike: Floats = seconds + (SPIKE_FACTOR - 1) * extra
    return spike


_COUNTS: dict[str, Callable[[Floats], Floats]] = {
    "constant": _count_constant,
    "wave": _count_wave,
    "spike": _count_spike,
}
"""Shape -> how many records are due by a time, at a rate of one a second."""


def block_records(rate_per_second: float) -> float:
    """Return about how many records a block holds at a rate."""
    return min(BLOCK_RECORDS_MAX, rate_per_second * BLOCK_SECONDS_MAX)


def due_ms(*, rate_per_second: float, seconds: float, shape: str) -> Iterator[Floats]:
    """Yield blocks of ascending send times, in milliseconds from the start.

    Args:
        rate_per_second: the mean rate (constant, wave), or that between spikes.
        seconds: how long; 0 is for ever.
        shape: one of ``SHAPES``.
    """
    count = _COUNTS[shape]
    peak = rate_per_second * (SPIKE_FACTOR if shape == "spike" else 1 + WAVE_DEPTH)
    step = min(BLOCK_SECONDS_MAX, BLOCK_RECORDS_MAX / peak)
    begin = 0.0
    while not seconds or begin < seconds:
        end = begin + step if not seconds else min(begin + step, seconds)
        grid = np.linspace(begin, end, max(2, int((end - begin) / _GRID_SECONDS) + 1))
        due = rate_per_second * count(grid)
        numbers = np.arange(np.ceil(due[0]), np.ceil(due[-1]))
        yield np.interp(numbers, due, grid) * 1000.0
        begin = end
