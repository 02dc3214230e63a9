"""What a loop holds of its units besides their positions: nothing, or a view that follows the log.

The loop and its units (``streaming/loop.py``, ``streaming/units.py``) are the same for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from weir.infra.kafka.group_position import read_standing
from weir.infra.kafka.source import Gathered, PartitionedInput
from weir.infra.redis.unit import Unit
from weir.streaming.stage import Outcome, PlainStage
from weir.streaming.state.catch_up import Beginning, Recovered
from weir.streaming.state.view_writer import Write


@dataclass
class Live:
    """A unit whose records are taken.

    Attributes:
        next_offset: of the input, to be decided next.
        since_ms: append time from which what is held of it is complete.
        has_committed: whether a batch of it is committed since it began.
    """

    next_offset: int
    since_ms: int
    has_committed: bool = False


class UnitState(Protocol):
    """What is held of units."""

    def begin(self, unit: Unit) -> Beginning:
        """Bring a unit up to what its group committed; yields ``None`` between steps and the result at the end.

        Raises:
            Transient: a dependency is unreachable; start over.
            Refused: the log and the offsets contradict each other; the message names the fix.
        """
        ...

    def process(self, gathered: Gathered, live: Mapping[Unit, Live]) -> list[Outcome]:
        """Judge and compute a batch: steps 2 and 3. It may cut ``gathered`` short: what is left out comes again.

        Raises:
            Transient: nothing of the batch counts.
        """
        ...

    def note_computed(self, units: Sequence[Unit]) -> None:
        """Take down that records of units were computed: what ends the process now is not their fault.

        Raises:
            Transient: a dependency is unreachable.
        """
        ...

    def note(self, write: Write) -> str:
        """Return what is committed next to a unit's offset."""
        ...

    def pin(self, writes: Sequence[Write]) -> None:
        """Continue from what a batch changes. Its commit is under way: its units are forgotten if that fails."""
        ...

    def apply(self, writes: Sequence[Write]) -> None:
        """Begin step 5 of what was just committed; called in the committer's thread."""
        ...

    def collect(self, timeout_seconds: float | None, *, behind_max: int) -> Iterable[tuple[Unit, bool]]:
        """Wait until at most so many records are on their way; return which units' writes ended, and whether well.

        Raises:
            TimeoutError: more are still on their way.
        """
        ...

    def tidy(self) -> None:
        """Keep memory and view within their bounds; called between batches."""
        ...

    def check(self, units: Sequence[Unit]) -> None:
        """Find out once in a while whether units are where they were left: one without records would not tell.

        Raises:
            StaleState: some are not.
            Transient: a dependency is unreachable.
        """
        ...

    def forget(self, unit: Unit) -> None:
        """Drop what is held of a unit; it begins again, if it is still ours."""
        ...

    def let_go(self, unit: Unit) -> None:
        """Drop a unit that is no longer ours."""
        ...

    def observe(self, gathered: Gathered, outcomes: Sequence[Outcome], at_ms: float) -> None:
        """Tell the metrics of a batch that was committed at a time, UTC epoch ms."""
        ...


class NoState:
    """Of a stage that keeps nothing: a partition begins at what is committed."""

    def __init__(self, stage: PlainStage, source: PartitionedInput, *, group: str, topic_id: str, start_over: str):
        """Bind to a stage.

        Args:
            stage: the loop's only one.
            source: the loop's own.
            group: that commits.
            topic_id: of the stage's topic as the broker has it now; committed next to each offset.
            start_over: what an operator does when the topic was created again, for messages.
        """
        self._stage = stage
        self._source = source
        self._group = group
        self._topic_id = topic_id
        self._start_over = start_over

    def begin(self, unit: Unit) -> Beginning:
        """Ask what is committed."""
        partition = (self._stage.topic, unit.partition)
        found = read_standing(
            self._source, partition, group=self._group, topic_id=self._topic_id, start_over=self._start_over
        )
        yield Recovered(unit, self._stage.begin(partition, found), 0)

    def process(self, gathered: Gathered, live: Mapping[Unit, Live]) -> list[Outcome]:
        """Hand a batch to the stage."""
        del live
        return [self._stage.process({number: records for (_, number), records in gathered.records.items()})]

    def note_computed(self, units: Sequence[Unit]) -> None:
        """Do nothing: nobody counts."""

    def note(self, write: Write) -> str:
        """Return the topic's id."""
        del write
        return self._topic_id

    def pin(self, writes: Sequence[Write]) -> None:
        """Do nothing: there is no view."""

    def apply(self, writes: Sequence[Write]) -> None:
        """Do nothing: there is no view."""

    def collect(self, timeout_seconds: float | None, *, behind_max: int) -> Iterable[tuple[Unit, bool]]:
        """Return nothing: nothing is ever on its way."""
        del timeout_seconds, behind_max
        return []

    def tidy(self) -> None:
        """Do nothing."""

    def check(self, units: Sequence[Unit]) -> None:
        """Do nothing."""

    def forget(self, unit: Unit) -> None:
        """Do nothing."""

    def let_go(self, unit: Unit) -> None:
        """Do nothing."""

    def observe(self, gathered: Gathered, outcomes: Sequence[Outcome], at_ms: float) -> None:
        """Do nothing: the loop says all there is to say."""
