"""Dead letters for a process that serves: pages of them, one with what it holds, and what is done about one.

It is the code of ``weir dlq``, one letter at a time, for one caller at a time: the reader of a log is for one thread,
and a replay ends any other of the same topic. Others wait for a bounded time. A reader is kept for a minute, and for no
longer: of a topic that is made again it would keep what was done about the letters of the one before.

Delivery: of a replay exactly once, as ``streaming/dlq/replay.py`` says: asked again, it is settled already.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import KafkaException

from weir.infra.kafka.sink import Fenced
from weir.infra.settings import Settings
from weir.schemas.errors import Transient
from weir.streaming.dlq.checking import build_checked_repair
from weir.streaming.dlq.letter import COORDINATES_ONLY, Coordinate, DeadLetter
from weir.streaming.dlq.log import DeadLetterLog, Selection, Settlement
from weir.streaming.dlq.page import Letters, read_page
from weir.streaming.dlq.plan import Options, Step, plan_letter
from weir.streaming.dlq.repair import SchemaSource, build_field_repair
from weir.streaming.dlq.replay import Replay
from weir.streaming.dlq.step_view import describe_step
from weir.streaming.dlq.view import letter_details, letter_fields, letter_state, safe_text

WAIT_SECONDS = 5.0
"""For who asks before."""
KEPT_SECONDS = 60.0
"""What was read of a topic."""


class Done(Protocol):
    """What was done about letters; ``DoneLog`` is the real one."""

    def refresh(self) -> None:
        """Read to the end."""
        ...

    def settlement(self, letter: DeadLetter) -> Settlement | None:
        """Return what was done about a letter."""
        ...

    def attempts(self, letter: DeadLetter) -> int:
        """Return how often the record behind a letter was replayed."""
        ...


class OpenLog(Letters, Protocol):
    """A dead letter topic; ``DeadLetterLog`` is the real one."""

    topic: str

    @property
    def done(self) -> Done:
        """What was done."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


RunReplay = Callable[[Any, Selection, Options], list[Step]]
"""Settles the selected letters of a log, and returns the outcome of each."""


@dataclass(frozen=True)
class Wanted:
    """Which letters a page holds.

    Attributes:
        states: any of these; all without one.
        everything: also repeats of what was decided once, which hold coordinates alone.
        after: ends per partition, of the page before.
    """

    selection: Selection = field(default_factory=Selection)
    states: frozenset[str] = frozenset()
    everything: bool = False
    limit: int = 50
    after: Mapping[int, int] | None = None


@dataclass(frozen=True)
class Change:
    """What is done about a letter.

    Attributes:
        assignments: fields and their new values, as texts of ``weir dlq replay --set``.
        parked: take it up although it was parked.
        discard: settle it without sending it again.
    """

    assignments: Mapping[str, str] = field(default_factory=dict)
    parked: bool = False
    discard: bool = False


