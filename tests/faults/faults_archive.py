"""Archivers that are killed at every step, doubled, or whose store fails: the table has the topic's rows, each once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan
from tests.faults.workers import Worker, await_true
from tests.integration.archive_oracle import find_differences, read_table

STEPS = ("archive_read", "archive_checked", "archive_written", "archive_committed")
RANDOM_SECONDS_MAX = 2.0
SECONDS, GIVE_WAY_SECONDS = 120.0, 40.0
EXIT_OVERTAKEN = 1
SHOWN_MAX = 3


def archiver(lab: Lab, **orders: Any) -> Worker:
    """Start an archiver that commits many small batches."""
    pace = {
        "WEIR_ARCHIVE__ROOT": str(_root(lab)),
        "WEIR_ARCHIVE__COMMIT_SECONDS": "0.3",
        "WEIR_ARCHIVE__COMMIT_ROWS_MAX": "200",
    }
    return lab.crew.start("archive", environment=pace, mutant=lab.plan.mutant, **orders)


def _root(lab: Lab) -> Path:
    return lab.settings.home / "archive"


def _join(lab: Lab) -> Worker:
    """Start a job that joins the files of today meanwhile."""
    environment = {"WEIR_ARCHIVE__ROOT": str(_root(lab))}
    return lab.crew.start("weir", environment=environment, arguments=("archive", "optimize", "--today"))


def _archive_the_rest(lab: Lab) -> None:
    arguments = ("archive", "--until-caught-up")
    last = lab.crew.start("weir", environment={"WEIR_ARCHIVE__ROOT": str(_root(lab))}, arguments=arguments)
    last.await_death(SECONDS)
    lab.expect(last.process.exitcode == 0, f"the last archiver failed: {last.tail(3)}")


def _judge(lab: Lab) -> None:
    """Compare every table with its topic, by an oracle that knows neither the archive nor our clients."""
    names, servers = lab.settings.topics, lab.settings.kafka.bootstrap_servers
    topics = [names.transactions, names.labels, names.features, names.decisions]
    found = find_differences(_root(lab), servers, [*topics, names.dlq, names.labels_dlq, names.features_dlq])
    lab.expect(not found, f"{len(found)} differences, e.g. {found[:SHOWN_MAX]}")
    for topic in topics:
        lab.expect(bool(read_table(_root(lab), topic)), f"{topic} has no row: the run proves nothing")
    verifying = lab.crew.start(
        "weir", environment={"WEIR_ARCHIVE__ROOT": str(_root(lab))}, arguments=("evidence", "verify")
    )
    verifying.await_death(SECONDS)
    lab.expect(verifying.process.exitcode == 0, f"the seals do not hold: {verifying.tail(SHOWN_MAX)}")


def _finish(lab: Lab, workers: list[Worker]) -> None:
    lab.finish(workers)
    _archive_the_rest(lab)
    _judge(lab)


@fault("kill-archive", "kill -9 of the archiver at every numbered step, while files are joined", judged=False)
def kill_archive(lab: Lab) -> None:
    lab.processor(kill_at="produced:3").await_death()  # its transaction is aborted: rows that no archive may have
    scorer, processor = lab.scorer(), lab.processor()
    for turn in range(max(1, lab.kills // (len(STEPS) + 1))):
        for step in STEPS:
            archiver(lab, kill_at=f"{step}:{lab.random.randrange(1, 6)}").await_death(SECONDS)
            lab.times += 1
        joining = _join(lab) if turn % 2 == 0 else None
        archiver(lab, kill_after_seconds=lab.random.uniform(0, RANDOM_SECONDS_MAX)).await_death(SECONDS)
        lab.times += 1
        if joining is not None:
            joining.await_death(SECONDS)
            lab.expect(joining.process.exitcode == 0, f"joining files failed: {joining.tail(3)}")
    _finish(lab, [scorer, processor])


def _has_ended(workers: list[Worker]) -> bool:
    return not all(worker.is_alive for worker in workers)


@fault("two-archivers", "a second archiver of the same partitions is started while the first one works", judged=False)
def two_archivers(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor()
    first = archiver(lab)
    for _ in range(max(2, lab.kills // 10)):
        first.await_step("archive_committed", 2)
        second = archiver(lab)
        await_true(partial(_has_ended, [first, second]), "one of two archivers giving way", GIVE_WAY_SECONDS)
        loser, first = (second, first) if first.is_alive else (first, second)
        lab.times += 1
        lab.expect(first.is_alive, f"both archivers stopped: {first.tail(2)}")
        code = loser.process.exitcode
        lab.expect(code == EXIT_OVERTAKEN or "Overtaken" in loser.log(), f"ended with {code}: {loser.tail(2)}")
        lab.expect("another archiver follows the same partition" in loser.log(), f"gave no reason: {loser.tail(2)}")
    _finish(lab, [scorer, processor, first])


@fault("archive-store-fails", "commits refused, commits without an answer, half a file, again and again", judged=False)
def archive_store_fails(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor()
    worker = archiver(lab, quirks=("failing_store",))
    for step in ("store_refused", "store_answer_lost"):
        worker.await_step(step, 3)
        lab.times += 3
    worker.await_step("archive_committed", 5)
    _finish(lab, [scorer, processor, worker])


@fault("archive-disk-full", "no file can be written whole; then there is room again", Plan(rate=300), judged=False)
def archive_disk_full(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor()
    for _ in range(max(2, lab.kills // 20)):
        worker = archiver(lab, quirks=("full_disk",))
        await_true(lambda: '"event": "waiting"' in worker.log() or not worker.is_alive, "a full disk", SECONDS)  # noqa: B023
        lab.expect(worker.is_alive, f"ended by a full disk: {worker.tail(3)}")
        worker.kill()
        lab.times += 1
        healthy = archiver(lab)
        healthy.await_step("archive_committed", 2)
        healthy.stop()
    _finish(lab, [scorer, processor])
