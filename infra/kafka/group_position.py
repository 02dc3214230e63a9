"""Where a group is in a partition, held against the topic that is there now.

Offsets are committed under a topic's name. Under the same name there may be another topic by now, deleted and created
again: its records up to the old offset would be passed over unseen. So the topic's id is committed next to each offset
(``infra.kafka_output.Offsets.notes``) and compared before any of them is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from weir.infra.kafka.source import Partition
from weir.schemas.errors import Refused

_DECIDES = " decides "


def format_note(topic_id: str, home_partitions: int, *, undecided_until_ms: int | None = None) -> str:
    """Write what is committed next to an offset.

    Args:
        topic_id: of the topic that the offset is about.
        home_partitions: the number of partitions under which every key counted so far belongs in its partition; 0 when
            some key does not.
        undecided_until_ms: where the records were decided in the transaction that commits the offset: the newest
            append time of rows that were there when that began. Those may be undecided, and none after them. The
            release before reads such a note as one without a number of partitions.
    """
    decides = "" if undecided_until_ms is None else f"{_DECIDES}{undecided_until_ms}"
    return f"{topic_id} {home_partitions}{decides}"


def read_undecided_until(note: str) -> int | None:
    """Return until when rows may be undecided; ``None`` from a note that does not say that records are decided.

    >>> read_undecided_until(format_note("id", 4, undecided_until_ms=7)), read_undecided_until(format_note("id", 4))
    (7, None)
    """
    _, _, until_ms = note.partition(_DECIDES)
    return int(until_ms) if until_ms.isdecimal() else None


def parse_note(note: str) -> tuple[str, int]:
    """Read a note; one without a number of partitions says 0, which promises nothing.

    >>> parse_note(format_note("id", 4)), parse_note("id")
    (('id', 4), ('id', 0))
    >>> parse_note(format_note("id", 4, undecided_until_ms=7))
    ('id', 4)
    """
    topic_id, _, home = note.partition(_DECIDES)[0].partition(" ")
    return topic_id, int(home) if home.isdecimal() else 0


@dataclass(frozen=True)
class Standing:
    """What is committed of a partition, and what its log holds.

    Attributes:
        committed: next offset of the group; ``None`` where it never committed any.
        low: the log's first offset.
        high: the log's end.
    """

    committed: int | None
    low: int
    high: int

    @property
    def next_offset(self) -> int:
        """What is committed, or else the log's first offset."""
        return self.low if self.committed is None else self.committed


class Asked(Protocol):
    """The part of ``infra.kafka_input.PartitionedInput`` that answers."""

    def committed(self, partition: Partition) -> tuple[int | None, str]:
        """Return the committed offset and the note next to it."""
        ...

    def watermarks(self, partition: Partition) -> tuple[int, int]:
        """Return the log's first offset and its end."""
        ...


def read_standing(source: Asked, partition: Partition, *, group: str, topic_id: str, start_over: str) -> Standing:
    """Return where the group stands.

    Args:
        source: the group's own read_committed consumer.
        partition: one that is assigned to it.
        group: its name, for messages.
        topic_id: of the topic as the broker has it now.
        start_over: what an operator does to begin with the new topic, for messages.

    Raises:
        Refused: the offset was committed for another topic of this name, or the log ends below it.
        Transient: no answer in time.
    """
    committed, note = source.committed(partition)
    low, high = source.watermarks(partition)
    name = f"{partition[0]}[{partition[1]}]"
    noted = parse_note(note)[0]
    if committed is not None and noted and noted != topic_id:
        raise Refused(
            f"{name} is not the topic that group {group} committed offsets for: it was created again; {start_over}"
        )
    if committed is not None and committed > high:
        raise Refused(
            f"group {group} committed {name}@{committed}, but the log ends at {high}: records were lost or the "
            f"topic was created again; {start_over}"
        )
    return Standing(committed, low, high)


def begin_at_committed(partition: Partition, found: Standing) -> int:
    """Return what is committed, or the log's first offset if nothing ever was.

    Raises:
        Refused: the log begins above it.
    """
    if found.committed is not None and found.committed < found.low:
        raise Refused(
            f"{partition[0]}[{partition[1]}] starts at {found.low}, above the committed {found.committed}: records "
            "expired undecided; raise the topic's retention, then `weir offsets recover --skip-expired --apply`"
        )
    return found.next_offset
