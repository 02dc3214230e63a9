"""The gates of what an attacker takes: in money, and next to the champion by a play on the same terms. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from weir.inference.published.gate import Gate
from weir.schemas.gate_bounds import REDTEAM_TIMES, GateBounds
from weir.training.redteam.record import Recorded

TAKEN: Final = "adversarial"
COMPARED: Final = "adversarial, next to the champion"
_AGAIN: Final = "`weir redteam --in-force --bundle FOLDER --record` plays one again"
_NO_ATTACK: Final = "does not apply: attacks are made for the card payments alone"


@dataclass(frozen=True)
class Attacked:
    """What attackers took; text says why a play cannot be read.

    Attributes:
        challenger: past the model that is to decide.
        champion: past the one that decides; None where nothing does.
        thresholds: version of those that are published; empty where each model has its own.
    """

    challenger: Recorded | str
    champion: Recorded | str | None
    thresholds: str = ""


def judge_attacked(found: Attacked | None, bounds: GateBounds) -> Iterator[Gate]:
    """Yield both gates.

    Args:
        found: of the models; None for a stream that no attack is made for.
        bounds: of the project.
    """
    yield _judge_taken(None if found is None else found.challenger, bounds)
    yield _judge_compared(found, bounds)


def _judge_taken(found: Recorded | str | None, bounds: GateBounds) -> Gate:
    """Return the gate of the money: it is held to the project's bound, and without a bound it is only shown."""
    has_bound = math.isfinite(bounds.redteam_usd)
    asked = f"at most {bounds.redteam_usd:,.0f} USD" if has_bound else "no bound: redteam_usd in [gates] sets one"
    if found is None:
        return Gate(TAKEN, True, _NO_ATTACK, asked)
    if isinstance(found, str):
        return Gate(TAKEN, not has_bound, f"not measured: {found}", asked)
    each = ", ".join(f"{scenario} {taken:,.0f}" for scenario, taken in found.taken_usd.items())
    text = f"{found.mean_usd:,.0f} USD taken per 1,000 cards, of {found.cards:,} ({each})"
    return Gate(TAKEN, found.mean_usd <= bounds.redteam_usd, text, asked)


def _judge_compared(found: Attacked | None, bounds: GateBounds) -> Gate:
    """Return the gate of the comparison: who played one model has to play the other, on the same terms."""
    times = bounds.redteam_times if math.isfinite(bounds.redteam_times) else REDTEAM_TIMES
    asked = f"at most {times:g} times what is taken past the champion"
    if found is None:
        return Gate(COMPARED, True, _NO_ATTACK, asked)
    ours, theirs = found.challenger, found.champion
    if theirs is None:
        return Gate(COMPARED, True, "does not apply: nothing decides yet, so there is no champion", asked)
    if isinstance(ours, str):
        return Gate(COMPARED, not bounds.asks_redteam, f"not measured: {ours}", asked)
    if isinstance(theirs, str):
        return Gate(COMPARED, False, f"not measured: the champion: {theirs}", asked)
    if why := _find_difference(ours, theirs, found.thresholds):
        return Gate(COMPARED, False, f"not measured: {why}; {_AGAIN}", asked)
    text = f"{ours.mean_usd:,.0f} USD per 1,000 cards, champion {theirs.mean_usd:,.0f}"
    if theirs.mean_usd:
        text += f": {ours.mean_usd / theirs.mean_usd:.2f} times"
    return Gate(COMPARED, ours.mean_usd <= times * theirs.mean_usd, text, asked)


def _find_difference(ours: Recorded, theirs: Recorded, thresholds: str) -> str:
    """Return why two plays cannot be compared; empty where they can."""
    if ours.terms is None or theirs.terms is None:
        return "a play does not say its seed and what decided"
    if ours.terms != theirs.terms or set(ours.taken_usd) != set(theirs.taken_usd):
        return "the plays differ in seed, budget, scenarios, rules or thresholds"
    if ours.terms.thresholds != thresholds:
        played, now = (f"the thresholds {each}" if each else "own thresholds" for each in (ours.terms.thresholds,
                                                                                          thresholds))  # fmt: skip
        return f"they were played by {played}, in force are {now}"
    return ""
