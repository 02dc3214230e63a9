"""How long topics keep records, held against what ``docs/privacy.md`` says; which lists name somebody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import end_offsets
from weir.infra.kafka.topics import TopicState, describe_states, plan_topics
from weir.infra.settings import Settings
from weir.schemas.durations import DAY_MS
from weir.schemas.stream import Stream

DAYS_MAX = 60
"""So long at most a topic with ids of people keeps a record, as docs/privacy.md states."""


@dataclass(frozen=True)
class Kept:
    """How long a topic keeps its records.

    Attributes:
        days: its retention; None where it never forgets, or keeps the newest record of each key.
        roll_days: so much longer a record may stay, until the file that it is in is closed.
        is_in_bounds: whether that is what is stated.
        why: in words.
    """

    topic: str
    days: float | None
    roll_days: float
    is_in_bounds: bool
    why: str


def read_kept(settings: Settings, streams: Sequence[Stream]) -> list[Kept]:
    """Return how long each topic that there is keeps records.

    Raises:
        Transient: the brokers did not answer in time.
    """
    states = describe_states(settings, streams)
    plans = plan_topics(settings.topics, streams)
    without_ids = {plan.name for plan in plans if plan.compacted}
    published = {plan.name for plan in plans if plan.endless}
    return [judge(name, state, without_ids=without_ids, published=published) for name, state in sorted(states.items())]


def judge(name: str, state: TopicState, *, without_ids: set[str], published: set[str]) -> Kept:
    """Return how long a topic keeps records, and whether that is what is stated."""
    kept_ms, roll_days = int(state.config["retention.ms"]), int(state.config["segment.ms"]) / DAY_MS
    if name in published:
        return Kept(name, None, roll_days, True, "rules, lists and thresholds: kept for good, see docs/privacy.md")
    if name in without_ids:
        return Kept(name, None, roll_days, True, "offsets of dead letters: no ids")
    if "compact" in state.config["cleanup.policy"] or kept_ms < 0:
        return Kept(name, None, roll_days, False, f"expected retention.ms of at most {DAYS_MAX} days, found none")
    days = kept_ms / DAY_MS
    why = "" if days <= DAYS_MAX else f"expected retention.ms of at most {DAYS_MAX} days, found {days:g}"
    return Kept(name, days, roll_days, not why, why)


def each_published_with(settings: Settings, streams: Sequence[Stream], entity_id: str) -> Iterator[str]:
    """Yield the topics of what is published that have an id in some version of a list.

    Raises:
        Transient: the brokers did not answer in time.
    """
    names = [settings.topics.of(stream).published for stream in streams]
    there = describe_states(settings, streams)
    content = entity_id.encode()
    with closing(History(settings.kafka)) as history:
        for topic in sorted(set(names) & set(there)):
            parts = [(topic, number) for number in end_offsets(settings.kafka, topic)]
            values = (
                message.value() or b""
                for at in parts
                for messages in history.read(at, history.low(at), history.end(at))
                for message in messages
            )
            if any(content in value for value in values):
                yield topic
