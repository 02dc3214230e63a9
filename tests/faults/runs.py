"""One fault from an empty deployment to its row of the table."""

from __future__ import annotations

import importlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.catalogue import CATALOGUE, Entry
from tests.faults.judge import Judgement, judge, judge_breakdown
from tests.faults.lab import Lab, Plan, open_lab
from tests.faults.redis_cluster import RedisClusterServers
from tests.faults.redis_servers import RedisPair, RedisServers
from tests.faults.table import Result, summarize
from tests.faults.workers import await_forkserver
from weir.infra.embedded.stack import Stack

GROUPS = (
    "faults_process",
    "faults_redis",
    "faults_cluster",
    "faults_kafka",
    "faults_records",
    "faults_refused",
    "faults_offsets",
    "faults_scorer",
    "faults_run",
    "faults_api",
    "faults_decoder",
    "faults_schemas",
    "faults_times",
    "faults_retention",
    "faults_declarations",
    "faults_archive",
    "faults_cases",
)
REDIS = {"stack": RedisServers, "pair": RedisPair, "cluster": RedisClusterServers}


@dataclass(frozen=True)
class Task:
    """One fault to be run once."""

    fault: str
    seed: int
    kills: int
    mutant: str = ""


def load_catalogue() -> None:
    """Import every module that enters faults."""
    for group in GROUPS:
        importlib.import_module(f"tests.faults.{group}")


def run_task(stack: Stack, task: Task) -> tuple[Task, Result]:
    """Run a task, in whichever process it was sent to."""
    load_catalogue()
    await_forkserver()
    entry = CATALOGUE[task.fault]
    plan = replace(entry.plan, mutant=task.mutant) if task.mutant else entry.plan
    return task, run_fault(stack, replace(entry, plan=plan), seed=task.seed, kills=task.kills)


def run_fault(stack: Stack, entry: Entry, *, seed: int, kills: int) -> Result:
    """Run one fault from an empty deployment to the verdict."""
    with _redis_for(stack, entry.plan) as servers:
        return _run_on(open_lab(stack, servers, entry.name, entry.plan, seed=seed, kills=kills), entry)


@contextmanager
def _redis_for(stack: Stack, plan: Plan) -> Iterator[RedisServers]:
    folder = Path(tempfile.mkdtemp(prefix="redis-", dir=stack.home))
    servers = REDIS[plan.redis](stack, folder)
    try:
        servers.start()
        yield servers
    finally:
        servers.close()
        shutil.rmtree(folder)


def _run_on(lab: Lab, entry: Entry) -> Result:
    began = time.monotonic()
    found = Judgement()
    try:
        entry.run(lab)
        found = judge(lab) if entry.judged else _judge_refusals(lab)
    except Exception as error:  # noqa: BLE001 - a run that breaks down is a red row, and the others still run
        found.problems += [*_find_harm(lab), f"{type(error).__name__}: {error}\n{lab.last_words()}"]
    finally:
        lab.crew.end()
    if found.problems:
        found.problems.append(f"logs kept in {_keep_logs(lab)}")
    p50, longest = summarize(lab.recoveries)
    return Result(
        fault=entry.name,
        times=lab.times,
        records=found.records or lab.feeder.sent,
        lost=found.lost,
        doubled=found.doubled,
        state_differences=found.state_differences,
        recovery_s_p50=p50,
        recovery_s_max=longest,
        aborted_copies=found.aborted,
        exact_share=found.exact_share if found.compared else None,
        in_time=found.in_time,
        seconds=round(time.monotonic() - began, 1),
        problems=tuple(found.problems),
    )


def _find_harm(lab: Lab) -> list[str]:
    """Return what was done wrong before a run broke down: every process may have refused to continue because of it."""
    try:
        return judge_breakdown(lab)
    except Exception:  # noqa: BLE001 - servers may be away, which is what the run is about
        return []


def _keep_logs(lab: Lab) -> Path:
    """Put the logs of a red run where they outlive its servers."""
    kept = Path(tempfile.mkdtemp(prefix="weir-faults-red-"))
    shutil.copytree(lab.crew.folder, kept / "workers", symlinks=True)
    shutil.copytree(lab.stack.home / "logs", kept / "servers")
    return kept


def _judge_refusals(lab: Lab) -> Judgement:
    found = Judgement(problems=list(lab.problems))
    if lab.times == 0:
        found.problems.append("nothing was broken: the run proves nothing")
    return found
