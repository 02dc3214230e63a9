"""How fast a change is held against the past: ``python -m tests.bench.whatif``.

An archive of some days of synthetic decisions is written to a folder that is removed after: every feature of the
payments is drawn, and nothing but rules decided. Then one rule and 200 rules are tried on it, and with ``--model`` a
model, by the command's own code in one process; every decision is also made again by what was in force.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.bench.rules import SEED
from tests.unit.archive.decided import Topic
from weir.archive.columns import BUCKETS
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.reader import MS_MAX
from weir.archive.table import no_step, open_table
from weir.archive.whatif.in_force import Change, Finder
from weir.archive.whatif.labels import read_labels
from weir.archive.whatif.past import Past
from weir.archive.whatif.study import Study
from weir.inference.bundle import load_bundle
from weir.inference.core.rules import RuleSet, build_rule_set
from weir.inference.rule_sets import columns_of_rules, rules_of
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, features_schema
from weir.schemas.expression_parser import parse_expression
from weir.schemas.rules import Rule
from weir.schemas.streams.payments import payments

DAY_MS = 86_400_000
FIRST_MS = 20_000 * DAY_MS
ROWS = 1_000_000
DAY_ROWS = 500_000
TARGET_ROWS, TARGET_SECONDS, MODEL_SECONDS = 10_000_000, {1: 2.0, 200: 60.0}, 60.0


def build_archive(root: Path, rows: int) -> None:
    """Write features and decisions of some days, in files as the archiver leaves them once a day is closed."""
    for topic, schema in (("features", features_schema(payments)), ("decisions", decisions_schema(payments))):
        record = BatchCodec(schema=schema).arrow_schema
        table = open_table(Place(str(root)).below(topic), Topic(topic, "1"), payments.name, record)
        table.begin([0])
        for day in range(-(-rows // DAY_ROWS)):
            count = min(DAY_ROWS, rows - day * DAY_ROWS)
            drawn = _draw(table.schema(), day, count).drop_columns(["batch"])
            table.append(drawn.combine_chunks().to_batches(), {0: day * DAY_ROWS + count}, no_step)


def _draw(schema: pa.Schema, day: int, rows: int) -> pa.Table:
    chance = np.random.default_rng(SEED + day)
    numbers = np.arange(rows)
    times = FIRST_MS + day * DAY_MS + numbers
    offsets = day * DAY_ROWS + numbers
    cards = np.char.add("card-", (numbers // 3).astype(str))
    given = {
        "partition": np.zeros(rows), "offset": offsets, "append_ms": times, "bucket": numbers // 3 * 7 % BUCKETS,
        "id_hash": offsets, "batch": np.ones(rows), "ingest_time_ms": times,
        "source_partition": np.zeros(rows), "source_offset": offsets,
    }  # fmt: skip
    texts = {"decision": "APPROVE", "decided_by": "rules", "model_name": "none", "model_version": "0",
             "rules_version": "1"}  # fmt: skip
    columns = []
    for field in schema:
        if field.name in given:
            columns.append(pa.array(given[field.name]).cast(field.type))
        elif field.name == "day":
            columns.append(pa.array(np.full(rows, FIRST_MS // DAY_MS + day, np.int32)).cast(field.type))
        elif field.name in {"card_id", "key"}:
            columns.append(pa.array(cards).cast(field.type))
        elif field.name in texts:
            columns.append(pa.repeat(pa.scalar(texts[field.name]), rows))
        elif field.type == pa.float32():
            # small numbers: none of the rules in force holds, which the decisions above say
            columns.append(pa.array(chance.random(rows, np.float32), mask=chance.random(rows) < 0.05))
        elif field.name in {"tags", "shadow_rules"}:
            columns.append(pa.array([[]] * rows, field.type))
        else:
            columns.append(pa.nulls(rows, field.type))
    return pa.table(columns, schema)


def build_rules(count: int) -> RuleSet:
    """Return rules of three comparisons each, of which few rows fulfil one."""
    chance, names = np.random.default_rng(SEED), payments.feature_names
    rules = []
    for number in range(count):
        one, two, three = chance.choice(names, 3, replace=False)
        text = f"{one} >= {0.999 + number * 1e-6:.6f} and ({two} <= 0.4 or {three} > {0.8 + number * 1e-4:.4f})"
        when = parse_expression(text).expression
        assert when is not None
        rules.append(Rule(f"r{number}", "REVIEW", when, "measured"))
    return build_rule_set(rules, columns_of_rules(payments))


def measure(root: Path, change: Change, rows: int) -> float:
    """Return the seconds of one study; everything that was read is judged, and comes out as it was recorded."""
    settings, place = Settings(home=root), Place(str(root))
    started = time.perf_counter()
    past = Past(place, payments, settings.topics.of(payments))
    labels = read_labels(past.labels, payments, now_ms=past.newest_ms)
    study = Study(past, Finder(settings, Objects(place)), labels, change)
    read = sum(study.run(0, MS_MAX))
    took = time.perf_counter() - started
    (of,) = study.found.versions.values()
    assert (read, of.checked, of.differing) == (rows, rows, 0)
    assert of.changed > 0
    return took


def main() -> int:
    """Measure, print, and say by the exit code whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="decisions (default: %(default)s)")
    parser.add_argument("--model", type=Path, help="a bundle, such as `python -m tests.bench.model` makes: 200 trees")
    parser.add_argument("--keep", type=Path, help="a folder for the archive, or one that has it already")
    given = parser.parse_args()
    rows = given.rows
    assert rules_of(payments).version == "1"
    met = True
    tried = [(f"{count} rules", Change(build_rules(count)), target) for count, target in TARGET_SECONDS.items()]
    if given.model:
        model = load_bundle(given.model, stream=payments)
        tried.append((f"{model.manifest.name} {model.manifest.version}", Change(model=model), MODEL_SECONDS))
    with tempfile.TemporaryDirectory(prefix="weir-whatif-") as folder:
        root = given.keep or Path(folder)
        if not (root / "decisions").exists():
            build_archive(root, rows)
        for name, change, target in tried:
            cpu = time.process_time()
            took = measure(root, change, rows)
            cpu, of_target = time.process_time() - cpu, took * TARGET_ROWS / rows
            met &= of_target <= target
            sys.stdout.write(
                f"{name:<9}  {rows:,} decisions  {took:6.2f} s, {cpu:6.2f} s of CPU  {rows / took:10,.0f} rows/s  "
                f"10 M would take {of_target:7.1f} s, target {target:g} s; "
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024:,.0f} MB at most\n"
            )
            sys.stdout.flush()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