class LetterDesk:
    """The dead letters of a stream."""

    def __init__(
        self,
        settings: Settings,
        schemas: SchemaSource,
        *,
        open_log: Callable[[str], OpenLog],
        run_replay: RunReplay,
        now_ms: Callable[[], int],
    ) -> None:
        """Connect lazily.

        Args:
            settings: of the stream.
            schemas: where writer schemas come from.
            open_log: opens one of the topics.
            run_replay: settles letters.
            now_ms: the clock, UTC epoch ms.
        """
        own = settings.topics
        labels = () if settings.stream.labels is None else (own.labels_dlq,)
        self.topics = (own.dlq, *labels, own.features_dlq)
        self._settings, self._schemas = settings, schemas
        self._open_log, self._run_replay, self._now_ms = open_log, run_replay, now_ms
        self._logs: dict[str, tuple[OpenLog, float]] = {}
        self._lock = threading.Lock()

    def page(self, topic: str, wanted: Wanted) -> dict[str, Any]:
        """Return a page of letters, the newest first, and the cursor of the next.

        Raises:
            Refused: the topic is missing.
            Transient: the brokers did not answer in time, or too many ask.
        """
        with self._use(topic) as log:
            log.done.refresh()

            def keep(letter: DeadLetter) -> bool:
                if letter.reason in COORDINATES_ONLY and not (wanted.everything or wanted.selection.reasons):
                    return False
                return not wanted.states or letter_state(letter, log.done.settlement(letter)) in wanted.states

            page = read_page(log, wanted.selection, keep, limit=wanted.limit, after=wanted.after)
            rows = [_show_row(each, log.done.settlement(each)) for each in page.letters]
            return {"topic": topic, "topics": list(self.topics), "letters": rows, "next": page.cursor or None}

    def show(self, topic: str, partition: int, offset: int) -> dict[str, Any] | None:
        """Return a letter with all that it holds and what would be sent again; None where there is none.

        Raises:
            Refused: the topic is missing.
            Transient: the brokers or the registry did not answer in time.
        """
        with self._use(topic) as log:
            letter = self._find(log, partition, offset)
            if letter is None:
                return None
            settlement = log.done.settlement(letter)
            details = _show_row(letter, settlement) | letter_details(letter, settlement, self._schemas)
            return details | {"replay": self._describe(self._plan(log, letter, Options()))}

    def check(self, topic: str, partition: int, offset: int, change: Change) -> dict[str, Any] | None:
        """Return what a change would do about a letter; nothing is written. Raises as ``show``."""
        with self._use(topic) as log:
            letter = self._find(log, partition, offset)
            return None if letter is None else self._describe(self._plan(log, letter, self._build_options(change)))

    def settle(self, topic: str, partition: int, offset: int, change: Change) -> dict[str, Any] | None:
        """Make a change, and return its outcome.

        Raises:
            Refused: the topic is missing.
            Transient: the brokers or the registry did not answer in time, or another replay of the topic began. Either
                it is done or it is not: the letter's state says which.
        """
        with self._use(topic) as log:
            if self._find(log, partition, offset) is None:
                return None
            selection = Selection(partition=partition, offset=offset)
            steps = self._run_replay(log, selection, self._build_options(change))
            return self._describe(steps[0]) if steps else None

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            for topic in list(self._logs):
                self._drop(topic)

    @contextmanager
    def _use(self, topic: str) -> Iterator[OpenLog]:
        assert topic in self.topics, "the caller looks at what a request names"
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise Transient("expected the reader of dead letters to be free, found others that ask; ask again")
        try:
            yield self._open(topic)
        except BaseException as error:
            self._drop(topic)
            if isinstance(error, KafkaException):
                raise Transient(f"kafka: {error.args[0].str()}") from error
            if isinstance(error, Fenced):
                raise Transient("expected the only replay of these dead letters, found another; ask again") from error
            raise
        finally:
            self._lock.release()

    def _open(self, topic: str) -> OpenLog:
        now = time.monotonic()
        if topic in self._logs and now - self._logs[topic][1] > KEPT_SECONDS:
            self._drop(topic)
        if topic not in self._logs:
            self._logs[topic] = self._open_log(topic), now
        return self._logs[topic][0]

    def _drop(self, topic: str) -> None:
        log, _ = self._logs.pop(topic, (None, 0.0))
        if log is not None:
            log.close()

    def _find(self, log: OpenLog, partition: int, offset: int) -> DeadLetter | None:
        log.done.refresh()
        selection = Selection(partition=partition, offset=offset)
        ends = {number: end for number, (_, end) in log.bounds(selection).items()}
        return next(iter(list(log.scan(selection, ends))), None)

    def _build_options(self, change: Change) -> Options:
        repair = None
        if change.assignments:
            key_field = self._settings.stream.key.field
            repair = build_field_repair(dict(change.assignments), self._schemas, key_field=key_field)
            repair = build_checked_repair(repair, self._settings, self._schemas, clock_ms=self._now_ms)
        return Options(discard=change.discard, parked=change.parked, repair=repair)

    def _plan(self, log: OpenLog, letter: DeadLetter, options: Options) -> Step:
        settlement, attempts = log.done.settlement(letter), log.done.attempts(letter)
        prefix = self._settings.processor.dlq_header_prefix
        return plan_letter(prefix, letter, settlement=settlement, attempts=attempts, options=options)

    def _describe(self, step: Step) -> dict[str, Any]:
        shown = describe_step(step, self._schemas, self._settings.stream.id)
        source = step.letter.source
        return {
            "outcome": step.outcome,
            "note": safe_text(step.note),
            "attempt": step.attempt,
            "topic": source.topic if source is not None and step.record is not None else None,
            "changes": [
                {"field": name, "before": before, "after": after}
                for name, (before, after) in shown.get("changes", {}).items()
            ],
        }


def build_letters(settings: Settings, schemas: SchemaSource, *, now_ms: Callable[[], int]) -> LetterDesk:
    """Return the dead letters of a stream on real servers, which are asked when they are needed."""

    def run(log: DeadLetterLog, selection: Selection, options: Options) -> list[Step]:
        steps: list[Step] = []
        Replay(settings, log, clock_ms=now_ms).run(selection, options, on_step=steps.append)
        return steps

    return LetterDesk(
        settings, schemas, open_log=lambda topic: DeadLetterLog(settings, topic), run_replay=run, now_ms=now_ms
    )


def _show_row(letter: DeadLetter, settlement: Settlement | None) -> dict[str, Any]:
    at: Coordinate = letter.at
    return {"partition": at.partition, "offset": at.offset, **letter_fields(letter, settlement)}
