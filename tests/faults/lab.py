"""One run: a deployment of its own on the shared servers, load on it, workers in it, and what was done to them."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.conftest import create_deployment, environment_of, settings_for
from tests.faults import index
from tests.faults.contracts import newest_id
from tests.faults.feeder import Feeder
from tests.faults.load import Shape, Traffic
from tests.faults.redis_servers import RedisServers
from tests.faults.watcher import Watcher
from tests.faults.workers import Crew, Worker, await_true
from tests.payments import DECLARATIONS_HASH
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.embedded.stack import Stack
from weir.infra.kafka.admin import describe_topics
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Unit
from weir.infra.settings import Settings, load_settings

SESSION_TIMEOUT_MS, TRANSACTION_TIMEOUT_MS = 6_000, 4_000
BATCH_RECORDS = 150
DRAIN_SECONDS = 120.0
BURST_SHARE = 0.3
RECORDS_PER_KILL = 2_500


@dataclass(frozen=True)
class Plan:
    """How a run is set up.

    Attributes:
        records: at least so many are sent.
        rate: records a second while the fault is on.
        cache: entities a processor may keep in memory.
        mutant: guard switched off in the processes that have it.
        redis: ``stack``, or servers of the run's own: ``pair`` or ``cluster``.
        waits: minutes, for a decoder that hangs or a broker that deletes; one more job begins with such runs.
    """

    records: int = 2_500
    rate: int = 250
    partitions: int = 2
    batch_records: int = BATCH_RECORDS
    cache: int = 500_000
    poison_share: float = 0.03
    misplaced_share: float = 0.0
    cards: int = 120
    mutant: str = ""
    shape: Mapping[str, Any] = field(default_factory=dict)
    """Of the load, where it is not as usual."""
    redis: str = "stack"
    waits: bool = False


@dataclass
class Lab:
    """A run under way. Faults use its parts as they need."""

    stack: Stack
    settings: Settings
    plan: Plan
    seed: int
    kills: int
    crew: Crew
    feeder: Feeder
    view: StateView
    servers: RedisServers
    redis: Any
    topic_ids: dict[str, str]
    shape: Shape
    times: int = 0
    recoveries: list[float] = field(default_factory=list)
    aborts_expected: bool = False
    kept: list[Worker] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    moved_to: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    """Per input partition the offsets that the run committed in the processor's name."""
    problems: list[str] = field(default_factory=list)

    @property
    def random(self) -> random.Random:
        return random.Random(f"{self.seed}-{self.times}")

    def processor(self, instance: int = 0, **orders: Any) -> Worker:
        orders.setdefault("mutant", self.plan.mutant)
        return self.crew.start("process", instance=instance, **orders)

    def fused(self, instance: int = 0, **orders: Any) -> Worker:
        """Start a process that computes and decides."""
        return self.crew.start("run", instance=instance, **orders)

    def scorer(self, instance: int = 0, **orders: Any) -> Worker:
        return self.crew.start("score", instance=instance, **orders)

    def expect(self, truth: bool, what: str) -> None:
        """Note a problem of this run when something is not as it must be."""
        if not truth:
            self.problems.append(what)

    def now_ms(self) -> int:
        return int(time.time() * 1_000)

    # --- where things stand ------------------------------------------------------------------------------------------

    def units(self) -> list[Unit]:
        return [Unit(kind, number) for kind in ("t", "l") for number in range(self.partitions())]

    def partitions(self) -> int:
        names = [self.settings.topics.transactions]
        return describe_topics(self.settings.kafka, names)[names[0]].partitions

    def applied(self, units: Sequence[Unit] = ()) -> int:
        """Sum of the positions in Redis of these units, or of every transaction unit; -1 where nobody answers."""
        try:
            asked = units or [Unit("t", number) for number in range(self.plan.partitions)]
            found = [self.view.position(unit) for unit in asked]
        except Exception:  # noqa: BLE001 - Redis may be down on purpose; then nothing has been applied as far as we see
            return -1
        return sum(position.applied for position in found if position is not None)

    def has_passed(self, applied: int, units: Sequence[Unit] = ()) -> bool:
        """Whether the view, or some units of it, have moved past a sum of positions."""
        return self.applied(units) > applied

    def _has_recovered(self, applied: int, units: Sequence[Unit]) -> bool:
        self.revive()
        return self.has_passed(applied, units)

    def watch_recovery(self, since: float | None = None, above: int | None = None, units: Sequence[Unit] = ()) -> None:
        """Wait until the view moves on and note how long that took since ``since`` (monotonic; default now)."""
        began = time.monotonic() if since is None else since
        before = self.applied(units) if above is None else above
        await_true(partial(self._has_recovered, before, units), "the view moving again")
        self.recoveries.append(time.monotonic() - began)

    def run_until(self, worker: Worker, step: str = "committed", number: int = 2) -> None:
        """Wait until a worker works."""
        worker.await_step(step, number)

    def await_drained(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until every input record is committed, applied, scored and indexed."""
        names, groups = self.settings.topics, self.settings
        pairs = [
            (groups.processor.group, names.transactions),
            (groups.processor.group, names.labels),
            (groups.scorer.group, names.features),
            (groups.scorer.index_group, names.decisions),
        ]
        for group, topic in pairs:
            with_group = Watcher(self.settings, group)
            try:
                await_true(partial(self._is_done, with_group, topic), f"{topic} drained", seconds)
            except AssertionError as error:
                raise AssertionError(f"{error}; {with_group.state(topic)}") from error
            finally:
                with_group.close()
        await_true(self._is_applied, "every committed batch in Redis", seconds)
        await_true(self._is_indexed, "every committed decision in the index", seconds)

    def _is_done(self, watcher: Watcher, topic: str) -> bool:
        self.revive()
        return watcher.is_done(topic)

    def _is_applied(self) -> bool:
        watcher = Watcher(self.settings, self.settings.processor.group)
        try:
            topics = {"t": self.settings.topics.transactions, "l": self.settings.topics.labels}
            for unit in self.units():
                committed = watcher.committed(topics[unit.kind], unit.partition)
                position = self.view.position(unit)
                if committed is not None and (position is None or position.applied != committed):
                    return False
        finally:
            watcher.close()
        return True

    def _is_indexed(self) -> bool:
        topic, watcher = self.settings.topics.decisions, Watcher(self.settings, self.settings.scorer.index_group)
        facts = describe_topics(self.settings.kafka, [topic])[topic]
        try:
            committed = {number: watcher.committed(topic, number) for number in range(facts.partitions)}
        finally:
            watcher.close()
        return index.holds(self.redis, self.settings.cluster, facts.topic_id, committed)

    def last_words(self) -> str:
        """Ask the living where they are, and return the end of some logs."""
        for worker in self.crew.workers:
            worker.ask_where()
        living = [worker for worker in self.crew.workers if worker.is_alive][-2:]
        dead = [worker for worker in self.crew.workers if not worker.is_alive][-1:]
        return "\n".join(f"--- {w.name} (exit {w.process.exitcode})\n{w.tail(8)}" for w in [*living, *dead])

    def keep(self, worker: Worker) -> Worker:
        """Do for a worker what a supervisor does: start it again whenever it has ended."""
        self.kept.append(worker)
        return worker

    def revive(self) -> None:
        """Be the supervisor: start again what ended of those that are kept."""
        for place, worker in enumerate(self.kept):
            if not worker.is_alive:
                orders = worker.orders
                self.kept[place] = self.crew.start(
                    orders.role, instance=orders.instance, mutant=orders.mutant, quirks=orders.quirks
                )
        for role in {"process", "score"} - {worker.orders.role for worker in self.kept}:
            started = [worker for worker in self.crew.workers if worker.orders.role == role]
            living = {worker.orders.role for worker in self.crew.workers if worker.is_alive}
            if started and not living & {role, "run"}:  # one that does both is as good
                raise AssertionError(f"no {role} worker is left:\n{started[-1].tail(3)}")

    def finish(self, workers: list[Worker]) -> None:
        """End the load, wait until all of it is through, end the workers."""
        self.feeder.finish()
        self.await_drained()
        for worker in [*workers, *self.kept]:
            worker.stop()


def open_lab(stack: Stack, servers: RedisServers, name: str, plan: Plan, *, seed: int, kills: int) -> Lab:
    """Make a deployment for one run and put the first part of the load into it."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=stack.home))
    settings = _settings(stack, servers, name, plan, folder)
    create_deployment(settings)
    link_champion(folder, write_bundle(folder / "models" / "tiny-1"))
    names = settings.topics
    facts = describe_topics(settings.kafka, [names.transactions, names.labels])
    topic_ids = {"t": facts[names.transactions].topic_id, "l": facts[names.labels].topic_id}
    client = servers.connect()
    shape = _shape(plan, kills)
    lab = Lab(
        stack=stack,
        settings=settings,
        plan=plan,
        seed=seed,
        kills=kills,
        crew=Crew(folder, environment_of(settings)),
        feeder=_feeder(settings, plan, seed, shape),
        view=StateView(
            client,
            cluster=settings.cluster,
            group=settings.processor.group,
            topic_ids=topic_ids,
            declarations_hash=DECLARATIONS_HASH,
        ),
        servers=servers,
        redis=client,
        topic_ids=topic_ids,
        shape=shape,
    )
    lab.feeder.start(burst=int(plan.records * BURST_SHARE))
    return lab


def _shape(plan: Plan, kills: int) -> Shape:
    """Return the stream's shape, with load enough for the last kill: a view that has nothing to do does not move."""
    chosen: dict[str, Any] = {"records_max": max(Shape.records_max, kills * RECORDS_PER_KILL), **plan.shape}
    return Shape(
        poison_share=plan.poison_share,
        misplaced_share=plan.misplaced_share,
        partitions=plan.partitions,
        cards=plan.cards,
        **chosen,
    )


def _settings(stack: Stack, servers: RedisServers, name: str, plan: Plan, folder: Path) -> Settings:
    base = load_settings({"WEIR_HOME": str(stack.home)})
    apart = settings_for(base, name, partitions=plan.partitions)
    kafka = apart.kafka.model_copy(
        update={"session_timeout_ms": SESSION_TIMEOUT_MS, "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS}
    )
    processor = apart.processor.model_copy(
        update={"batch_records_max": plan.batch_records, "cache_entities_max": plan.cache}
    )
    scorer = apart.scorer.model_copy(update={"batch_records_max": plan.batch_records})
    redis = apart.redis.model_copy(update=servers.settings)
    return apart.model_copy(
        update={"home": folder, "kafka": kafka, "redis": redis, "processor": processor, "scorer": scorer}
    )


def _feeder(settings: Settings, plan: Plan, seed: int, shape: Shape) -> Feeder:
    names, url = settings.topics, settings.registry.url
    topics = {"transactions": names.transactions, "labels": names.labels}
    ids = {kind: newest_id(url, f"{topic}-value") for kind, topic in topics.items()}
    traffic = Traffic(seed, now_ms=int(time.time() * 1_000), registry_url=url, schema_ids=ids, shape=shape)
    return Feeder(
        settings.kafka.bootstrap_servers,
        topics,
        traffic,
        rate=plan.rate,
        records_min=plan.records,
        records_max=shape.records_max,
    )


Fault = Callable[[Lab], None]
__all__ = ["Fault", "Lab", "Plan", "open_lab"]
