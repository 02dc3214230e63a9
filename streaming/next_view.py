"""The view of other declarations, built next to the one that follows the log.

A view is named by the hash of its declarations, so both are alive in Redis, under one group. The process that decides
records says which of them follows the log, unit by unit (``StateView.follow``). The next one is folded from the log by
the same catch-up, up to what the group committed, again and again, and is never read meanwhile. A processor of the next
declarations that starts then has only what came since to fold: that is the cut-over, and nothing else is switched.
The view before stays where it was left until it is dropped (``streaming/drop_view.py``), so the way back is the same.

Delivery: exactly once, as in catch-up. Nothing is decided, published or committed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from weir.infra.findings import refuse
from weir.infra.invariants import examine_start
from weir.infra.kafka.admin import TopicFacts, describe_topics
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.history import History
from weir.infra.kafka.source import PartitionedInput
from weir.infra.redis.client import connect
from weir.infra.redis.unit import Unit
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient
from weir.streaming.kernels import kernel_of
from weir.streaming.service import wait_for
from weir.streaming.stage import FoldingStage, do_nothing
from weir.streaming.state.catch_up import CatchUpContext, build_ahead
from weir.streaming.wiring import build_stages, build_store, build_view, name_inputs

READY_RECORDS: Final = 20_000
"""A round that has no more to fold leaves a cut-over half a second of folding."""
ROUND_SECONDS: Final = 2.0
_AWAY_SECONDS_MAX: Final = 900.0
"""Redis or Kafka that stays away this long ends the command: the operator should see it."""

Tell = Callable[[str], object]
ShouldStop = Callable[[], bool]
log = get_logger(__name__)


class NextView:
    """The units of a view that does not follow the log."""

    def __init__(self, context: CatchUpContext, stages: dict[str, FoldingStage]) -> None:
        """Bind to ports.

        Args:
            context: of catch-up; its view is the next one.
            stages: of the next declarations, by the kind of their units.
        """
        self._context = context
        self._stages = stages
        self.units = [Unit(kind, number) for kind, stage in stages.items() for number in range(stage.partitions)]

    def waiting(self) -> list[Unit]:
        """Return the units that another view follows.

        Raises:
            Transient: Redis is unreachable.
        """
        loaded = self._context.view.load_many([(unit, []) for unit in self.units])
        return [unit for unit in self.units if loaded[unit].moved_on]

    def build(self, unit: Unit, should_stop: ShouldStop) -> int:
        """Bring a unit up to what is committed; return how many offsets were passed.

        Raises:
            Transient: a dependency is unreachable, or the unit was taken over meanwhile.
        """
        steps = build_ahead(self._context, self._stages[unit.kind], unit)
        with closing(steps):
            try:
                while not should_stop():
                    next(steps)
                    self._context.store.trim()
            except StopIteration as ended:
                return int(ended.value)
            finally:
                # another process may write it from now on
                self._context.store.forget(unit)
        return 0


def build_next_view(
    settings: Settings,
    *,
    should_stop: ShouldStop,
    tell: Tell,
    until_ready: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    on_step: Callable[[str], None] = do_nothing,
) -> bool:
    """Build the view of a stream's declarations until processors of them have taken every unit over.

    Args:
        settings: of the stream as it is declared next.
        should_stop: asked between steps.
        tell: is given a line for each thing that the operator has to know.
        until_ready: end once a cut-over has next to nothing to fold.
        sleep: between two rounds.
        on_step: called at each numbered step of catch-up, and at ``next_view_ready``; tests look there.

    Returns:
        Whether it got that far before it was told to stop.

    Raises:
        Refused: topics, Redis or offsets are not as the promises need them.
        Transient: a dependency stayed away.
    """
    topics = wait_for(lambda: _check(settings), should_stop)
    with _open(settings, topics, on_step) as view:
        waiting = view.waiting()
        if not waiting:
            tell(f"the view of {settings.declarations_hash} follows the log already, or no processor ever ran")
            return True
        tell(f"building {len(waiting)} of {len(view.units)} units of {settings.declarations_hash} from the log")
        return Builder(view, should_stop, tell, sleep).run(settings.declarations_hash, on_step, until_ready=until_ready)


class Units(Protocol):
    """The part of ``NextView`` that a builder works with."""

    def waiting(self) -> list[Unit]:
        """Return the units that another view follows."""
        ...

    def build(self, unit: Unit, should_stop: ShouldStop) -> int:
        """Bring a unit up to what is committed."""
        ...


@dataclass
class Builder:
    """Takes rounds over the units of a next view."""

    units: Units
    should_stop: ShouldStop
    tell: Tell
    sleep: Callable[[float], None]
    away_since: float | None = None

    def run(self, declared: str, on_step: Callable[[str], None], *, until_ready: bool) -> bool:
        """See ``build_next_view``; ``declared`` is the hash of the next declarations."""
        is_ready, began = False, time.monotonic()
        while not self.should_stop():
            try:
                passed = self._round()
                waiting = self.units.waiting()
            except Transient as error:
                self._let_pass(error)
                continue
            self.away_since = None
            if not waiting:
                self.tell(f"cut over: every unit follows the view of {declared}; the one before stays as it was left")
                return True
            if passed is not None and passed <= READY_RECORDS and not is_ready:
                is_ready = True
                on_step("next_view_ready")
                took = f"{time.monotonic() - began:.0f} s"
                self.tell(f"ready after {took}: start processors of {declared} in the place of those that run")
            if is_ready and until_ready:
                return True
            self.sleep(ROUND_SECONDS if is_ready else 0.0)
        return False

    def _round(self) -> int | None:
        """Bring every unit that waits up to what is committed; None when told to stop meanwhile."""
        passed = 0
        for unit in self.units.waiting():
            passed += self.units.build(unit, self.should_stop)
            if self.should_stop():
                return None
        return passed

    def _let_pass(self, error: Transient) -> None:
        """Wait for what is unreachable; one that stays away is raised."""
        now = time.monotonic()
        self.away_since = self.away_since or now
        if now - self.away_since > _AWAY_SECONDS_MAX:
            raise error
        log.warning("retrying", error=str(error), retry_seconds=ROUND_SECONDS)
        self.sleep(ROUND_SECONDS)


def _check(settings: Settings) -> dict[str, TopicFacts]:
    refuse(examine_start(settings))
    return describe_topics(settings.kafka, list(name_inputs(settings).values()))


@contextmanager
def _open(settings: Settings, topics: dict[str, TopicFacts], on_step: Callable[[str], None]) -> Iterator[NextView]:
    inputs, group = name_inputs(settings), settings.processor.group
    topic_ids = {kind: topics[name].topic_id for kind, name in inputs.items()}
    with ExitStack() as opened:
        registry, history = Registry(settings.registry), History(settings.kafka)
        client = opened.enter_context(closing(connect(settings.redis)))
        for each in (registry, history):
            opened.callback(each.close)
        # of the group, and never subscribed: it is asked what is committed, and is no member
        consumer = build_consumer(settings.kafka, group=group)
        opened.callback(consumer.close)
        source = PartitionedInput([consumer], first_offset=history.first_offset)
        view = build_view(settings, client, topic_ids)
        context = CatchUpContext(
            source=source,
            history=history,
            view=view,
            store=build_store(settings, view),
            topic_ids=topic_ids,
            group=group,
            entities=kernel_of(settings.stream).entities,
            on_step=on_step,
        )
        yield NextView(context, {stage.kind: stage for stage in build_stages(settings, topics, registry)})
