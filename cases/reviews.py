"""From a decision and its event to what a person looks at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir.cases.case import Review, compute_expected_loss
from weir.cases.labels import LabelPlan
from weir.schemas.expression import columns_of, find_money
from weir.schemas.expression_of_row import plan_of_row
from weir.schemas.stream import Stream


class ReviewPlan:
    """How decisions of a stream become what cases hold."""

    def __init__(self, stream: Stream) -> None:
        """Read the declarations of a stream."""
        self._stream = stream
        self._labels = LabelPlan(stream) if stream.labels else None
        money = next((each.value for each in stream.measures if find_money(each.value)), None)
        self._stake = None if money is None else plan_of_row(money)
        self._staked = frozenset() if money is None else columns_of(money)

    def is_about(self, decision: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
        """Whether a decision is about an event, by its id and its key."""
        return all(event[name] == decision[name] for name in (self._stream.id, self._stream.key.field))

    def build(self, decision: Mapping[str, Any], event: Mapping[str, Any] | None) -> Review:
        """Return what a case holds of a decision.

        Args:
            decision: as it is in the log.
            event: that it is about, where that can be read. Another event, at the place of an older one in a topic that
                was created again, is passed by.
        """
        stream = self._stream
        known = event if event is not None and self.is_about(decision, event) else decision
        is_staked = self._stake is not None and self._staked <= known.keys()
        stake = self._stake(known) if self._stake is not None and is_staked else None
        return Review(
            key=decision[stream.key.field],
            event_id=decision[stream.id],
            event_ms=decision[stream.time],
            decided_ms=decision["decision_time_ms"],
            expected_loss=compute_expected_loss(decision["score"], stake),
            decision=decision,
            label=None if self._labels is None else self._labels.pick(known),
        )
