"""What each kind of process looks at, and what of it goes to the metrics. How it looks: ``health/watch.py``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from weir.infra.findings import Finding, worst
from weir.infra.host import examine_host, judge_clock, measure_rooms, places
from weir.infra.invariants import examine_registry
from weir.infra.kafka.positions import Following, GroupPosition, Positions, followings
from weir.infra.kafka.topics import examine_topics
from weir.infra.redis.client import connect
from weir.infra.redis.watch import RedisWatch, watch_key
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.monitoring.health import HEALTH, Health
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient
from weir.streaming.health.watch import Look, Watch

SELDOM_SECONDS = 60.0
"""Topics and subjects change by hand, and a check of all of them is some twenty requests."""
AGAIN_SECONDS = 10.0
"""After a fault was found: the operator who fixes it waits for the page to say so."""
REDIS_SECONDS_MAX = 2.0
"""An ``INFO`` takes a millisecond; a server that hangs must be seen within 10 s, whatever other calls may take."""
OnPositions = Callable[[Sequence[GroupPosition]], None]
log = get_logger(__name__)


def start_watch(
    settings: Settings,
    *,
    stages: tuple[str, ...],
    others: Sequence[Settings] = (),
    redis: bool = True,
    registry: bool = True,
    on_loss: Callable[[str], bool] | None = None,
    on_positions: OnPositions = lambda _: None,
    health: Health = HEALTH,
) -> Watch:
    """Begin to look at all that a process relies on; close what is returned at its end.

    Args:
        settings: of the stream that the process works on.
        stages: whose groups' positions are reported.
        others: of further streams of this deployment that the process works on.
        redis: whether the process uses it.
        registry: whether the process uses it.
        on_loss: see ``LossHook``; given, what was seen of Redis is kept in Redis too, so that a loss while no process
            ran is reported to the next one.
        on_positions: called with where the groups stand, at each look.
        health: where the health pages read.
    """
    streams = (settings, *others)
    followed = [each for stream in streams for each in followings(stream) if each.stage in stages]
    kafka = KafkaLook(streams, followed, on_positions=on_positions)
    looks: dict[str, Look] = {"kafka": kafka, "host": lambda: look_at_host(settings)}
    if redis:
        looks["redis"] = RedisLook(settings, on_loss)
    question = RegistryQuestion(settings)
    if registry:
        looks["registry"] = Seldom(lambda: examine_streams(streams, examine_registry), ask=question)
    return Watch(looks, health=health, on_close=question.close).start()


def examine_streams(streams: Sequence[Settings], examine: Callable[[Settings], list[Finding]]) -> list[Finding]:
    """Look at what each stream relies on; where some fail and others do not, the findings say that.

    Args:
        streams: the settings of each.
        examine: looks at one of them.
    """
    found = [examine(each) for each in streams]
    if any(worst(each) != "fail" for each in found):
        found = [[replace(finding, of_some=not finding.well) for finding in each] for each in found]
    return list(dict.fromkeys(finding for each in found for finding in each))


class LossHook:
    """Hands a loss of keys to what can deal with it, once there is somebody.

    Attributes:
        handler: told why Redis may have lost keys that no position tells of. It must have marked every unit of the
            group, whichever process owns it, before it returns; ``Transient`` has it told again.
    """

    def __init__(self) -> None:
        """Wait for a handler: until there is one, a loss is kept and told again."""
        self.handler: Callable[[str], None] | None = None

    def __call__(self, reason: str) -> bool:
        """Return whether the loss was dealt with."""
        if self.handler is None:
            return False
        try:
            self.handler(reason)
        except Transient as error:
            log.warning("loss_not_marked", reason=reason, error=str(error))
            return False
        return True


class Seldom:
    """Looks seldom and, in between, only asks whether somebody answers; then the findings before still stand."""

    def __init__(
        self, look: Look, ask: Callable[[], object] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Bind to a costly look and a cheap question; either raises ``Transient`` when nobody answers."""
        self._look = look
        self._ask = ask
        self._clock = clock
        self._found: Sequence[Finding] = []
        self._due = clock()

    def __call__(self) -> Sequence[Finding]:
        """Return what the last costly look found."""
        if self._clock() < self._due:
            self._ask()
            return self._found
        self._found = self._look()
        well = all(finding.well for finding in self._found)
        self._due = self._clock() + (SELDOM_SECONDS if well else AGAIN_SECONDS)
        return self._found


