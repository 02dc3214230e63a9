"""Says why a model has to be trained again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from weir.schemas.durations import DAY_MS, HOUR_MS
from weir.training.quality.estimate import DayQuality
from weir.training.retraining.decay import find_decay

SHOWN: Final = 5
PAUSE_MS: Final = DAY_MS
"""After a retraining that nobody asked for by hand: what it found is found again an hour later."""


@dataclass(frozen=True)
class Reasons:
    """What was looked at.

    Attributes:
        why: each reason to train, in words; empty where there is none.
        told: what was found otherwise, and what could not be told.
    """

    why: tuple[str, ...]
    told: tuple[str, ...]


def find_reasons(
    drift: Mapping[str, Any] | str,
    decay: Sequence[DayQuality] | str,
    *,
    created_ms: int | None,
    ended_ms: int,
    now_ms: int,
    age_days_max: int,
    is_asked: bool,
) -> Reasons:
    """Return why a model has to be trained again.

    Args:
        drift: what ``weir monitor`` found, or why it cannot be told.
        decay: the days of the model that decides, from ``weir quality``, or why they cannot be told.
        created_ms: when the model that decides was made; None where nothing decides.
        ended_ms: when the last retraining ended; 0 where there was none.
        now_ms: UTC epoch ms.
        age_days_max: an older model is trained again.
        is_asked: whether somebody asks for it, whatever is found.
    """
    why, told = [], []
    if isinstance(drift, str):
        told.append(f"drift: cannot be told: {drift}")
    elif drift["drifted"]:
        named = ", ".join(drift["drifted"][:SHOWN])
        why.append(f"drift: {len(drift['drifted'])} of {len(drift['columns'])} columns drifted: {named}")
    else:
        told.append(f"drift: none of {len(drift['columns'])} columns has drifted")
    if isinstance(decay, str):
        told.append(f"decay: cannot be told: {decay}")
    else:
        worse, others = find_decay(decay)
        why += worse
        told += others
    if created_ms is None:
        why.append("no model decides yet")
    else:
        days = (now_ms - created_ms) / DAY_MS
        text = f"age: the model that decides is {days:.1f} days old, at most {age_days_max}"
        (why if days > age_days_max else told).append(text)
    if is_asked:
        why.append("asked for")
    elif why and now_ms - ended_ms < PAUSE_MS:
        told = [*why, *told, f"the last retraining ended {(now_ms - ended_ms) / HOUR_MS:.1f} hours ago: wait for a day"]
        why = []
    return Reasons(tuple(why), tuple(told))
