"""What the API needs of the world, as protocols: the real things are in ``infra``, tests bring twins in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from weir.infra.redis.partials_reader import Partials


class PartialsReader(Protocol):
    """Reads live partials; ``infra.feature_reader.FeatureReader`` is the real one."""

    def read_many(self, wanted: list[tuple[str, str]], *, from_ms: int = 0) -> list[Partials]:
        """Return the partials of ``(entity, id)`` pairs, in order.

        Raises:
            Transient: Redis is unreachable.
        """
        ...


class DecisionSource(Protocol):
    """Looks decisions up; ``inference.index.DecisionReader`` is the real one."""

    def read(self, event_id: str) -> bytes | None:
        """Return a decision as JSON bytes, or ``None``.

        Raises:
            Damaged: something else stood where it was written.
            Transient: Redis is unreachable.
        """
        ...


class EvidenceSource(Protocol):
    """Answers for past decisions from the archive; what the command line gives ``weir serve`` is the real one."""

    def answer(self, stream: str, event_id: str) -> bytes | None:
        """Return the evidence on an event as JSON bytes, or ``None`` where nothing of it is archived; it may wait.

        Raises:
            Damaged: what is archived cannot be read.
            Refused: there is no archive, or one that this version cannot read.
            Transient: too many ask, or the store cannot be read.
        """
        ...

    def close(self) -> None:
        """Stop what answers."""
        ...


@dataclass(frozen=True)
class Published:
    """Where an event is in the log."""

    topic: str
    partition: int
    offset: int


class EventPublisher(Protocol):
    """Publishes one event; ``inference.publisher.KafkaPublisher`` is the real one."""

    def publish(self, event: dict[str, object]) -> Published:
        """Write a validated event and wait, bounded, until the broker has it.

        Raises:
            Transient: the broker or the registry is unreachable; the same id again is safe, duplicates are not counted.
        """
        ...


class ReadinessCheck(Protocol):
    """Tells from memory how something stands: a request waits for no dependency."""

    def __call__(self) -> str | None:
        """Return when it works, with a warning where there is one.

        Raises:
            Transient: it does not; the message says why.
        """
        ...
