"""Keeps every version of rules, lists and thresholds of a stream as it comes, from where deciders find it.

Models are kept by what decides (``archive/keeping.py``): decisions name them.

A record that is no act of ours, or whose text is not what it says, is told and passed by: no decision was made by it
either.

**Delivery:** a version is kept before what it was read from counts as read, so one that could not be written is
written at the next look. How far the topic was read is kept next to the versions: a start reads what is new. Without
that file, or where the topic is another one, it reads all, and keeps what is not there.
"""

from __future__ import annotations

from collections import deque

from confluent_kafka import Message

from weir.archive.in_force.versions import PUBLISHED, KeptVersion, Versions
from weir.inference.published.act import ALIASES, Act
from weir.inference.published.proposals.record import parse_record
from weir.inference.published.topic import PublishedTopic, append_time_ms
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused

log = get_logger(__name__)


class PublishedKeeper:
    """Keeps the versions of one topic; one thread at a time."""

    def __init__(self, topic: PublishedTopic, versions: Versions) -> None:
        """Bind to a topic, which may be missing, and to where its versions are kept."""
        self._topic = topic
        self._versions = versions
        self._waiting: deque[Message] = deque()
        self._read_up_to = 0

    def look(self) -> None:
        """Keep what is new.

        Raises:
            Transient: brokers or store did not answer in time; look again.
        """
        try:
            is_another = self._topic.is_another()
        except Refused:  # nothing was ever published, or the topic is gone: what was kept stays
            return
        if is_another:
            self._waiting.clear()
            self._topic.next_offset = self._read_up_to = self._versions.read_position(self._topic.topic_id)
        self._waiting.extend(self._topic.read_new())
        while self._waiting:
            self._take(self._waiting[0])
            self._waiting.popleft()
        if self._topic.next_offset != self._read_up_to:
            self._versions.keep_position(self._topic.topic_id, self._topic.next_offset)
            self._read_up_to = self._topic.next_offset

    def _take(self, message: Message) -> None:
        where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        try:
            act = parse_record(message.value())
            if not isinstance(act, Act):
                return  # a proposal decides nothing; what approves it is an act
            if act.action != "rollback" and act.kind not in ALIASES:  # a rollback names a version that was kept
                self._keep(act, append_time_ms(message))
        except Refused as error:
            log.error("version_not_kept", at=where, detail=str(error))

    def _keep(self, act: Act, at_ms: int) -> None:
        texts = [act.text] if act.text is not None else self._topic.read_parts(act)
        kept = KeptVersion(
            kind=act.kind,  # type: ignore[arg-type]  # models are not kept here
            version=act.version,
            content=act.hash,
            texts=[self._versions.keep_text(text.encode()) for text in texts],
            parent=act.parent,
            source=PUBLISHED,
            who=act.who,
            why=act.why,
            at_ms=at_ms,
        )
        self._versions.keep(kept)
