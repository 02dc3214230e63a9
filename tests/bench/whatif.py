"""How fast a change is held against the past: ``python -m tests.bench.whatif``.

An archive of some days is written to a folder that is removed after. Its feature rows are those of simulated payments,
as the kernel computes them, half a million that come again each day; a model of 200 trees and the built-in rules
decided them, and a label came for some. Then one rule and 200 rules are tried on it, by the command's own code in one
process: every decision is also made again by what was in force, and 10,000 scores by the model. Last that model is
tried, which scores all of them.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tests.bench.rules import SEED
from tests.bench.trees import TREES, build_trees
from tests.unit.archive.decided import Topic
from weir.archive.columns import bucket_of
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.reader import MS_MAX
from weir.archive.table import no_step, open_table
from weir.archive.whatif.again import Deciding, decide_again
from weir.archive.whatif.in_force import Change, Finder
from weir.archive.whatif.labels import read_labels
from weir.archive.whatif.past import Joined, Past
from weir.archive.whatif.rescoring import SAMPLED, ScoreCheck, score_rows
from weir.archive.whatif.study import Study
from weir.generators.history import build_history
from weir.generators.population import build_population
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.core.deciding import OUTCOMES, DecidedRows
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet, build_rule_set
from weir.inference.core.thresholds import read_thresholds
from weir.inference.rule_sets import columns_of_rules, rules_of
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, features_schema, label_schemas
from weir.schemas.durations import DAY_MS
from weir.schemas.expression_parser import parse_expression
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.rules import Rule
from weir.schemas.streams.payments import payments
from weir.streaming.core.backfill import backfill
from weir.streaming.kernels import kernel_of

CARDS, WARM_DAYS = 40_000, 5
PARTITIONS = 12
FIRST_MS = 20_000 * DAY_MS
ROWS = 1_000_000
DAY_ROWS = 500_000
TARGET_ROWS, TARGET_SECONDS, MODEL_SECONDS, MEMORY_MB = 10_000_000, {1: 2.0, 200: 60.0}, 60.0, 2_048
LABEL_EACH = 50
"""A label came for one of so many events; one of ten labels says fraud."""
OTHER_CUTS = read_thresholds({"review": 0.2, "decline": 0.5}, payments, "tried")
"""By which a model is tried that decided: with its own nothing would change."""


@dataclass(frozen=True)
class Day:
    """Payments of one day, as the stream has them once they are decided.

    Attributes:
        features: float32, shape (rows, features of the stream), as the kernel computes them.
        events: the payments themselves.
        scores: of the model, float32, shape (rows,).
        made: what it and the rules in force decide.
        bundle: the model.
    """

    features: npt.NDArray[np.float32]
    events: pa.RecordBatch
    scores: npt.NDArray[np.float32]
    made: DecidedRows
    bundle: Bundle


def simulate_day(rows: int, models: Path) -> Day:
    """Compute the features of simulated payments, the last ones of some weeks, and decide them."""
    days = -(-rows // CARDS) + WARM_DAYS  # a card pays once a day, or a little more
    past = build_history(build_population(SEED, CARDS), FIRST_MS - days * DAY_MS, FIRST_MS).transactions
    found = list(backfill(kernel_of(payments), [past], None, placeholders=BUILT_IN))
    counted = [step.verdicts == 0 for _, step in found]
    features = np.concatenate([step.features[own] for (_, step), own in zip(found, counted, strict=True)])[-rows:]
    events = pa.Table.from_batches(
        [batch.filter(pa.array(own)) for (batch, _), own in zip(found, counted, strict=True)]
    )
    events = events.slice(len(events) - len(features)).combine_chunks().to_batches()[0]
    if len(features) < rows:
        raise SystemExit(f"expected {rows} payments in {days} days of {CARDS} cards, found {len(features)}")
    bundle = build_trees(models / "trees", features, SEED)
    joined = Joined(pa.table({"": pa.nulls(rows)}), features, payments.feature_names, events, 0)
    scores, cuts = score_rows(bundle, joined), bundle.manifest.thresholds
    deciding = Deciding(rules_of(payments), Lists(), None, cuts.review, cuts.decline)
    return Day(features, events, scores, decide_again(joined, scores, deciding, payments, has_model=True), bundle)


def build_archive(root: Path, rows: int) -> None:
    """Write features and decisions of some days, in files as the archiver leaves them once a day is closed."""
    days = -(-rows // DAY_ROWS)
    drawn = simulate_day(min(DAY_ROWS, rows), root / "models")
    Objects(Place(str(root))).keep_bundle(root / "models" / "trees")
    schemas = features_schema(payments), decisions_schema(payments), label_schemas(payments)[-1]
    for topic, schema in zip(("features", "decisions", "labels"), schemas, strict=True):
        record = BatchCodec(schema=schema).arrow_schema
        table = open_table(Place(str(root)).below(topic), Topic(topic, "1"), payments.name, record)
        table.begin([0])
        for day in range(days):
            count = min(DAY_ROWS, rows - day * DAY_ROWS)
            stored = _store(table.schema(), drawn, day, count).drop_columns(["batch"])
            if topic == "labels":
                stored = stored.take(pa.array(np.arange(0, count, LABEL_EACH)))
            table.append(stored.combine_chunks().to_batches(), {0: day * DAY_ROWS + count}, no_step)


def _store(schema: pa.Schema, drawn: Day, day: int, rows: int) -> pa.Table:
    """Return rows of a table: the payments of one day, with the times and the places of another."""
    numbers = np.arange(rows)
    times, offsets = FIRST_MS + day * DAY_MS + numbers, day * DAY_ROWS + numbers
    cards = drawn.events["card_id"].slice(0, rows)
    buckets = cards.dictionary_encode()
    of_card = np.array([bucket_of(card.encode()) for card in buckets.dictionary.to_pylist()])
    bucket = of_card[buckets.indices.to_numpy()]
    given: dict[str, Any] = {
        "partition": np.zeros(rows), "offset": offsets, "append_ms": times, "bucket": bucket, "key": cards,
        "day": np.full(rows, FIRST_MS // DAY_MS + day, np.int32), "id_hash": offsets, "batch": np.ones(rows),
        "ingest_time_ms": times, "decision_time_ms": times, "source_partition": bucket % PARTITIONS,
        "source_offset": offsets, "decision": np.array(OUTCOMES)[drawn.made.outcomes[:rows]],
        "decided_by": np.array(drawn.made.names)[drawn.made.by[:rows]], "score": drawn.scores[:rows],
        "model_name": np.repeat(drawn.bundle.manifest.name, rows), "rules_version": np.repeat("1", rows),
        "model_version": np.repeat(drawn.bundle.manifest.version, rows),
        "label_time_ms": times + DAY_MS, "is_fraud": numbers % (10 * LABEL_EACH) == 0,
    }  # fmt: skip
    given |= {name: drawn.features[:rows, place] for place, name in enumerate(payments.feature_names)}
    given |= {name: drawn.events[name].slice(0, rows) for name in drawn.events.schema.names if name not in given}
    columns = []
    for field in schema:
        if field.name in given:
            values = given[field.name]
            found = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
            columns.append(found.cast(field.type))
        elif field.name in {"tags", "shadow_rules"}:
            columns.append(pa.array([[]] * rows, field.type))
        else:
            columns.append(pa.nulls(rows, field.type))
    return pa.table(columns, schema)


def build_rules(features: npt.NDArray[np.float32], count: int) -> RuleSet:
    """Return rules of three comparisons each, of which few rows fulfil one.

    Args:
        features: some rows, by whose quantiles rules are cut.
        count: how many rules.
    """
    chance, names = np.random.default_rng(SEED), payments.feature_names
    cuts = {
        name: [float(cut) for cut in np.nanquantile(column, (0.4, 0.8, 0.999))]
        for name, column in zip(names, features.T, strict=True)
        if np.isfinite(column).any()
    }
    rules = []
    for number in range(count):
        one, two, three = chance.choice([*cuts], 3, replace=False)
        bent = 1.0 + number * 1e-6
        text = (
            f"{one} >= {cuts[one][2] * bent:.6f} and "
            f"({two} <= {cuts[two][0] * bent:.6f} or {three} > {cuts[three][1] * bent:.6f})"
        )
        when = parse_expression(text).expression
        assert when is not None
        rules.append(Rule(f"r{number}", "REVIEW", when, "measured"))
    return build_rule_set(rules, columns_of_rules(payments))


def measure(root: Path, change: Change, rows: int) -> float:
    """Return the seconds of one study; all that was read is judged and comes out as recorded, scores that were too."""
    settings, place = Settings(home=root), Place(str(root))
    started = time.perf_counter()
    past = Past(place, payments, settings.topics.of(payments))
    labels = read_labels(past.labels, payments, now_ms=past.newest_ms)
    scores = ScoreCheck(settings, Objects(place), rows=past.count(0, MS_MAX), verify=False)
    study = Study(past, Finder(settings, Objects(place)), labels, change, None, scores)
    read = sum(study.run(0, MS_MAX))
    took = time.perf_counter() - started
    (of,) = study.found.versions.values()
    assert (read, of.checked, of.differing) == (rows, rows, 0)
    assert scores.found.checked >= min(rows, SAMPLED)
    assert (scores.found.differing, scores.found.missing) == (0, {})
    assert of.changed > 0
    return took


def main() -> int:
    """Measure, print, and say by the exit code whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="decisions (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="a folder for the archive, or one that has it already")
    given = parser.parse_args()
    rows = given.rows
    assert rules_of(payments).version == "1"
    met = True
    with tempfile.TemporaryDirectory(prefix="weir-whatif-") as folder:
        root = given.keep or Path(folder)
        if not (root / "decisions").exists():
            # in a process of its own, so that the memory that is told is that of trials
            builder = get_context("spawn").Process(target=build_archive, args=(root, rows))
            builder.start()
            builder.join()
            assert builder.exitcode == 0
        past = Past(Place(str(root)), payments, Settings(home=root).topics.of(payments))
        sample = past.join(next(past.parts(0, MS_MAX)), payments.feature_names, ()).features
        changes = {
            f"{count} rules": (Change(build_rules(sample, count)), TARGET_SECONDS[count]) for count in TARGET_SECONDS
        }
        model = load_bundle(root / "models" / "trees", stream=payments)
        changes[f"{TREES} trees"] = Change(model=model, thresholds=OTHER_CUTS), MODEL_SECONDS
        for name, (change, target) in changes.items():
            cpu = time.process_time()
            took = measure(root, change, rows)
            cpu, of_target = time.process_time() - cpu, took * TARGET_ROWS / rows
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
            met &= of_target <= target and peak_mb <= MEMORY_MB
            sys.stdout.write(
                f"{name:<9}  {rows:,} decisions  {took:6.2f} s, {cpu:6.2f} s of CPU  {rows / took:10,.0f} rows/s  "
                f"10 M would take {of_target:7.1f} s, target {target:g} s; "
                f"{peak_mb:,.0f} MB at most, target {MEMORY_MB:,}\n"
            )
            sys.stdout.flush()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
