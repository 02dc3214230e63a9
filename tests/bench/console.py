"""The console under load, by its own command on real servers, in a real browser.

``python -m tests.bench.console live``: the live page for minutes while payments are decided: does it show all of them,
soon, and does its memory stay.
``python -m tests.bench.console pages``: how soon each page can be used with a million decisions in the archive.

Exit codes: 0 the targets are met, 1 not so, 2 misused.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

import orjson
from playwright.sync_api import Browser, CDPSession, Page

from tests.bench.console_world import ConsoleDeployment, deploy, log_in
from tests.bench.figures import percentile
from tests.bench.search import CARDS, write_archive, write_no_rows
from tests.integration.test_cases_live import CARD
from tests.soak.probe import read_usage
from weir.archive.run import find_root
from weir.inference.api.quality.route import SHOWN
from weir.inference.model_card import QUALITY_FILE

BASE = "/streams/transactions"
ROWS_MAX = 200
GROWS_MAX = 1.2
SHOWN_MIN = 0.9
"""Of the rate that is sent; the rest is how a second's count and the sender's own second lie to one another."""
AGE_SECONDS_MAX = 5.0
SAMPLE_SECONDS = 10.0
SETTLE_SECONDS = 60.0
"""Before what is compared with: scripts are compiled, and the table is full."""
PAGE_SECONDS_MAX = 1.0
THRESHOLDS_SECONDS_MAX = 6.0
"""The page of thresholds reads the past for up to 5 s (ADR 42)."""
_QUALITY_DAYS = 35
_SOME = 5
"""Samples at the beginning and at the end, of which the least is compared: what is not collected yet is no growth."""
_MB = 1_048_576


@dataclass(frozen=True)
class Sample:
    """The live page at one moment, after its garbage was collected.

    Attributes:
        seconds: since it was opened.
        heap_mb: of its script.
        nodes: of its document.
        browser_mb: that the process which draws it holds.
        console_mb: that the console's process holds.
        shown: decisions that came in the last second, as the page says.
        age_seconds: since the newest decision that it shows was made.
        rows: that it shows.
    """

    seconds: float
    heap_mb: float
    nodes: int
    browser_mb: float
    console_mb: float
    shown: int
    age_seconds: float
    rows: int


def measure_live(deployment: ConsoleDeployment, *, rate: int, minutes: float) -> list[Sample]:
    """Open the live page while payments are sent, and look at it on a schedule."""
    url, key = deployment.start()
    seconds = minutes * 60 + SETTLE_SECONDS
    samples: list[Sample] = []
    with log_in(url, key) as (browser, page):
        page.goto(f"{url}{BASE}/live")
        page.locator(".status.on").wait_for()
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable")
        deployment.send(rate, seconds + SETTLE_SECONDS)
        page.locator("#live tr").nth(ROWS_MAX - 1).wait_for(timeout=SETTLE_SECONDS * 1_000)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            deployment.check()
            if passed >= len(samples) * SAMPLE_SECONDS:
                samples.append(_look(deployment, browser, page, devtools, passed))
                _tell(asdict(samples[-1]))
            page.wait_for_timeout(500)
    return samples


def _look(deployment: ConsoleDeployment, browser: Browser, page: Page, devtools: CDPSession, seconds: float) -> Sample:
    newest, shown, rows = page.evaluate(
        "() => [document.querySelector('#live td').textContent, parseInt(document.getElementById('rate').textContent),"
        " document.querySelectorAll('#live tr').length]"
    )
    devtools.send("HeapProfiler.collectGarbage")
    found = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    return Sample(
        seconds=seconds,
        heap_mb=found["JSHeapUsedSize"] / _MB,
        nodes=int(found["Nodes"]),
        browser_mb=_read_renderer_mb(browser),
        console_mb=deployment.read_memory_mb("console"),
        shown=shown,
        age_seconds=_read_age(newest),
        rows=rows,
    )


def _read_renderer_mb(browser: Browser) -> float:
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return max(read_usage(each["id"]).memory_mb for each in processes if each["type"] == "renderer")


def _read_age(shown: str) -> float:
    """Return how long ago a time of day was, in UTC; the day may have ended since."""
    now = datetime.now(UTC)
    at = datetime.strptime(shown, "%H:%M:%S").replace(year=now.year, month=now.month, day=now.day, tzinfo=UTC)
    return (now - at).total_seconds() % 86_400


def judge_live(samples: Sequence[Sample], rate: int) -> list[str]:
    """Return what is wrong: what grew, what came late, and what was not shown."""
    settled = [each for each in samples if each.seconds >= SETTLE_SECONDS]
    first, last = settled[:_SOME], settled[-_SOME:]
    wrong = []
    for name in ("heap_mb", "nodes", "browser_mb", "console_mb"):
        before, after = (min(getattr(each, name) for each in some) for some in (first, last))
        if after > GROWS_MAX * before:
            wrong.append(f"{name} grew from {before:,.1f} to {after:,.1f}")
    shown = statistics.median(each.shown for each in settled)
    if shown < SHOWN_MIN * rate:
        wrong.append(f"{shown:.0f} decisions a second were shown of {rate}")
    late = max(each.age_seconds for each in settled)
    if late > AGE_SECONDS_MAX:
        wrong.append(f"the newest decision was {late:.0f} s old")
    rows = max(each.rows for each in settled)
    if rows > ROWS_MAX:
        wrong.append(f"{rows} rows were shown")
    return wrong


def measure_pages(deployment: ConsoleDeployment, *, rows: int, times: int) -> dict[str, float]:
    """Return how soon each page can be used, in seconds at the 95th percentile, with an archive behind it."""
    root = find_root(deployment.settings)
    write_archive(root, rows, days=10, commits=120)
    write_no_rows(root)
    url, key = deployment.start()
    deployment.open_case()
    _keep_quality(deployment)
    paths: dict[str, Callable[[int], str]] = {
        "queue": lambda _: "queue",
        "live": lambda _: "live",
        "search by outcome": lambda _: "search?decision=DECLINE",
        "search by card": lambda number: f"search?card=card-{number % CARDS:06d}",
        "search by rule": lambda _: "search?rule=impossible_travel",
        "card": lambda number: f"entity?kind=card&id=card-{number % CARDS:06d}",
        "rules": lambda _: "rules",
        "lists": lambda _: "lists",
        "models": lambda _: "models",
        "model": lambda _: "models/model?version=1",
        "thresholds": lambda _: "models/thresholds?version=1",
        "quality": lambda _: "quality",
        "features": lambda _: "features",
        "dead letters": lambda _: "letters",
        "audit": lambda _: "audit",
        "keys": lambda _: "keys",
        "uploads": lambda _: "uploads",
    }
    found: dict[str, float] = {}
    with log_in(url, key) as (_, page):
        case = _find_case(page, f"{url}{BASE}")
        paths |= {"case": lambda _: case, "transaction": lambda _: "transaction?id=t2"}
        for name, path in paths.items():
            _warm(page, f"{url}{BASE}/{path(0)}")
            taken = [_open(page, f"{url}{BASE}/{path(31 * turn)}") for turn in range(1, times + 1)]
            found[name] = percentile(taken, 95)
            _tell({"page": name, "p50_s": round(percentile(taken, 50), 3), "p95_s": round(found[name], 3)})
    return found


def judge_pages(found: Mapping[str, float]) -> list[str]:
    """Return which pages can be used too late."""
    bounds = {"thresholds": THRESHOLDS_SECONDS_MAX}
    return [f"{name}: {each:.2f} s" for name, each in found.items() if each > bounds.get(name, PAGE_SECONDS_MAX)]


def _keep_quality(deployment: ConsoleDeployment) -> None:
    """Keep what `weir quality` would, of as many days as it shows."""
    (day,) = SHOWN["days"]
    days = [day | {"day": (date(2026, 1, 31) - timedelta(days=each)).isoformat()} for each in range(_QUALITY_DAYS)]
    (deployment.settings.models_dir / QUALITY_FILE).write_bytes(orjson.dumps(SHOWN | {"days": days}))


def _find_case(page: Page, base: str) -> str:
    """Wait until the case is in the queue and its last event can be looked up; return the path of its page."""
    page.goto(f"{base}/queue")
    page.get_by_role("row").filter(has_text=CARD).wait_for(timeout=SETTLE_SECONDS * 1_000)  # it draws itself again
    page.get_by_role("row").filter(has_text=CARD).get_by_role("link").first.click()
    page.get_by_role("heading", name="Case").first.wait_for()
    found = page.url.removeprefix(f"{base}/")
    page.get_by_role("link", name="t2").click()
    page.get_by_role("heading", name="Transaction t2").wait_for()
    return found


def _warm(page: Page, url: str) -> None:
    """Open a page until it answers: the first question of the archive starts a process, which takes its time."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not ((answer := page.goto(url)) and answer.ok) and time.monotonic() < deadline:
        page.wait_for_timeout(500)