class RegistryQuestion:
    """Asks the registry for a sign of life, over one connection."""

    def __init__(self, settings: Settings) -> None:
        """Connect nothing yet."""
        self._registry = Registry(settings.registry)

    def __call__(self) -> None:
        """Ask once; raises ``Transient`` without an answer."""
        self._registry.wait_ready(0.0)

    def close(self) -> None:
        """Disconnect."""
        self._registry.close()


class KafkaLook:
    """Reports where groups stand, compares the clocks, and seldom looks at the topics."""

    def __init__(
        self,
        streams: Sequence[Settings],
        followed: Sequence[Following],
        now_ms: Callable[[], int] | None = None,
        on_positions: OnPositions = lambda _: None,
    ) -> None:
        """Bind to the settings of each stream; ``now_ms`` is our clock, UTC epoch ms."""
        self._on_positions = on_positions
        self._followed = followed
        self._clocked = tuple(each.topics.transactions for each in streams)
        self._positions = Positions(streams[0].kafka)
        self._topics = Seldom(lambda: examine_streams(streams, examine_topics))
        self._now_ms = now_ms or (lambda: int(time.time() * 1_000))
        self._looked_ms: int | None = None
        self._newest: dict[tuple[str, int], tuple[int, int]] = {}
        self._clock = Finding("clock", "ok", "the clocks were not compared yet")

    def __call__(self) -> Sequence[Finding]:
        """Look once; raises ``Transient`` while no broker answers."""
        found = self._positions.read(self._followed)
        self._on_positions(found)
        for at in found:
            labels = (at.stage, at.topic, str(at.partition))
            metrics.COMMITTED_OFFSET.labels(*labels).set(at.committed)
            metrics.END_OFFSET.labels(*labels).set(at.end)
        return [*self._topics(), self._compare_clocks()]

    def _compare_clocks(self) -> Finding:
        try:
            newest = self._positions.read_newest(self._clocked)
        except Transient:
            return self._clock  # a broker that does not know: the positions were answered, so it is not away
        now_ms = self._now_ms()
        # partitions known before, whose newest record was not there at the check before
        fresh = [newest[number] for number, old in self._newest.items() if newest.get(number, old)[0] > old[0]]
        if self._looked_ms is not None and fresh:
            self._clock = judge_clock(
                looked_ms=self._looked_ms, now_ms=now_ms, appended_ms=max(appended for _, appended in fresh)
            )
        self._looked_ms, self._newest = now_ms, newest
        return self._clock


class RedisLook:
    """Reports memory and evictions, and tells of losses."""

    def __init__(self, settings: Settings, on_loss: Callable[[str], bool] | None) -> None:
        """Connect nothing yet: of a cluster, no node may answer."""
        patience = min(settings.redis.timeout_seconds, REDIS_SECONDS_MAX)
        self._redis = settings.redis.model_copy(update={"timeout_seconds": patience})
        self._key = watch_key(settings.cluster, settings.processor.group) if on_loss is not None else None
        self._on_loss = on_loss or (lambda _: True)
        self._watch: RedisWatch | None = None
        metrics.REDIS_LOSSES.inc(0)

    def __call__(self) -> Sequence[Finding]:
        """Look once; raises ``Transient`` while a server is unreachable."""
        if self._watch is None:
            self._watch = RedisWatch(connect(self._redis), key=self._key, on_loss=self._on_loss)
        look = self._watch.look()
        for state, compared in zip(look.states, look.comparisons, strict=True):
            server = state.server or "redis"
            metrics.REDIS_USED_BYTES.labels(server=server).set(state.used_bytes)
            metrics.REDIS_MAX_BYTES.labels(server=server).set(state.max_bytes)
            metrics.REDIS_EVICTED_KEYS.labels(server=server).inc(compared.evicted)
            if compared.loss:
                log.error("redis_lost_keys", reason=compared.loss)
                metrics.REDIS_LOSSES.inc()
        return look.findings


def look_at_host(settings: Settings) -> list[Finding]:
    """Report the room on disk, and return how this machine stands."""
    for room in measure_rooms(places(settings.home)):
        metrics.DISK_FREE_BYTES.labels(place=room.place).set(room.free_bytes)
        metrics.DISK_SIZE_BYTES.labels(place=room.place).set(room.size_bytes)
    return examine_host(settings.home)
