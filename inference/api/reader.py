"""Builds the reader of live partials: topics are asked of the broker, because their ids are part of every key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from weir.inference.api.ports import PartialsReader
from weir.infra.kafka.admin import describe_topics
from weir.infra.redis.client import Client
from weir.infra.redis.partials_reader import FeatureReader, Partials, Stored
from weir.infra.redis.state_view import StateView
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused, Transient
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.seal import find_broken

REFRESH_SECONDS = 10.0
"""A topic created again or given more partitions is seen this soon after a read."""
log = get_logger(__name__)


class CurrentReader:
    """Reads over the units that the topics have now, which may be others than when it was built.

    The topics are asked for again in parallel with reads, never before one: a read waits for Redis alone.
    """

    def __init__(
        self,
        build: Callable[[], PartialsReader],
        clock: Callable[[], float] = time.monotonic,
        *,
        required: bool = True,
    ) -> None:
        """Build the first reader.

        Args:
            build: asks for the topics; what it raises later keeps the reader that there is.
            clock: seconds.
            required: raise a ``Refused`` of the first one too; else the topics are awaited, and a read says what they
                lack.

        Raises:
            Refused: a topic does not exist.
            Transient: the brokers did not answer in time.
        """
        self._build = build
        self._clock = clock
        self._reader: PartialsReader | None = None
        self._missing = ""
        self._refresh_at = clock() + REFRESH_SECONDS
        try:
            self._reader = build()
        except Refused as error:
            if required:
                raise
            self._note_missing(error)

    def read_many(self, wanted: list[tuple[str, str]], *, from_ms: int = 0) -> list[Partials]:
        """Return the partials of ``(entity, id)`` pairs; see ``inference.ports.PartialsReader``.

        Raises:
            Refused: the topics have not been there yet.
        """
        if self._clock() >= self._refresh_at:
            self._refresh_at = self._clock() + REFRESH_SECONDS
            threading.Thread(target=self._refresh, name="topics", daemon=True).start()
        if self._reader is None:
            raise Refused(self._missing)
        return self._reader.read_many(wanted, from_ms=from_ms)

    def _refresh(self) -> None:
        try:
            self._reader = self._build()
        except (Refused, Transient) as error:
            self._note_missing(error)

    def _note_missing(self, error: Exception) -> None:
        self._missing = str(error)
        log.warning("topics_not_read", error=self._missing)


def build_feature_reader(settings: Settings, client: Client, kernel: Kernel) -> FeatureReader:
    """Return a reader over all units of this deployment.

    Raises:
        Refused: a topic does not exist.
        Transient: the brokers did not answer in time.
    """
    stream, names = settings.stream, settings.topics
    inputs = {"t": names.transactions} | ({"l": names.labels} if stream.labels else {})
    topics = describe_topics(settings.kafka, list(inputs.values()))
    units = {kind: topics[topic] for kind, topic in inputs.items()}
    view = StateView(
        client,
        cluster=settings.cluster,
        group=settings.processor.group,
        topic_ids={kind: facts.topic_id for kind, facts in units.items()},
        declarations_hash=settings.declarations_hash,
        look_back_ms=stream.horizon_ms + stream.label_hold_ms,
    )
    return FeatureReader(
        client,
        view,
        partitions=units["t"].partitions,
        label_partitions=units["l"].partitions if "l" in units else 0,
        find_broken=partial(find_broken_values, kernel),
    )


def find_broken_values(kernel: Kernel, stored: Sequence[Stored]) -> list[Stored]:
    """Return the values that do not carry the seal of their key."""
    bases = [kernel.seal_base(one.unit.kind, one.entity, one.unit.partition) for one in stored]
    broken = find_broken(bases, [one.entity_id for one in stored], [one.value for one in stored])
    return [stored[place] for place in broken.tolist()]
