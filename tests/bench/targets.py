"""The table: every figure with its target, in the order of the page."""

from __future__ import annotations

from tests.bench.figures import Target

RATES = (1_000, 5_000, 10_000)
"""Of the open-loop loads, payments a second."""


def short(rate: int) -> str:
    """Return a rate as the keys name it.

    >>> short(5_000)
    '5k'
    """
    return f"{rate // 1_000}k"


def _end_to_end() -> list[Target]:
    bounds = {"p50_5k": 40.0, "p99_5k": 100.0}
    return [
        Target(
            f"scheduled send to committed decision at {rate:,}/s, {name} ms",
            f"e2e_ms_{name}_{short(rate)}",
            bounds.get(f"{name}_{short(rate)}"),
            at_most=True,
        )
        for rate in RATES
        for name in ("p50", "p99", "p999")
    ]


def _fused() -> list[Target]:
    bounds = {("p50", 5_000): 45.0, ("p99", 5_000): 130.0}
    return [
        *(
            Target(
                f"`weir run`, scheduled send to committed decision at {rate:,}/s, {name} ms",
                f"run_e2e_ms_{name}_{short(rate)}",
                bounds.get((name, rate)),
                at_most=True,
            )
            for rate in RATES[:2]
            for name in ("p50", "p99")
        ),
        *(
            Target(f"`weir run` at {rate:,}/s, its cores", f"live_run_cores_run_{short(rate)}", None)
            for rate in RATES[:2]
        ),
    ]


def _work_at(rate: int) -> list[Target]:
    """Where the time of a decision goes: batches wait for their turn, and each has its fixed costs."""
    stages = {"process": "the processor", "score": "the scorer"}
    figures = {
        "batches_per_s": "batches/s",
        "records_per_batch": "records a batch",
        "batch_ms": "ms a batch takes once it is gathered",
        "commit_ms": "ms of that in the commit",
    }
    suffix = short(rate)
    return [
        *(
            Target(f"at {rate:,}/s, {stage}: {what}", f"live_{verb}_{key}_{suffix}", None)
            for verb, stage in stages.items()
            for key, what in figures.items()
        ),
        *(
            Target(f"at {rate:,}/s, cores of {name}", f"live_{key}_cores_{suffix}", None)
            for key, name in {**stages, "kafka": "the broker", "redis": "Redis"}.items()
        ),
    ]


TARGETS: tuple[Target, ...] = (
    Target("plain Kafka loop (the ceiling), records/s", "plain_loop_eps", None),
    Target("processor, exactly once, five entities, 96 features, one process, events/s", "processor_eos_eps", 40_000),
    Target("the same over the plain loop", "processor_eos_eps", 0.3, over="plain_loop_eps"),
    Target("the same code at least once, events/s", "processor_alo_eps", None),
    Target("exactly once over at least once", "processor_eos_eps", 0.9, over="processor_alo_eps"),
    Target("the same when 30 % of 200,000 records are malformed, records/s", "poison_flood_eps", None),
    Target("that over the processor without them", "poison_flood_eps", 0.5, over="processor_eos_eps"),
    Target("transactions to decisions, both stages at once, exactly once, events/s", "pipeline_eps", 25_000),
    Target("transactions to decisions, `weir run`, exactly once, events/s", "fused_eps", None),
    Target("`weir run` over both stages", "fused_eps", 1.15, over="pipeline_eps"),
    Target("scorer alone, a model of 200 trees, decisions/s", "scorer_eps", 60_000),
    *_end_to_end(),
    *_work_at(5_000),
    *_fused(),
    Target("publish to visible in the lookup, at 5,000/s, p50 ms", "freshness_ms_p50_5k", None, at_most=True),
    Target("publish to visible in the lookup, at 5,000/s, p99 ms", "freshness_ms_p99_5k", 150.0, at_most=True),
    Target("kernel over Parquet, one core, events/s", "kernel_eps", 300_000),
    Target("rebuild of a lost view from the log, events/s", "rebuild_eps", 100_000),
    Target("start of a processor to its first output, kernel compiled before, s", "restart_s", None, at_most=True),
    Target("bytes of value per entity in Redis, median", "state_bytes_p50", 150.0, at_most=True),
    Target("the same, cards with 10 events or more", "state_bytes_card10_p50", None, at_most=True),
    Target("dead letters replayed, records/s", "dlq_replay_eps", 20_000),
    Target("POST /v1/score flat out, requests/s", "score_rps", 1_500),
    Target("POST /v1/score at 1,500/s, p99 ms", "score_ms_p99", 10.0, at_most=True),
    Target("processor time of a lone POST /v1/score, ms", "score_cpu_ms_alone", 1.0, at_most=True),
    Target("GET /v1/features flat out, requests/s", "features_rps", 3_000),
    Target("GET /v1/features at 3,000/s, p99 ms", "features_ms_p99", 5.0, at_most=True),
    Target("processor time of a lone GET /v1/features, ms", "features_cpu_ms_alone", None, at_most=True),
    Target("Quix Streams, exactly once, one entity, events/s", "quix_eos_eps", None),
    Target("Quix Streams, at least once, one entity, events/s", "quix_alo_eps", None),
    Target("Quix Streams, exactly once, by its window operators, events/s", "quix_windows_eos_eps", None),
    Target("Faust, at least once, one entity, events/s", "faust_eps", None),
    Target("Redis per event, at least once, one entity, events/s", "per_event_redis_eps", None),
    Target("processor over Quix exactly once", "processor_eos_eps", 3.0, over="quix_eos_eps"),
    Target("processor over Quix at least once", "processor_eos_eps", None, over="quix_alo_eps"),
    Target(
        "processor over Quix exactly once, by its window operators",
        "processor_eos_eps",
        None,
        over="quix_windows_eos_eps",
    ),
    Target("processor over Faust", "processor_eos_eps", 10.0, over="faust_eps"),
    Target("processor over Redis per event", "processor_eos_eps", 10.0, over="per_event_redis_eps"),
)

QUICK_TARGETS: tuple[Target, ...] = (
    Target("processor over Quix exactly once", "processor_eos_eps", 1.2, over="quix_eos_eps"),
    Target("processor over the plain Kafka loop", "processor_eos_eps", 0.06, over="plain_loop_eps"),
)
"""Ratios alone: what a machine can do in absolute terms is no reason to turn a change away.

Floors, not aims: somewhat below the lowest of what was measured (``docs/results/bench.md``), so that what crosses them
is a slowdown and not a busy minute.
"""
