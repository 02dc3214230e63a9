"""Archivers that are killed at every step, doubled, or whose store fails: the table has the topic's rows, each once."""

from __future__ import annotations

from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from tests.faults.catalogue import fault
from tests.faults.faults_decoder import send_marked
from tests.faults.lab import Lab, Plan
from tests.faults.load import HANGER, KILLER
from tests.faults.workers import Worker, await_true
from tests.integration.archive_oracle import find_differences, find_doubled, read_table

STEPS = ("archive_read", "archive_checked", "archive_written", "archive_committed")
UPKEEP_STEPS = ("archive_joined", "archive_swapped")
"""Of the archiver's own upkeep, which joins the files of closed days."""
RANDOM_SECONDS_MAX = 2.0
SECONDS = 120.0
EXAMINED_SECONDS = 600.0
"""A range in which a decoder hangs is examined for a minute; the marks are in decisions too where those came first."""
EXIT_OVERTAKEN = 1
SHOWN_MAX = 3
DEATHS_MAX = 12
"""Each of four records may be met alone, as an event, as a feature row and as a decision."""


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


@fault(
    "kill-archive",
    "kill -9 of the archiver at every numbered step, also of its upkeep, and of what joins files",
    Plan(rate=150),
    judged=False,
)
def kill_archive(lab: Lab) -> None:
    lab.processor(kill_at="produced:3").await_death()  # its transaction is aborted: rows that no archive may have
    scorer, processor = lab.scorer(), lab.processor()
    for turn in range(max(1, ceil(lab.kills / (len(STEPS) + len(UPKEEP_STEPS) + 1)))):
        for step in STEPS:
            archiver(lab, kill_at=f"{step}:{lab.random.randrange(1, 6)}").await_death(SECONDS)
            lab.times += 1
        for step in UPKEEP_STEPS:
            archiver(lab, kill_at=f"{step}:1", quirks=("upkeep_due",)).await_death(SECONDS)
            lab.times += 1
        joining = _join(lab)
        archiver(lab, kill_after_seconds=lab.random.uniform(0, RANDOM_SECONDS_MAX)).await_death(SECONDS)
        lab.times += 1
        if turn % 2:
            joining.kill()
            continue
        joining.await_death(SECONDS)
        lab.expect(joining.process.exitcode == 0, f"joining files failed: {joining.tail(3)}")
    _finish(lab, [scorer, processor])


def _is_decided(lab: Lab, workers: list[Worker]) -> bool:
    """Return whether one has given way, or both have added the same rows: then nothing is left to wait for."""
    if not all(worker.is_alive for worker in workers):
        return True
    return all(worker.count("archive_committed") for worker in workers) and bool(_find_doubled(lab))


def _find_doubled(lab: Lab) -> list[str]:
    names = lab.settings.topics
    return find_doubled(_root(lab), [names.transactions, names.labels, names.features, names.decisions])


@fault(
    "two-archivers",
    "a second archiver of the same partitions is started while the first one works",
    Plan(rate=150),
    judged=False,
)
def two_archivers(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor()
    first = archiver(lab)
    for _ in range(max(2, lab.kills // 10)):
        first.await_step("archive_committed", 2)
        second = archiver(lab)
        await_true(partial(_is_decided, lab, [first, second]), "one of two archivers giving way", SECONDS)
        doubled = _find_doubled(lab)
        lab.expect(not doubled, f"{len(doubled)} rows are there twice, e.g. {doubled[:SHOWN_MAX]}")
        if doubled:
            return
        loser, first = (second, first) if first.is_alive else (first, second)
        lab.times += 1
        lab.expect(first.is_alive, f"both archivers stopped: {first.tail(2)}")
        code = loser.process.exitcode
        lab.expect(code == EXIT_OVERTAKEN or "Overtaken" in loser.log(), f"ended with {code}: {loser.tail(2)}")
        lab.expect("another archiver follows the same partition" in loser.log(), f"gave no reason: {loser.tail(2)}")
    _finish(lab, [scorer, processor, first])


class Supervised:
    """An archiver that some records end, started again each time.

    Attributes:
        worker: the one that runs.
        deaths: how often one ended.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.worker = archiver(lab, quirks=("fragile",))
        self.deaths = 0

    def has_archived(self, count: int) -> bool:
        if not self.worker.is_alive:
            self.worker, self.deaths = archiver(self._lab, quirks=("fragile",)), self.deaths + 1
        return len(_read_undecoded(self._lab)) >= count


@fault(
    "archive-decoder-killed",
    "records that end the decoder, or hang it, under a supervisor",
    Plan(rate=60, waits=True),
    judged=False,
)
def archive_decoder_killed(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor()
    sent = sorted([*send_marked(lab, KILLER, 3), *send_marked(lab, HANGER, 1)])
    supervised = Supervised(lab)
    has_archived = partial(supervised.has_archived, len(sent))
    lab.recoveries.append(await_true(has_archived, "each of them being archived", EXAMINED_SECONDS))
    lab.times += supervised.deaths
    supervised.worker.kill()
    found = _read_undecoded(lab)
    lab.expect(found == sent, f"expected {len(sent)} records undecoded, as they were sent, found {len(found)}")
    lab.expect(0 < supervised.deaths <= DEATHS_MAX, f"expected 1 to {DEATHS_MAX} ends, found {supervised.deaths}")
    _finish(lab, [scorer, processor])


def _read_undecoded(lab: Lab) -> list[bytes]:
    """Return the values of the events that were archived undecoded because of what they do to a decoder."""
    topic = lab.settings.topics.transactions
    rows = read_table(_root(lab), topic) if (_root(lab) / topic / "_delta_log").exists() else []
    return sorted(row["value"] for row in rows if row["undecoded"] == "decoder_died")


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