def _open(page: Page, url: str) -> float:
    """Return how long a page takes until its scripts have run and it can be clicked, in seconds."""
    began = time.perf_counter()
    answer = page.goto(url, wait_until="domcontentloaded")
    assert answer is not None
    assert answer.ok, f"{answer.status} {url}: {page.locator('main').inner_text()[:500]}"
    return time.perf_counter() - began


def _tell(found: dict[str, float | str]) -> None:
    sys.stdout.write(json.dumps({name: round(each, 3) if isinstance(each, float) else each
                                 for name, each in found.items()}) + "\n")  # fmt: skip
    sys.stdout.flush()


def main() -> int:
    """Run one of the two, and say by the exit code whether its targets are met."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.console", description=(__doc__ or "").partition("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    live = commands.add_parser("live")
    live.add_argument("--minutes", type=float, default=30.0, help="after the page has settled")
    live.add_argument("--rate", type=int, default=500, help="payments a second")
    pages = commands.add_parser("pages")
    pages.add_argument("--rows", type=int, default=1_000_000, help="decisions in the archive")
    pages.add_argument("--times", type=int, default=20, help="each page is opened")
    given = parser.parse_args()
    with deploy() as deployment:
        if given.command == "live":
            wrong = judge_live(measure_live(deployment, rate=given.rate, minutes=given.minutes), given.rate)
        else:
            found = measure_pages(deployment, rows=given.rows, times=given.times)
            wrong = judge_pages(found)
    sys.stdout.write("".join(f"{each}\n" for each in wrong) or "the targets are met\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
