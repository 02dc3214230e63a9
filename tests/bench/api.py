"""The API under load: flat out by ``wrk``, and at a fixed rate by an open-loop client of ours.

``wrk`` waits for an answer before it asks again, so its latencies leave out what a queue would have cost (coordinated
omission); it is asked for throughput alone. The p99 at a fixed rate is from ``load_client``, which asks on schedule
whatever comes back. Both are processes of their own next to the API on the same cores. What a lone request costs is the
API's processor time while one is asked after the other: nothing is shared between requests then.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from pathlib import Path

from tests.bench.figures import NothingMeasured, Sample, percentile
from tests.bench.lab import Lab, Processes
from tests.bench.load_client import ask_in_turn, build_requests
from tests.bench.warm import ensure_model, keep_processed
from tests.soak.probe import read_usage
from weir.infra.children import Child

_READY_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.05
_CONNECTIONS, _THREADS = 16, 1
_WARM_REQUESTS, _LONE_REQUESTS = 200, 2_000
_SCRIPT = Path(__file__).parent / "wrk.lua"


def score(lab: Lab, name: str) -> list[Sample]:
    """Load ``POST /v1/score``."""
    del name  # one view serves every round
    ensure_model(lab)
    return _measure(lab, "score", rate=1_500)


def features(lab: Lab, name: str) -> list[Sample]:
    """Load ``GET /v1/features/card/…`` over cards that the view knows."""
    del name
    ensure_model(lab)
    return _measure(lab, "features", rate=3_000)


def _measure(lab: Lab, kind: str, *, rate: int) -> list[Sample]:
    deployment = keep_processed(lab)
    with lab.processes(deployment) as processes:
        child = processes.weir("serve", "--port", "0")
        address = _await_address(processes, child)
        found = [_ask_alone(lab, child, kind, address), _ask_on_schedule(lab, processes, kind, address, rate)]
        if shutil.which("wrk") is None:
            lab.missing[f"{kind}_rps"] = "wrk not found"
            return found
        return [*found, _ask_flat_out(lab, processes, kind, address)]


def _await_address(processes: Processes, child: Child) -> str:
    deadline = time.monotonic() + _READY_SECONDS_MAX
    while not (found := re.search(r"serving http://(\S+)", child.log_file.read_text(errors="replace"))):
        processes.check()
        if time.monotonic() > deadline:
            raise NothingMeasured("the API did not get ready")
        time.sleep(_POLL_SECONDS)
    return found[1]


def _ask_alone(lab: Lab, child: Child, kind: str, address: str) -> Sample:
    requests = build_requests(kind, lab.sizes.cards, _WARM_REQUESTS + _LONE_REQUESTS, address)
    failures = asyncio.run(ask_in_turn(address, requests[:_WARM_REQUESTS]))
    before = read_usage(child.process.pid).cpu_seconds
    failures += asyncio.run(ask_in_turn(address, requests[_WARM_REQUESTS:]))
    used_ms = (read_usage(child.process.pid).cpu_seconds - before) * 1_000
    if failures:
        raise NothingMeasured(f"{len(failures)} of the lone answers to {kind} were not 200: {failures[0]}")
    return Sample(f"{kind}_cpu_ms_alone", round(used_ms / _LONE_REQUESTS, 3), _LONE_REQUESTS)


def _ask_on_schedule(lab: Lab, processes: Processes, kind: str, address: str, rate: int) -> Sample:
    flags = ("--kind", kind, "--address", address, "--cards", str(lab.sizes.cards), "--rate", str(rate))
    child = processes.module("load_client", *flags, "--seconds", str(lab.sizes.api_seconds))
    found = json.loads(processes.run(child).splitlines()[-1])
    if found["failed"]:
        raise NothingMeasured(f"{found['failed']} of the answers to {kind} were not 200: {found['first_failure']}")
    latency = found["latency_ms"]
    notes = {"rate": rate, "p50": round(percentile(latency, 50), 2), "client_lag_ms_p99": found["lag_ms_p99"]}
    notes["unanswered"] = found["unanswered"]
    return Sample(f"{kind}_ms_p99", round(percentile(latency, 99), 2), len(latency), notes)


def _ask_flat_out(lab: Lab, processes: Processes, kind: str, address: str) -> Sample:
    seconds = max(1, int(lab.sizes.api_seconds))
    flags = [f"-t{_THREADS}", f"-c{_CONNECTIONS}", f"-d{seconds}s", "-s", str(_SCRIPT), f"http://{address}/"]
    text = processes.run(processes.children.start("wrk", ["wrk", *flags, "--", kind, str(lab.sizes.cards)]))
    asked = re.search(r"(\d+) requests in", text)
    per_second = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if asked is None or per_second is None or "Non-2xx" in text or "Socket errors" in text:
        raise NothingMeasured(f"wrk on {kind}: expected answers of 200 alone, found:\n{text}")
    return Sample(f"{kind}_rps", float(per_second[1]), int(asked[1]))
