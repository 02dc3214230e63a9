"""What the API needs of the world, as protocols: the real things are in ``infra``, tests bring twins in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from weir.inference.core.lists import Note
from weir.inference.published.act import Alias
from weir.inference.published.lists_change import ListsAction
from weir.infra.redis.partials_reader import Partials
from weir.schemas.search import Search
from weir.streaming.dlq.desk import Change, Wanted


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


class SearchSource(Protocol):
    """Searches past decisions in the archive; what the command line gives ``weir serve`` is the real one."""

    def find(self, stream: str, search: Search) -> bytes | None:
        """Return a page of decisions as JSON bytes, or ``None`` where no decision is archived; it may wait.

        Raises:
            Damaged: what is archived cannot be read.
            Refused: the archive is one that this version cannot read.
            Transient: too many ask, which its cause ``busy`` says, or the store cannot be read.
        """
        ...

    def count_days(self, stream: str, days: int) -> bytes | None:
        """Return what was decided on the last days as JSON bytes; as ``find``."""
        ...

    def close(self) -> None:
        """Stop what answers."""
        ...


class CurveSource(Protocol):
    """Measures what thresholds do by the archive; what the command line gives ``weir serve`` is the real one."""

    def measure(self, stream: str, name: str, version: str, thresholds: tuple[float, ...], days: int) -> bytes | None:
        """Return what the thresholds of a model of a stream with labels do; raises as ``SearchSource.find``."""
        ...

    def close(self) -> None:
        """Stop what answers."""
        ...


class AroundSource(Protocol):
    """Looks at what is around an event; what the command line gives ``weir serve`` is the real one.

    Each finds ``None`` where nothing is archived at all, and no bytes where the event is not; raises as
    ``SearchSource.find``.
    """

    def find_links(self, stream: str, event_id: str) -> bytes | None:
        """Return the other keys that had the ids of an event, as JSON bytes; it may wait."""
        ...

    def find_normal(self, stream: str, event_id: str) -> bytes | None:
        """Return the windows of an event's key against what they were at its earlier events, as JSON bytes."""
        ...

    def close(self) -> None:
        """Stop what answers."""
        ...


class ArchiveSources(NamedTuple):
    """What answers from the archive."""

    evidence: EvidenceSource | None
    search: SearchSource | None
    curves: CurveSource | None = None
    around: AroundSource | None = None


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


class LetterSource(Protocol):
    """The dead letters of a stream; ``streaming.dlq.desk.LetterDesk`` is the real one. Each may wait.

    Each raises ``Refused`` where the topic is missing, and ``Transient`` where Kafka or the registry is unreachable.
    """

    @property
    def topics(self) -> Sequence[str]:
        """Topics of dead letters, that of the stream's events first; the methods take one of them."""
        ...

    def page(self, topic: str, wanted: Wanted) -> dict[str, Any]:
        """Return a page."""
        ...

    def show(self, topic: str, partition: int, offset: int) -> dict[str, Any] | None:
        """Return a letter, or None where there is none."""
        ...

    def check(self, topic: str, partition: int, offset: int, change: Change) -> dict[str, Any] | None:
        """Return what a change would do, and write nothing."""
        ...

    def settle(self, topic: str, partition: int, offset: int, change: Change) -> dict[str, Any] | None:
        """Make a change."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class ProposalsSource(Protocol):
    """What was proposed of a kind; ``inference.published.proposals.desk.ProposalsDesk`` is the real one. Each may wait.

    Each raises ``Transient`` where Kafka is unreachable, and what the real one says.
    """

    def show(self) -> dict[str, Any]:
        """Return the newest proposals."""
        ...

    def approve(self, proposal_id: str, *, who: str, why: str) -> dict[str, Any]:
        """Put one in force."""
        ...

    def reject(self, proposal_id: str, *, who: str, why: str) -> dict[str, Any]:
        """Say no to one."""
        ...


class RulesSource(Protocol):
    """The rules of a stream; ``inference.published.desk.RulesDesk`` is the real one. Each may wait.

    Each raises ``Transient`` where Kafka is unreachable, and what the real one says.
    """

    @property
    def proposals(self) -> ProposalsSource:
        """What was proposed of them."""
        ...

    def show(self, version: str = "") -> dict[str, Any]:
        """Return the rules in force, or those of a version, with the history."""
        ...

    def check(self, text: str, *, tries: bool) -> dict[str, Any]:
        """Return what is wrong with a text, and what it would change."""
        ...

    def publish(self, text: str, *, who: str, why: str, force: str) -> dict[str, Any]:
        """Publish a text."""
        ...

    def roll_back(self, version: str, *, who: str, why: str) -> dict[str, Any]:
        """Put a version in force again."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class ListsSource(Protocol):
    """The lists of a stream; ``inference.published.lists_desk.ListsDesk`` is the real one. Each may wait.

    Each raises ``Transient`` where Kafka is unreachable, and what the real one says.
    """

    @property
    def proposals(self) -> ProposalsSource:
        """What was proposed of them."""
        ...

    def show(
        self, side: str = "", entity: str = "", begins: str = "", limit: int = 100, version: str = ""
    ) -> dict[str, Any]:
        """Return the lists in force or of a version, of their entries the first that fit, and the history."""
        ...

    def change(
        self,
        action: ListsAction,
        side: str,
        entity: str,
        entries: Sequence[str],
        note: Note,
        *,
        who: str,
        why: str,
        force: str,
    ) -> dict[str, Any]:
        """Add entries, or take them out."""
        ...

    def roll_back(self, version: str, *, who: str, why: str) -> dict[str, Any]:
        """Put a version in force again."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class ModelsSource(Protocol):
    """The choices of models of a stream; ``inference.published.models_desk.ModelsDesk`` is the real one. Each may wait.

    Each raises ``Transient`` where Kafka is unreachable.
    """

    def list_choices(self) -> dict[str, Any]:
        """Return who chose which model, when and why."""
        ...

    def take_back(self, role: Alias, version: str, *, who: str, why: str) -> dict[str, Any]:
        """End a canary or a shadow, or have the champion before decide."""
        ...


class ReadinessCheck(Protocol):
    """Tells from memory how something stands: a request waits for no dependency."""

    def __call__(self) -> str | None:
        """Return when it works, with a warning where there is one.

        Raises:
            Transient: it does not; the message says why.
        """
        ...
