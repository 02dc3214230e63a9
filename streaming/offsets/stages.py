"""What the groups whose offsets can be compared read and write."""

from __future__ import annotations

from dataclasses import dataclass

from weir.infra.settings import Settings
from weir.schemas.contracts import decisions_schema, features_schema


@dataclass(frozen=True)
class Stage:
    """What one group reads and writes.

    Attributes:
        source: topic that it commits offsets of.
        source_schema: of its records, where an output names something that is in them; else ``""``.
        rows: topic of its outputs, with ``rows_schema`` theirs.
        letters: topic of its dead letters.
        named: topic whose coordinates its rows carry.
        harm: what follows from offsets that were moved forward, for messages.
        verb: that runs the stage.
        meant: what to do where records are to be decided again, for messages.
    """

    group: str
    source: str
    source_schema: str
    rows: str
    rows_schema: str
    letters: str
    named: str
    harm: str
    verb: str
    meant: str = ""


def processor_stage(settings: Settings) -> Stage:
    """Return the stage that turns events into feature rows."""
    names = settings.topics
    return Stage(
        group=settings.processor.group,
        source=names.transactions,
        source_schema="",
        rows=names.features,
        rows_schema=features_schema(settings.stream),
        letters=names.dlq,
        named=names.transactions,
        harm="would be counted and never decided",
        verb="weir process",
    )


def scorer_stage(settings: Settings) -> Stage:
    """Return the stage that turns feature rows into decisions."""
    names = settings.topics
    return Stage(
        group=settings.scorer.group,
        source=names.features,
        source_schema=features_schema(settings.stream),
        rows=names.decisions,
        rows_schema=decisions_schema(settings.stream),
        letters=names.features_dlq,
        named=names.transactions,
        harm="would never be decided",
        verb="weir score",
        meant="; give `--decide-again` at each start if that is meant",
    )
