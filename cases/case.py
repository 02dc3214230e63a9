"""A case: who holds it, what it turned out to be, and which changes are allowed. Pure.

A case is ``open``, ``claimed`` by one analyst, or ``closed`` by a verdict. A closed one takes another verdict: the
correction is the next version, and its label replaces the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from weir.schemas.errors import WeirError

TEXT_CHARACTERS_MAX = 2_000
"""Of a reason or a note: a screen of text."""


class State(StrEnum):
    """Where a case is."""

    OPEN = "open"
    CLAIMED = "claimed"
    CLOSED = "closed"


class Verdict(StrEnum):
    """What a case turned out to be."""

    FRAUD = "fraud"
    LEGITIMATE = "legitimate"
    UNSURE = "unsure"


class Conflict(WeirError):
    """A change that the case does not allow as it is now; who asked looks at it again.

    Attributes:
        code: stable machine-readable word.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Case:
    """Decisions of one key that one person looks at. Times are milliseconds since 1970.

    Attributes:
        stream: its full name.
        key: id of the stream's key entity, such as a card.
        holder: who claimed it, and of a closed case who gave the verdict.
        opened_ms: when the first of its events was decided, or when a person asked for it.
        newest_ms: time of its newest event.
        expected_loss: of all its events, see ``compute_expected_loss``; the queue's order.
        events: how many it has.
        version: of the verdict, from 1; 0 before the first.
        verdict_ms: when the newest verdict was given; the time of its labels.
        closed_ms: when the first verdict was given.
    """

    id: str
    stream: str
    key: str
    state: State
    opened_ms: int
    newest_ms: int
    expected_loss: float
    events: int
    holder: str | None = None
    verdict: Verdict | None = None
    reason: str | None = None
    version: int = 0
    verdict_ms: int | None = None
    closed_ms: int | None = None


@dataclass(frozen=True)
class Review:
    """A decision that a person looks at.

    Attributes:
        event_ms: time of the event.
        decision: as it is in the log.
        label: what of the event a label of it needs; ``None`` where some of that is not known.
    """

    key: str
    event_id: str
    event_ms: int
    decided_ms: int
    expected_loss: float
    decision: Mapping[str, Any]
    label: Mapping[str, Any] | None


def compute_expected_loss(score: float | None, stake: float | None) -> float:
    """Return what is lost if nobody looks: the score times what is at stake, either way it is moved.

    A score that failed counts as 1, so that a person looks first where no model did. Without money each event is 1.

    >>> compute_expected_loss(0.5, -200.0), compute_expected_loss(0.5, None), compute_expected_loss(None, 7.0)
    (100.0, 0.5, 7.0)
    """
    return (1.0 if score is None else score) * (1.0 if stake is None else abs(stake))


def joins(case: Case, review: Review, *, burst_ms: int) -> bool:
    """Whether a decision belongs to a case that is there: nobody has judged it, and its newest event is not far."""
    return case.state != State.CLOSED and abs(review.event_ms - case.newest_ms) <= burst_ms


def open_case(case_id: str, stream: str, review: Review, *, at_ms: int | None = None) -> Case:
    """Return the case of a first decision.

    Args:
        case_id: of the new case.
        stream: its full name.
        review: the decision.
        at_ms: when a person asked for it; without one it waits since it was decided.
    """
    opened_ms = review.decided_ms if at_ms is None else at_ms
    return Case(case_id, stream, review.key, State.OPEN, opened_ms, review.event_ms, review.expected_loss, events=1)


def add_review(case: Case, review: Review) -> Case:
    """Return a case with one more decision."""
    newest_ms, loss = max(case.newest_ms, review.event_ms), case.expected_loss + review.expected_loss
    return replace(case, newest_ms=newest_ms, expected_loss=loss, events=case.events + 1)


def claim(case: Case, by: str) -> Case:
    """Return a case as it is claimed; by its holder it may be claimed again.

    Raises:
        Conflict: somebody else holds it, or it is closed.
    """
    if case.state == State.CLOSED:
        raise Conflict("case_closed", "expected a case without a verdict, found one that is closed")
    _check_holder(case, by)
    return replace(case, state=State.CLAIMED, holder=by)


def release(case: Case, by: str, *, force: bool = False) -> Case:
    """Return a case as it is given back to the queue; one that nobody holds stays there.

    Args:
        case: to give back.
        by: who asks.
        force: also from somebody else who holds it.

    Raises:
        Conflict: somebody else holds it, or it is closed.
    """
    if case.state == State.CLOSED:
        raise Conflict("case_closed", "expected a case without a verdict, found one that is closed")
    if not force:
        _check_holder(case, by)
    return replace(case, state=State.OPEN, holder=None)


def decide(case: Case, by: str, verdict: Verdict, reason: str, *, at_ms: int) -> Case:
    """Return a case with a verdict: the holder's first one, or anybody's correction.

    The same verdict of the same person again changes nothing, so a request whose answer was lost may be repeated. The
    time never falls: of two labels the newer one counts, whatever a clock said.

    Raises:
        Conflict: nobody has claimed it, or somebody else has.
    """
    if case.state == State.OPEN:
        raise Conflict("case_not_claimed", "expected a case that you have claimed, found one that nobody has")
    if case.state == State.CLAIMED:
        _check_holder(case, by)
    if (case.holder, case.verdict, case.reason) == (by, verdict, reason):
        return case
    verdict_ms = at_ms if case.verdict_ms is None else max(at_ms, case.verdict_ms + 1)
    return replace(
        case,
        state=State.CLOSED,
        holder=by,
        verdict=verdict,
        reason=reason,
        version=case.version + 1,
        verdict_ms=verdict_ms,
        closed_ms=verdict_ms if case.closed_ms is None else case.closed_ms,
    )


def _check_holder(case: Case, by: str) -> None:
    if case.holder not in {None, by}:
        raise Conflict(
            "case_held", "expected a case that you or nobody holds, found one that somebody else has claimed"
        )
