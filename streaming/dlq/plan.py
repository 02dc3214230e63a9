"""Decides what is to be done about one dead letter. Pure: no Kafka, no registry, no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from weir.schemas.errors import PoisonRecord
from weir.streaming.dlq.letter import DeadLetter, Header, replay_headers
from weir.streaming.dlq.log import Action, Settlement

ATTEMPTS_MAX = 5
"""A record that failed after this many replays is parked: it needs a person, not another try."""

Outcome = Literal["replayed", "parked", "discarded", "settled", "unreplayable", "unrepairable", "waiting"]


@dataclass(frozen=True)
class Repaired:
    """A record as it goes back; ``rekeyed`` when its key changed, so that its partition follows from the key."""

    key: bytes | None
    value: bytes | None
    rekeyed: bool = False


Repair = Callable[[DeadLetter], Repaired]


@dataclass(frozen=True)
class Options:
    """How letters are treated.

    Attributes:
        discard: settle without replaying.
        attempts_max: replays after which a letter is parked.
        parked: take up letters that were parked.
        repair: changes the record on its way; raises ``PoisonRecord`` where it cannot.
        due: tells whether a letter's time has come; the others wait.
    """

    discard: bool = False
    attempts_max: int = ATTEMPTS_MAX
    parked: bool = False
    repair: Repair | None = None
    due: Callable[[DeadLetter], bool] | None = None


@dataclass(frozen=True)
class Step:
    """What happens to one letter. ``action`` is ``None`` where nothing is written."""

    letter: DeadLetter
    outcome: Outcome
    action: Action | None = None
    attempt: int = 0
    record: Repaired | None = None
    headers: list[Header] = field(default_factory=list)
    note: str = ""


def plan_letter(
    prefix: str, letter: DeadLetter, *, settlement: Settlement | None, attempts: int, options: Options
) -> Step:
    """Decide about one letter.

    Args:
        prefix: what our header names start with.
        letter: the dead letter.
        settlement: what was done about it before; ``None`` when it is open.
        attempts: earlier replays of the record behind it.
        options: how letters are treated.
    """
    taken_up = settlement is not None and settlement.action == "parked" and (options.parked or options.discard)
    if settlement is not None and not taken_up:
        return Step(letter, "settled", note=settlement.action)
    if options.discard:
        return Step(letter, "discarded", "discarded", attempts)
    if letter.obstacle:
        return Step(letter, "unreplayable", note=letter.obstacle)
    if attempts >= options.attempts_max and not taken_up:
        return Step(letter, "parked", "parked", attempts, note=f"{attempts} replays did not help")
    if options.due is not None and not options.due(letter):
        return Step(letter, "waiting", note="not due yet")
    return _replay(prefix, letter, attempts + 1, options.repair)


def _replay(prefix: str, letter: DeadLetter, attempt: int, repair: Repair | None) -> Step:
    try:
        record = repair(letter) if repair else Repaired(letter.key, letter.value)
    except PoisonRecord as error:
        return Step(letter, "unrepairable", note=str(error))
    return Step(letter, "replayed", "replayed", attempt, record, replay_headers(prefix, letter, attempt))
