"""The catalogue of metrics: every name, type, label and help text that any process of this project exports.

Objects live at module level, so a process uses ``metrics.RECORDS_CONSUMED.labels(stage="process").inc()``. A label
never holds an id of a card, customer, device, address, merchant or transaction: label values come from small closed
sets (stages, topics, partitions, reasons). Dashboards and alert rules are tested against ``CATALOGUE``.

Cost: an update takes a lock, well under a microsecond to a few; update once per batch, not once per record. Where each
record's own value belongs in a histogram, ``BatchHistogram.observe_many`` takes them all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry(auto_describe=True)
"""Our own, not the library's global one: what a dependency registers there is not in our catalogue."""

# a `_created` series per counter would double the page and is used by no panel
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


@dataclass(frozen=True)
class MetricSpec:
    """One line of the catalogue; ``name`` is the exported one, ``_total`` included."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


CATALOGUE: list[MetricSpec] = []


class BatchHistogram(Histogram):
    """A histogram that also takes many values in one update."""

    def observe_many(self, values: npt.NDArray[np.float64]) -> None:
        """Observe every value of an array, shape (n,), none of them NaN; the same as one by one, at 20 ns each."""
        # a value belongs to the first bucket whose bound is not below it
        places = self._bounds.searchsorted(values, side="left")
        for bucket, count in enumerate(np.bincount(places).tolist()):
            if count:
                self._buckets[bucket].inc(count)
        self._sum.inc(float(values.sum()))

    @cached_property
    def _bounds(self) -> npt.NDArray[np.float64]:
        return np.array(self._upper_bounds, np.float64)


# a batch stage takes 0.1 ms to 1 s; the end reaches what a bounded retry may take
STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# the promise is 250 ms at p99: fine around it, coarse beyond
END_TO_END_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
# the goal is under 150 bytes at the median
STATE_BUCKETS = (32.0, 64.0, 100.0, 150.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0)
SCORE_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
BATCH_BUCKETS = (1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0)


def _counter(name: str, text: str, *labels: str) -> Counter:
    CATALOGUE.append(MetricSpec(name, "counter", labels, text))
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    CATALOGUE.append(MetricSpec(name, "gauge", labels, text))
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str, buckets: Sequence[float]) -> BatchHistogram:
    CATALOGUE.append(MetricSpec(name, "histogram", labels, text))
    return BatchHistogram(name, text, labels, buckets=tuple(buckets), registry=REGISTRY)


# --- rates -----------------------------------------------------------------------------------------------------------
RECORDS_CONSUMED = _counter("weir_records_consumed_total", "Records read from an input topic.", "stage")
RECORDS_DECIDED = _counter(
    "weir_records_decided_total", "Records that got their output, by a committed batch.", "stage"
)
RECORDS_PRODUCED = _counter("weir_records_produced_total", "Records written to an output topic.", "stage", "topic")
BATCH_RECORDS = _histogram("weir_batch_records", "Records per committed batch.", "stage", buckets=BATCH_BUCKETS)
LATE_RECORDS = _counter("weir_late_records_total", "Records decided but not counted, being older than the look-back.")
DUPLICATE_RECORDS = _counter(
    "weir_duplicate_records_total", "Repeats of a transaction id that changed nothing.", "kind"
)
ELSEWHERE_RECORDS = _counter(
    "weir_elsewhere_records_total", "Records in another partition than Java's default partitioner gives their key."
)
MISPLACED_RECORDS = _counter("weir_misplaced_records_total", "Records dropped below the expected position.", "stage")

# --- lag and liveness ------------------------------------------------------------------------------------------------
LAG_RECORDS = _gauge("weir_lag_records", "Committed records not yet read.", "stage", "topic", "partition")
RECORDS_WITHOUT_OUTPUT = _gauge(
    "weir_records_without_output",
    "Records below a committed offset without output, as a start found them: offsets were moved forward.",
    "topic",
    "partition",
)
ASSIGNED_PARTITIONS = _gauge("weir_assigned_partitions", "Input partitions this process owns.", "stage")
PAUSED_PARTITIONS = _gauge("weir_paused_partitions", "Owned partitions that are catching up.", "stage")
REBALANCES = _counter("weir_rebalances_total", "Changes of the assignment.", "stage", "kind")
COMMITTED_OFFSET = _gauge(
    "weir_committed_offset", "Next offset of a group, as the broker has it.", "stage", "topic", "partition"
)
END_OFFSET = _gauge("weir_end_offset", "End of a group's input, as the broker has it.", "stage", "topic", "partition")
LAST_TURN = _gauge("weir_loop_last_turn_timestamp_seconds", "When a loop turned last, epoch seconds.", "stage")
LAST_LOOK = _gauge("weir_last_look_timestamp_seconds", "When a dependency was looked at last.", "dependency")
DEPENDENCY_UP = _gauge("weir_dependency_up", "1 when a dependency answers this process, else 0.", "dependency")
CHECK_LEVEL = _gauge(
    "weir_check_level", "How something that the promises rely on stands: 0 well, 1 warns, 2 fails.", "check"
)
DEPENDENCY_RETRIES = _counter("weir_dependency_retries_total", "Bounded retries of a dependency.", "dependency")

# --- latency ---------------------------------------------------------------------------------------------------------
STAGE_SECONDS = _histogram(
    "weir_stage_seconds",
    "Time of one step of one batch: gather, judge, kernel, commit, apply, score, produce.",
    "stage",
    "step",
    buckets=STAGE_BUCKETS,
)
END_TO_END_SECONDS = _histogram(
    "weir_end_to_end_seconds",
    "From the broker's append of the transaction to the output of a stage.",
    "stage",
    buckets=END_TO_END_BUCKETS,
)
HTTP_REQUEST_SECONDS = _histogram(
    "weir_http_request_seconds",
    "Time of an API request until its answer begins.",
    "route",
    "status",
    buckets=STAGE_BUCKETS,
)
DECIDE_SECONDS = _histogram(
    "weir_decide_seconds",
    "Time of a request for a decision, by what it was told: decided, repeated, timeout, behind, busy and so on.",
    "stream",
    "outcome",
    buckets=END_TO_END_BUCKETS,
)
DECIDE_WAITING = _gauge("weir_decide_waiting", "Requests that wait for a decision in this process.", "stream")
DECIDE_READ_RECORDS = _counter(
    "weir_decide_read_records_total", "Decisions and dead letters that were read for those who wait.", "stream"
)
LIVE_WATCHERS = _gauge("weir_live_watchers", "Clients that watch decisions live in this process.", "stream")
LIVE_ENDED = _counter(
    "weir_live_ended_total", "Live streams of decisions ended by us: slow, stopping, or a key that ended.", "stream",
    "cause",
)  # fmt: skip
HTTP_REFUSED = _counter(
    "weir_http_refused_total",
    "Requests whose key was missing or wrong, of another stream, without the scope or too fast; one too many, as load.",
    "cause",
)
AUDIT_RECORDS = _counter("weir_audit_records_total", "Audit records that the brokers have.")
AUDIT_MISSED = _counter("weir_audit_missed_total", "Audit records that were lost: a gap in the audit log.")
HTTP_RATE_UNCHECKED = _counter(
    "weir_http_rate_unchecked_total",
    "Requests that passed without being counted against their key's rate, because Redis could not count.",
)
HTTP_ANSWERS_NOT_KEPT = _counter(
    "weir_http_answers_not_kept_total",
    "Answers to requests with an idempotency key that Redis did not keep; the same again is done again.",
)
UPLOADS_UNDER_WAY = _gauge("weir_uploads_under_way", "Uploads that this process receives, works on or has waiting.")
UPLOADS_ENDED = _counter("weir_uploads_ended_total", "Uploads that ended here, by state: done or failed.", "state")
UPLOAD_ROWS = _counter(
    "weir_upload_rows_total", "Rows of uploads that were answered: scored, or with an error.", "outcome"
)
HTTP_CONNECTIONS_CLOSED = _counter(
    "weir_http_connections_closed_total",
    "Connections closed by us: too slow, too many, too large, unread or no HTTP; idle ones too.",
    "cause",
)

# --- state -----------------------------------------------------------------------------------------------------------
CACHED_ENTITIES = _gauge("weir_cached_entities", "Ids with partials in memory.", "entity")
CACHED_BYTES = _gauge("weir_cached_bytes", "Bytes of partials in memory.")
CACHE_GENERATIONS = _counter("weir_cache_generations_total", "Times that partials not used lately left memory.")
CACHE_LOOKUPS = _counter("weir_cache_lookups_total", "Partials a batch asked for, found in memory or not.", "entity")
CACHE_MISSES = _counter("weir_cache_misses_total", "Partials read from Redis, own or other.", "entity")
STATE_BYTES = _histogram("weir_state_bytes", "Size of a written partial, sampled.", "entity", buckets=STATE_BUCKETS)
REDIS_SECONDS = _histogram("weir_redis_seconds", "Time of one Redis call.", "operation", buckets=STAGE_BUCKETS)
VIEW_BEHIND_RECORDS = _gauge(
    "weir_view_behind_records", "Committed records that Redis has not applied.", "topic", "partition"
)
VIEW_BROKEN = _counter("weir_view_broken_total", "Values in Redis that are not what was written there.")
VIEW_REFUSALS = _counter("weir_view_refusals_total", "Writes that Redis refused for their position.", "topic")
CATCH_UP_RECORDS = _counter("weir_catch_up_records_total", "Records folded again to rebuild the view.", "topic")
CATCH_UP_SECONDS = _counter("weir_catch_up_seconds_total", "Time spent to rebuild the view.", "topic")
REDIS_USED_BYTES = _gauge("weir_redis_used_bytes", "Memory that counts against maxmemory.", "server")
REDIS_MAX_BYTES = _gauge("weir_redis_max_bytes", "Redis' maxmemory; 0 for none.", "server")
REDIS_EVICTED_KEYS = _counter("weir_redis_evicted_keys_total", "Keys that Redis dropped by itself.", "server")
REDIS_LOSSES = _counter("weir_redis_losses_total", "Looks that found keys gone which no position tells of.")
DISK_FREE_BYTES = _gauge("weir_disk_free_bytes", "Room on the disk of a folder of ours.", "place")
DISK_SIZE_BYTES = _gauge("weir_disk_size_bytes", "Size of that disk, as far as we may use it.", "place")

# --- exactly once ----------------------------------------------------------------------------------------------------
KAFKA_TRANSACTIONS_COMMITTED = _counter("weir_kafka_transactions_committed_total", "Commits that succeeded.", "stage")
KAFKA_TRANSACTIONS_ABORTED = _counter("weir_kafka_transactions_aborted_total", "Aborts, by cause.", "stage", "cause")

# --- dead letters ----------------------------------------------------------------------------------------------------
DEAD_LETTERS = _counter("weir_dead_letters_total", "Records sent to a dead letter topic.", "topic", "reason")
DEAD_LETTERS_TRUNCATED = _counter("weir_dead_letters_truncated_total", "Dead letters too large to keep whole.", "topic")
DEAD_LETTERS_SETTLED = _counter("weir_dead_letters_settled_total", "Replayed, parked or discarded.", "topic", "action")

# --- archive ---------------------------------------------------------------------------------------------------------
ARCHIVE_ROWS = _counter("weir_archive_rows_total", "Records that are in the archive, by a commit of ours.", "topic")
ARCHIVE_COMMITS = _counter("weir_archive_commits_total", "Commits that brought rows.", "topic")
ARCHIVE_FILES = _gauge("weir_archive_files", "Data files of a table.", "topic")
ARCHIVE_UNSEALED = _gauge("weir_archive_unsealed_commits", "Commits of a table that have no seal.", "topic")
ARCHIVE_BEHIND_SECONDS = _gauge(
    "weir_archive_behind_seconds", "Age of the oldest record that was read and is not archived; 0 for none.", "topic"
)
ARCHIVE_RETENTION_SECONDS = _gauge("weir_archive_retention_seconds", "How long a topic keeps its records.", "topic")

# --- cases -----------------------------------------------------------------------------------------------------------
# an analyst looks within minutes or on the next working day
VERDICT_BUCKETS = (60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0, 86_400.0, 259_200.0, 604_800.0)
CASE_REVIEWS = _counter(
    "weir_case_reviews_total", "Decisions for review, or with an alert, that the follower put into a case.", "stream"
)
CASES_UNDECIDED = _gauge(
    "weir_cases_undecided", "Cases without a verdict, by state: open or claimed.", "stream", "state"
)
CASE_OLDEST_SECONDS = _gauge(
    "weir_case_oldest_seconds", "Age of the oldest case without a verdict; 0 for none.", "stream"
)
CASE_VERDICT_SECONDS = _histogram(
    "weir_case_verdict_seconds",
    "From a case's first decision to its first verdict.",
    "stream",
    "verdict",
    buckets=VERDICT_BUCKETS,
)
CASE_LABELS = _counter("weir_case_labels_total", "Labels of verdicts that the brokers have.", "stream")
CASE_LABELS_WAITING = _gauge("weir_case_labels_waiting", "Labels of verdicts that wait to be sent.", "stream")
CASE_LABELS_OLDEST_SECONDS = _gauge(
    "weir_case_labels_oldest_seconds", "Age of the oldest label that waits to be sent; 0 for none.", "stream"
)

# --- decisions -------------------------------------------------------------------------------------------------------
DECISIONS = _counter("weir_decisions_total", "Decisions by outcome.", "decision")
LET_THROUGH = _counter(
    "weir_let_through_total", "Events that the model declines and that were let through, by the decision.", "decision"
)
LET_THROUGH_MINOR = _counter(
    "weir_let_through_minor_total", "What was at stake in events that were let through, base minor units.", "decision"
)
SHADOW_RULE_HITS = _counter(
    "weir_shadow_rule_hits_total", "Decisions in which a rule in shadow mode holds, by its name.", "rule"
)
DEGRADED_DECISIONS = _counter("weir_degraded_decisions_total", "Decisions made without some of their inputs.", "cause")
FALLBACK_DECISIONS = _counter("weir_fallback_decisions_total", "Decisions recorded without a score.", "cause")
FALLBACK_DECISIONS.labels(cause="score_unavailable")  # there from the start, as below
SCORES = _histogram("weir_score", "Scores of the champion, P(fraud).", buckets=SCORE_BUCKETS)
SHADOW_SCORES = _histogram("weir_shadow_score", "Scores of the shadow, P(fraud).", buckets=SCORE_BUCKETS)
SHADOW_SCORED = _counter("weir_shadow_scored_total", "Rows of the shadow, by result: scored or failed.", "result")
for _result in ("scored", "failed"):
    SHADOW_SCORED.labels(result=_result)
SHADOW_MODEL_INFO = _gauge("weir_shadow_model_info", "1 for the loaded shadow.", "name", "version")
CANARY_SHARE = _gauge("weir_canary_share", "Share of the keys for which the loaded canary decides.", "name", "version")
CANARY_DECISIONS = _counter(
    "weir_canary_decisions_total",
    "Decisions while there is a canary, by who decided: champion or canary.",
    "by",
    "decision",
)
MODEL_INFO = _gauge("weir_model_info", "1 for the loaded model.", "name", "version", "declarations_hash")
BUILD_INFO = _gauge("weir_build_info", "1 for the code that runs.", "version", "declarations_hash")
BUNDLE_RELOADS = _counter("weir_bundle_reloads_total", "Loads of a bundle, by result: loaded or refused.", "result")
for _result in ("loaded", "refused"):
    BUNDLE_RELOADS.labels(result=_result)  # there from the start: an alert sees no increase of what starts at 1
PUBLISHED_VERSIONS = _counter(
    "weir_published_versions_total",
    "Versions of rules, lists, thresholds and models, by result: taken, refused or unreadable.",
    "result",
)
for _result in ("taken", "refused", "unreadable"):
    PUBLISHED_VERSIONS.labels(result=_result)

DRIFT_PSI = _gauge(
    "weir_drift_psi", "Stability index of a feature or the score, less what chance gives.", "stream", "column"
)
DRIFTED_COLUMNS = _gauge("weir_drifted_columns", "Features, or the score, that have drifted.", "stream")
DRIFT_LOOKED = _gauge(
    "weir_drift_looked_timestamp_seconds",
    "When it was told last whether anything drifted, epoch seconds; at first the start of the process.",
    "stream",
)
QUALITY_SHARE = _gauge(
    "weir_quality_share",
    "Precision and recall of a day so many days ago, completed for labels to come: estimate, low or high.",
    "stream",
    "figure",
    "days_ago",
    "bound",
)
QUALITY_LOST = _gauge(
    "weir_quality_lost_minor",
    "Money lost to fraud that was approved on a day so many days ago, base minor units: estimate, low or high.",
    "stream",
    "days_ago",
    "bound",
)


def render_metrics() -> bytes:
    """Return the page that Prometheus scrapes, in the format that ``CONTENT_TYPE`` names."""
    return generate_latest(REGISTRY)
