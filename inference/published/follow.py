"""Follows what is published of a stream: read once before the first decision, then in a thread of its own.

The thread reads, checks and builds; ``standing`` is replaced in one step, and who decides takes it over between two
batches. So a version that is long or broken holds up nobody.

Nothing published, no topic, or brokers that went away: what was in force stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial

from confluent_kafka import Message

from weir.inference.model_store import load_published, read_published
from weir.inference.published.act import Act, Logged
from weir.inference.published.content import ContentReader, ReadModel, ReadRules, Standing
from weir.inference.published.log import PublishedLog
from weir.inference.published.proposals.record import parse_record
from weir.inference.published.settle import Settler
from weir.inference.published.topic import PublishedTopic, append_time_ms
from weir.infra.kafka.bounded_call import call_bounded
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused, Transient, WeirError
from weir.streaming.service import wait_for

LOOK_SECONDS = 1.0
"""A version is taken over by every process within five of it."""
STOP_SECONDS_MAX = 5.0
"""A process that is told to stop ends, brokers or not."""
SHOW_SECONDS_MAX = 3.0
"""Somebody waits for it, who also wants to see what is known without brokers."""
log = get_logger(__name__)


class Published:
    """What is published of a stream, as it was at the last look.

    Attributes:
        log: every act, and every proposal.
    """

    def __init__(self, settings: Settings, read_rules: ReadRules, read_model: ReadModel | None = None) -> None:
        """Connect lazily.

        Args:
            settings: of the stream.
            read_rules: reads the text of rules.
            read_model: finds and loads the bundle of a manifest; by default only the manifest is read, to be shown.
        """
        self.log = PublishedLog()
        self._stream = settings.stream.name
        self._topic = PublishedTopic(settings.kafka, settings.topics.published)
        read_model = read_model or partial(
            read_published, settings.stream, declarations_hash=settings.declarations_hash
        )
        self.contents = ContentReader(settings.stream, self._topic.read_parts, read_rules, read_model)
        self._settler = Settler(self.contents.build, self._tell_refused)

    @property
    def standing(self) -> Standing:
        """What is in force."""
        return self._settler.standing

    @property
    def refused(self) -> Mapping[str, str]:
        """Why acts cannot be used, by their ids."""
        return self._settler.refused

    def look(self) -> None:
        """Read what is new and take it over; a topic that is missing holds nothing.

        Raises:
            Transient: the brokers did not answer in time; what was in force stays.
        """
        try:
            if self._topic.is_another():
                self.log = PublishedLog()
        except Refused:
            return
        for message in self._topic.read_new():
            self._take(message)
        for kind in self._settler.settle(self.log):
            version = self.log.version(kind, self.standing.content(kind))
            metrics.PUBLISHED_VERSIONS.labels(result="taken").inc()
            log.info("published_taken", stream=self._stream, kind=kind, version=version)

    def has_read(self, offset: int) -> bool:
        """Tell whether the act at an offset was read."""
        return self._topic.next_offset > offset

    def close(self) -> None:
        """Disconnect."""
        self._topic.close()

    def _take(self, message: Message) -> None:
        try:
            record, at_ms = parse_record(message.value()), append_time_ms(message)
            if isinstance(record, Act):
                self.log.take(Logged(record, message.offset(), at_ms))
            else:
                self.log.proposals.take(record, at_ms)
        except Refused as error:
            metrics.PUBLISHED_VERSIONS.labels(result="unreadable").inc()
            where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
            log.warning("published_passed_by", at=where, detail=str(error))

    def _tell_refused(self, logged: Logged, reason: str) -> None:
        kind, version = logged.act.kind, logged.act.version
        metrics.PUBLISHED_VERSIONS.labels(result="refused").inc()
        stays = self.standing.content(kind)
        log.error("published_refused", stream=self._stream, kind=kind, version=version, detail=reason, stays=stays)


def read_standing(settings: Settings, read_rules: ReadRules) -> Standing:
    """Return what is in force of what is published, for who only shows it.

    Raises:
        Transient: the brokers did not answer in a few seconds.
    """
    published = Published(settings, read_rules)
    try:
        call_bounded(published.look, SHOW_SECONDS_MAX)
    except TimeoutError:  # left to the thread that waits
        raise Transient(f"kafka at {settings.kafka.bootstrap_servers}: no answer") from None
    published.close()
    return published.standing


class Follower:
    """Follows what is published until closed."""

    def __init__(self, settings: Settings, read_rules: ReadRules, *, seconds: float = LOOK_SECONDS) -> None:
        """Follow nothing yet; arguments are those of ``Published``, and seconds between two looks."""
        self._published = Published(settings, read_rules, partial(load_published, settings))
        self._seconds = seconds
        self._done = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._follow, name="published", daemon=True)

    @property
    def standing(self) -> Standing:
        """What is in force."""
        return self._published.standing

    def start(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Read to the topic's end, then follow it.

        Raises:
            Transient: the brokers stayed away.
            Stopped: while they were.
        """
        wait_for(self._published.look, should_stop)
        self._thread.start()

    def close(self) -> None:
        """End the thread and disconnect."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS_MAX)
        if not self._thread.is_alive():  # one that waits for brokers is left behind, with its client
            self._published.close()

    def _follow(self) -> None:
        while not self._done.wait(self._seconds):
            try:
                self._published.look()
            except WeirError as error:
                if not self._away:
                    log.warning("published_not_read", error=str(error))
                self._away = True
            else:
                self._away = False
