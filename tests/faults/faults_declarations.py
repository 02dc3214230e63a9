"""Processors of two declarations in one group: an upgrade while the old release still runs, and the way back."""

from __future__ import annotations

from functools import partial
from threading import Event

from tests.faults.catalogue import fault
from tests.faults.contracts import Row, decode
from tests.faults.faults_kafka import raise_partitions
from tests.faults.lab import Lab, Plan
from tests.faults.logs import read_topic
from tests.faults.redeclared import GONE, NEW
from tests.faults.workers import Worker, await_true
from tests.payments import DECLARATIONS_HASH
from weir.inference.api.lookup import look_up
from weir.inference.api.reader import find_broken_values
from weir.infra.redis.partials_reader import FeatureReader
from weir.infra.redis.unit import Unit
from weir.streaming.kernels import shipped_kernel

START_SECONDS = 240.0
"""Another release's kernel is compiled at its first start."""
BATCHES = 6
PARTITIONS = 4
UNITS = range(PARTITIONS)
TOGETHER_SECONDS = 6.0
SETTLED_MS = 2_000
"""A row that another release's take-over overtook was computed at most so long before."""


@fault(
    "declarations-changed",
    "a processor of other feature declarations joins, continues alone, and is rolled back",
    Plan(rate=60),
)
def declarations_changed(lab: Lab) -> None:
    # so that each of the two has several
    raise_partitions(lab, PARTITIONS, lab.settings.topics.dlq, lab.settings.topics.transactions)
    scorer, old = lab.scorer(), lab.processor(0)
    lab.run_until(old)
    new = lab.processor(1, redeclared=True)
    await_true(lambda: _caught_up(new) > 0, "a partition of payments being handed over", START_SECONDS)
    _go_on(new)
    Event().wait(TOGETHER_SECONDS)
    _go_on(old)
    until_ms = lab.now_ms()
    old.stop()
    lab.times += 1
    await_true(lambda: _caught_up(new) == PARTITIONS, "every partition of payments being handed over")
    _go_on(new)
    _expect_left_alone(lab, new)
    new.stop()
    lab.times += 1
    back = lab.processor(0)
    lab.watch_recovery()
    lab.finish([back, scorer])
    _expect_told(lab, until_ms)


@fault(
    "cut-over",
    "other declarations' view is built next to the one in use (kill -9), taken over, given back, and dropped",
    Plan(rate=60),
)
def cut_over(lab: Lab) -> None:
    scorer, deciding = lab.scorer(), lab.processor(0)
    lab.run_until(deciding)
    for redeclared in (True, False):
        lab.crew.start("cut-over", redeclared=redeclared, kill_at="catch_up_applied").await_death(START_SECONDS)
        building = lab.crew.start("cut-over", redeclared=redeclared)
        building.await_step("next_view_ready", 1, START_SECONDS)
        _go_on(deciding)  # one view follows the log, and the other the one that decides
        deciding.stop()
        lab.times += 2
        deciding = lab.processor(0, redeclared=redeclared)
        _go_on(deciding)
        building.await_death(START_SECONDS)
        lab.expect(building.process.exitcode == 0, f"the next view was not taken over: {building.tail(3)}")
        lab.expect('"view_missing"' not in deciding.log(), f"built from nothing: {deciding.tail(3)}")
    _drop_theirs(lab)
    lab.watch_recovery()
    lab.finish([deciding, scorer])


def _drop_theirs(lab: Lab) -> None:
    """Delete the view of the other declarations, whose rows say what it is called."""
    names, url = lab.settings.topics, lab.settings.registry.url
    rows = [decode(url, entry.value) for entry in read_topic(lab.settings.kafka.bootstrap_servers, names.features)]
    theirs = {row["declarations_hash"] for row in rows} - {DECLARATIONS_HASH}
    lab.expect(len(theirs) == 1, f"rows of other declarations: {theirs}")
    (declared,) = theirs
    dropping = lab.crew.start("weir", arguments=("features", "drop", declared, "--apply"))
    dropping.await_death(START_SECONDS)
    lab.expect(dropping.process.exitcode == 0, f"the view was not deleted: {dropping.tail(3)}")
    ours = {lab.view.prefix(unit).split(":")[3] for unit in lab.units()} | {"view", "starts", "suspect"}
    kept = {key.split(b":")[3].decode() for key in lab.redis.scan_iter(lab.view.group_prefix + "*", count=2_000)}
    lab.expect(kept <= ours, f"keys of another view are left: {kept - ours}")


def _caught_up(worker: Worker) -> int:
    """How many units of payments it has, or had."""
    return sum(
        f'"caught_up", "logger": "weir.streaming.state.catch_up", "unit": "t{n:02d}"' in worker.log() for n in UNITS
    )


def _go_on(worker: Worker) -> None:
    worker.await_step("committed", worker.count("committed") + BATCHES, START_SECONDS)


def _view(lab: Lab) -> dict[bytes, bytes]:
    keys = sorted(key for unit in lab.units() for key in lab.redis.scan_iter(lab.view.prefix(unit) + "*", count=2_000))
    return dict(zip(keys, lab.redis.mget(keys), strict=True))


def _expect_left_alone(lab: Lab, new: Worker) -> None:
    """The old view stays as it is while another one follows the log, and every reader is told."""
    held = _view(lab)
    _go_on(new)
    lab.expect(held == _view(lab), "the view of the old declarations changed while only others ran")
    reader = FeatureReader(
        lab.redis,
        lab.view,
        partitions=PARTITIONS,
        label_partitions=lab.plan.partitions,
        find_broken=partial(find_broken_values, shipped_kernel()),
    )
    found = look_up(shipped_kernel(), reader, "card", "card-0", now_ms=lab.now_ms())
    tags = {Unit("t", number).tag for number in UNITS}
    lab.expect(tags <= set(found["incomplete_units"]), f"a view that is left behind is called whole: {found}")


def _expect_told(lab: Lab, until_ms: int) -> None:
    """Rows and decisions that were made without a part of their inputs must say so."""
    names, url, bootstrap = lab.settings.topics, lab.settings.registry.url, lab.settings.kafka.bootstrap_servers
    entries = [(entry, decode(url, entry.value)) for entry in read_topic(bootstrap, names.features)]
    others = [(entry, row) for entry, row in entries if row["declarations_hash"] != DECLARATIONS_HASH]
    lab.expect(bool(others), "no row of the other declarations was made")
    lab.expect(all(NEW in row and GONE not in row for _, row in others), "rows of the other declarations lack theirs")
    since_ms = min(entry.append_ms for entry, _ in others) + SETTLED_MS
    shared = [row for entry, row in entries if since_ms < entry.append_ms < until_ms]
    ours = [row for row in shared if row["declarations_hash"] == DECLARATIONS_HASH]
    lab.expect(bool(ours), "the two never worked at the same time")
    silent = [row["source_offset"] for row in shared if not _names_a_unit(row)]
    lab.expect(
        not silent, f"{len(silent)} of {len(shared)} rows made while there was another view do not say so: {silent[:3]}"
    )
    sources = {(row["source_partition"], row["source_offset"]) for _, row in others}
    decisions = [decode(url, entry.value) for entry in read_topic(bootstrap, names.decisions)]
    theirs = [row for row in decisions if (row["source_partition"], row["source_offset"]) in sources]
    unflagged = [row["source_offset"] for row in theirs if "declarations" not in row["degraded_by"]]
    lab.expect(bool(theirs) and not unflagged, f"decisions on other declarations do not say so: {unflagged[:3]}")


def _names_a_unit(row: Row) -> bool:
    return any(cause.startswith("partial.t") for cause in row["degraded"])
