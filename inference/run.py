"""``weir run``: features and decisions of a batch in one Kafka transaction, by one process.

It is ``weir process`` whose event stage decides its rows: the same group, the same view, the same five steps. So both
can share the partitions, and changing from one to the other is a restart. The rows say that they are decided, so that
``weir score`` next to it passes them by (``docs/adr/0013-a-row-says-that-it-is-decided.md``).

Delivery: exactly once. Each input position has one output: a feature row with its decision, or a dead letter.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

from weir.inference.champion import Champion, open_champion
from weir.inference.decide import Decider, DecisionWriter
from weir.inference.decide_step import DecideStep
from weir.inference.metering import STAGE as SCORE_STAGE
from weir.inference.processes import Reporter
from weir.inference.shadow import ShadowScorer
from weir.inference.undecided import StillUndecided, Undecided
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.schemas.contracts import decisions_schema, subject
from weir.schemas.errors import Refused
from weir.streaming.cli import STAGE as PROCESS_STAGE
from weir.streaming.cli import Deciding, run_command, run_processor
from weir.streaming.feature_rows import FeatureBatch
from weir.streaming.health.checks import LossHook
from weir.streaming.service import wait_for
from weir.streaming.stage import Committed, Further, do_nothing

UNDECIDED_SECONDS_MAX = 60.0
"""A scorer that is at work decides what there was in less; without one, to wait longer is of no use."""


def main(argv: list[str]) -> int:
    """Run ``weir run``. Exit codes: 0 stopped, 1 failed, 2 refused."""
    description = "Compute features and decide, in one transaction: processor and scorer in one process."
    return run_command(argv, description, name="run", stages=(PROCESS_STAGE, SCORE_STAGE), run=run_fused)


def run_fused(
    settings: Settings,
    *,
    instance: int,
    should_stop: Callable[[], bool],
    accept_offsets: bool = False,
    enter_place: Callable[[], None] = lambda: None,
    on_loss: LossHook | None = None,
    on_step: Callable[[str], None] = do_nothing,
) -> None:
    """Check, connect, process and decide until told to stop, disconnect; arguments are those of ``run_processor``.

    Raises:
        Refused: the bundle, topics, Redis or offsets are not as the promises need them.
        Stopped: before it was connected.
        WeirError: something that only a new start can fix.
    """
    with (
        closing(open_champion(settings, should_stop)) as champion,
        closing(Reporter(settings, f"run {instance}", champion)),
    ):
        run_processor(
            settings,
            instance=instance,
            should_stop=should_stop,
            accept_offsets=accept_offsets,
            enter_place=enter_place,
            on_loss=on_loss,
            on_step=on_step,
            deciding=Deciding(
                build=partial(_build_step, settings, champion),
                before=partial(_await_decided, settings),
                between=champion.poll,
                model=champion.bundle.manifest.version,
            ),
        )


def _await_decided(settings: Settings, should_stop: Callable[[], bool]) -> None:
    """Return when what was made before is decided: a scorer that is at work needs a moment."""
    undecided = wait_for(lambda: Undecided(settings), should_stop)
    try:
        wait_for(undecided.check, should_stop, seconds=UNDECIDED_SECONDS_MAX)
    except StillUndecided as error:
        raise Refused(str(error)) from None


def _build_step(settings: Settings, champion: Champion, registry: Registry) -> Callable[[FeatureBatch], Further]:
    names, stream = settings.topics, settings.stream
    schema_id = registry.register(subject(names.decisions), decisions_schema(stream))
    writer = DecisionWriter(stream, source_topic=names.transactions, topic=names.decisions, schema_id=schema_id)
    decider = Decider(champion, stream, ShadowScorer(champion), champion)
    return partial(_decide, DecideStep(decider, writer, source_topic=names.transactions))


def _decide(step: DecideStep, batch: FeatureBatch) -> Further:
    """Decide a batch, and have it counted as a scorer counts its own."""
    further = step(batch)

    def on_committed(committed: Committed) -> None:
        metrics.RECORDS_CONSUMED.labels(stage=SCORE_STAGE).inc(len(batch))
        metrics.RECORDS_DECIDED.labels(stage=SCORE_STAGE).inc(len(batch))
        metrics.BATCH_RECORDS.labels(stage=SCORE_STAGE).observe(len(batch))
        metrics.STAGE_SECONDS.labels(stage=SCORE_STAGE, step="batch").observe(committed.seconds)
        further.on_committed(committed)

    return Further(further.rows, on_committed)
