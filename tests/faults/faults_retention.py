"""Input records that the broker deleted: before they were read, before they were applied, and before a rebuild.

What is left is not the whole log, so the usual judge has nothing to compare with. Checked here: refusals, that what is
rebuilt is the fold of what is left, and that its readers are told that it is not all.
"""

from __future__ import annotations

from functools import partial
from itertools import islice

from confluent_kafka import TopicPartition

from tests.faults.catalogue import fault
from tests.faults.contracts import decode
from tests.faults.evidence import collect
from tests.faults.faults_refused import (
    admin_of,
    await_empty_group,
    expect_refusal,
    group_consumer,
    input_of,
    run_weir,
)
from tests.faults.lab import Lab, Plan
from tests.faults.refold import refold_transactions
from tests.faults.workers import await_true
from weir.inference.api.lookup import look_up
from weir.inference.api.reader import find_broken_values
from weir.infra.redis.partials_reader import FeatureReader
from weir.infra.redis.unit import Unit
from weir.streaming.kernels import shipped_kernel

RECORDS = 600
UNITS = (Unit("t", 0), Unit("t", 1))


@fault(
    "retention-passed",
    "records deleted by the broker: above what is committed, above what is applied, and before a rebuild",
    Plan(records=RECORDS, rate=400, waits=True),
    judged=False,
)
def retention_passed(lab: Lab) -> None:
    lab.feeder.finish()
    scorer = lab.scorer()
    _decide_all(lab)
    _above_committed(lab)
    _above_applied(lab)
    _before_a_rebuild(lab)
    scorer.stop()


def _decide_all(lab: Lab) -> None:
    processor = lab.processor()
    lab.await_drained()
    processor.stop()


def _more(lab: Lab) -> None:
    lab.feeder.send(islice(lab.feeder.stream, RECORDS // 2))


def _delete_below(lab: Lab, offsets: dict[int, int]) -> None:
    """Do what retention does: the log starts there from now on."""
    topic, admin = lab.settings.topics.transactions, admin_of(lab)
    wanted = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
    for future in admin.delete_records(wanted).values():
        future.result(20)


def _applied(lab: Lab) -> dict[int, int]:
    found = {unit.partition: lab.view.position(unit) for unit in UNITS}
    return {number: position.applied for number, position in found.items() if position is not None}


def _unapplied(lab: Lab) -> dict[int, int]:
    """Per partition of which records are committed and not applied, the offset half way between."""
    consumer = group_consumer(lab)
    try:
        committed = {at.partition: at.offset for at in consumer.committed(input_of(lab), timeout=10)}
    finally:
        consumer.close()
    applied = _applied(lab)
    return {n: (applied[n] + end + 1) // 2 for n, end in committed.items() if end > applied[n] + 1}


def _above_committed(lab: Lab) -> None:
    """``committed=c ... log starts at c + 20``: payments expired undecided. Only an operator may go on without them."""
    before = _applied(lab)
    _more(lab)
    _delete_below(lab, {number: offset + 20 for number, offset in before.items()})
    expect_refusal(lab, "undecided records expired", "offsets recover --skip-expired --apply")
    await_empty_group(lab)
    run_weir(lab, "offsets", "recover", "--skip-expired", "--apply")
    expect_refusal(lab, "the view ends below the log's start", "offsets drop-view --apply")
    run_weir(lab, "offsets", "drop-view", "--apply")
    await_empty_group(lab)
    _decide_all(lab)
    _expect_rebuilt(lab, "undecided records expired")


def _above_applied(lab: Lab) -> None:
    """``applied ... log starts ... committed``: the processor died before its writes, and stayed away."""
    _more(lab)
    dying = lab.processor(quirks=("hold_apply",))
    await_true(lambda: bool(_unapplied(lab)), "a batch that is committed and not applied")
    dying.kill()
    _delete_below(lab, _unapplied(lab))
    expect_refusal(lab, "decided records expired that the view lacks", "offsets drop-view --apply")
    run_weir(lab, "offsets", "drop-view", "--apply")
    await_empty_group(lab)
    _decide_all(lab)
    _expect_rebuilt(lab, "decided records expired that the view lacked")


def _before_a_rebuild(lab: Lab) -> None:
    """The log starts above 0 and Redis is wiped while the processor works: nothing is refused, all of it is flagged."""
    processor = lab.processor()
    before = set(collect(lab).rows)
    lab.redis.flushall()
    lab.times += 1
    _more(lab)
    await_true(partial(_has_positions, lab), "the view being rebuilt")
    _more(lab)
    lab.await_drained()
    processor.stop()
    _expect_rebuilt(lab, "wiped")
    # by their places: two readings meet the partitions in different orders
    fresh = {place: rows for place, rows in collect(lab).rows.items() if place not in before}
    degraded = [row["degraded"] for rows in fresh.values() for row, _ in rows]
    lab.expect(bool(degraded), "no row was made after the wipe")
    lab.expect(all("partial.t00" in names for names in degraded), f"rows not flagged: {degraded[:3]}")


def _has_positions(lab: Lab) -> bool:
    return len(_applied(lab)) == len(UNITS)


def _expect_rebuilt(lab: Lab, what: str) -> None:
    """The view must be the fold of what is left, and say from when it is complete, to the API too."""
    evidence, url = collect(lab), lab.settings.registry.url
    for unit in UNITS:
        left = [entry for entry in evidence.transactions if entry.partition == unit.partition]
        counted = [entry for entry in left if entry.at not in evidence.letters]
        rows = [(decode(url, entry.value), entry.append_ms, entry.value or b"") for entry in counted]
        expected = refold_transactions(rows, partition=unit.partition, seed=lab.seed)
        lab.expect(evidence.view[unit] == expected, f"{what}: {unit.tag} is not the fold of what is left")
        position = lab.view.position(unit)
        complete = position is not None and position.since_ms == left[0].append_ms and left[0].offset > 0
        lab.expect(complete, f"{what}: {unit.tag} is not complete from the first record left on, but {position}")
        lacking = [entry.at for entry in left if len(evidence.rows.get(entry.at, [])) != 1 and entry in counted]
        lab.expect(not lacking, f"{what}: positions without one row: {lacking[:3]}")
    reader = FeatureReader(
        lab.redis,
        lab.view,
        partitions=lab.plan.partitions,
        label_partitions=lab.plan.partitions,
        find_broken=partial(find_broken_values, shipped_kernel()),
    )
    found = look_up(shipped_kernel(), reader, "card", rows[-1][0]["card_id"], now_ms=lab.now_ms())
    lab.expect(not found["complete"], f"{what}: the API calls a view complete that lacks records")
