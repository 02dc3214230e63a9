"""``weir generate``: a labelled history to Parquet, a live stream to the broker, or a history through the broker.

Card payments are simulated, with fraud in them. Events of a project's stream are made up by its ``generator.toml``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from weir.generators.faults import Faults
from weir.generators.history import build_history, write_history
from weir.generators.live import LivePlan
from weir.generators.population import build_population
from weir.generators.profiles.profile import Profile, load_profile
from weir.generators.schedule import SHAPES
from weir.generators.sender import Sent
from weir.generators.stream import first_due_ms, now_ms, run_live, run_profile, run_replay
from weir.generators.visits.history import draw_visits, measure, write_visits
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import load_settings
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.schemas.project import find_project, find_stream
from weir.schemas.streams.payments import payments

CARDS_MIN = 50
_RATE = 200.0
VISITED = ("clicks", "sessions")
"""Shipped streams of which a history can be simulated, besides the payments."""
_OF_PAYMENTS = ("to", "cards", "v1_share", "truth", "days", "end_ms", "from_parquet", "history_speed")
"""Flags of the simulator of card payments."""
Summary = dict[str, object]


def main(argv: list[str]) -> int:
    """Run ``weir generate``. Exit codes: 0 done, 1 nothing sent or some records refused, 2 misused."""
    arguments = build_parser().parse_args(argv[1:])
    project, stream = find_project(Path.cwd()), find_stream(Path.cwd(), arguments.stream)
    if project is None and stream.name in VISITED and arguments.to == "parquet":
        summary, done = _write_visits(arguments, stream.name), True
    elif project is not None or stream is not payments:
        summary, done = _publish_profile(arguments, load_profile(project, stream))
    elif arguments.to == "parquet":
        summary, done = _write_history(arguments), True
    else:
        summary, done = _publish(arguments)
    write_summary(summary, as_json=arguments.json)
    return 0 if done else 1


def build_parser() -> argparse.ArgumentParser:
    """Return the flags of ``weir generate``."""
    parser = Parser(prog="weir generate", description="Simulate card payments and fraud, or make up a stream's events.")
    add_stream_flag(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--to", choices=["kafka", "parquet"], default="kafka", help="publish, or write a history")
    world = parser.add_argument_group("world")
    world.add_argument("--seed", type=_at_least(0), default=7, help="names the world: same seed, same cards and habits")
    world.add_argument("--cards", type=_at_least(CARDS_MIN), default=5_000)
    _add_live_flags(parser.add_argument_group("live stream"))
    _add_history_flags(parser.add_argument_group("history"))
    return parser


def _add_live_flags(live: argparse._ArgumentGroup) -> None:
    live.add_argument(
        "--rate", type=_positive, help=f"events a second, on schedule whatever happens (default: {_RATE})"
    )
    live.add_argument("--seconds", type=_not_negative, default=60.0, help="0 runs until interrupted")
    live.add_argument("--shape", choices=SHAPES, default="constant")
    live.add_argument("--late", type=_share, help="share with event times beyond the horizon")
    live.add_argument("--out-of-order", type=_share, help="share with event times up to 30 minutes old")
    live.add_argument("--duplicates", type=_share, help="share sent a second time")
    live.add_argument("--malformed", type=_share, help="malformed records on top, as a share")
    live.add_argument("--v1-share", type=_share, default=0.0, help="share encoded by version 1 of the schema")
    live.add_argument("--truth", type=Path, help="write which payments are fraud: JSON lines, or *.parquet")


def _add_history_flags(history: argparse._ArgumentGroup) -> None:
    history.add_argument("--out", type=Path, default=Path("history"), help="folder to write with --to parquet")
    history.add_argument("--days", type=_at_least(1), default=60)
    history.add_argument("--end-ms", type=_at_least(0), help="UTC epoch milliseconds; now by default")
    history.add_argument("--from-parquet", type=Path, help="publish such a folder instead of a live stream")
    history.add_argument("--history-speed", type=_speed, help="times faster than it happened, or max (default)")


def _at_least(smallest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if value < smallest:
            raise argparse.ArgumentTypeError(f"expected at least {smallest}, found {value}")
        return value

    parse.__name__ = "whole number"  # argparse names it when the text is no number
    return parse


def _number(text: str, *, accept: Callable[[float], bool], expected: str) -> float:
    value = float(text)
    if not accept(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text}")
    return value


def _positive(text: str) -> float:
    return _number(text, accept=lambda value: 0 < value <= 10_000_000, expected="a number above 0")


def _not_negative(text: str) -> float:
    return _number(text, accept=lambda value: 0 <= value < 1e9, expected="a number of 0 or above")


def _share(text: str) -> float:
    return _number(text, accept=lambda value: 0 <= value <= 1, expected="a share between 0 and 1")


def _speed(text: str) -> float | None:
    return None if text == "max" else _positive(text)


def _write_history(arguments: argparse.Namespace) -> Summary:
    started = time.monotonic()
    end_ms = now_ms() if arguments.end_ms is None else arguments.end_ms
    start_ms = end_ms - arguments.days * DAY_MS
    history = build_history(build_population(arguments.seed, arguments.cards), start_ms, end_ms)
    write_history(history, arguments.out)
    return {
        "seed": arguments.seed,
        "cards": arguments.cards,
        "from_ms": start_ms,
        "to_ms": end_ms,
        "transactions": history.transactions.num_rows,
        "labels": history.labels.num_rows,
        "fraud": history.truth["is_fraud"].true_count,
        "seconds": round(time.monotonic() - started, 2),
        "folder": str(arguments.out),
    }


def _write_visits(arguments: argparse.Namespace, stream: str) -> Summary:
    started = time.monotonic()
    end_ms = now_ms() if arguments.end_ms is None else arguments.end_ms
    population = build_population(arguments.seed, arguments.cards)
    steps = draw_visits(population, end_ms - arguments.days * DAY_MS, end_ms)
    rows = write_visits(steps, population, stream, end_ms, arguments.out)
    figures = {name: round(value, 4) for name, value in vars(measure(steps)).items()}
    world: Summary = {"seed": arguments.seed, "cards": arguments.cards, "to_ms": end_ms}
    seconds = round(time.monotonic() - started, 2)
    return world | rows | figures | {"seconds": seconds, "folder": str(arguments.out)}


def _publish(arguments: argparse.Namespace) -> tuple[Summary, bool]:
    settings = load_settings()
    if arguments.from_parquet is not None:
        sent = run_replay(settings, arguments.from_parquet, arguments.history_speed)
        return _summarise(sent), sent.records > 0 and not sent.failed
    population = build_population(arguments.seed, arguments.cards)
    plan = replace(_plan(arguments, arguments.rate or _RATE, Faults()), v1_share=arguments.v1_share)
    sent = run_live(settings, population, plan, arguments.truth)
    world: Summary = {"seed": arguments.seed, "cards": arguments.cards, "start_ms": plan.start_ms}
    return world | _summarise(sent), sent.records > 0 and not sent.failed


def _publish_profile(arguments: argparse.Namespace, profile: Profile) -> tuple[Summary, bool]:
    _refuse_flags_of_payments(arguments, profile)
    plan = _plan(arguments, arguments.rate or profile.rate or _RATE, profile.faults)
    sent = run_profile(load_settings().of_stream(profile.stream), profile, plan, arguments.seed)
    world: Summary = {"stream": profile.stream.name, "seed": arguments.seed, "start_ms": plan.start_ms}
    return world | _summarise(sent), sent.records > 0 and not sent.failed


def _refuse_flags_of_payments(arguments: argparse.Namespace, profile: Profile) -> None:
    """Refuse what only the simulator of payments can do, instead of leaving it out.

    Raises:
        Refused: naming the first such flag.
    """
    usual = build_parser().parse_args([])
    for name in _OF_PAYMENTS:
        if getattr(arguments, name) != getattr(usual, name):
            flag = "--" + name.replace("_", "-")
            raise Refused(f"expected {flag} for the payments that are shipped, found the stream {profile.stream.name}")


def _plan(arguments: argparse.Namespace, rate: float, usual: Faults) -> LivePlan:
    """Return what a live stream is to be; flags beat what is usual."""
    given = {each.name: getattr(arguments, each.name) for each in fields(Faults)}
    faults = replace(usual, **{name: share for name, share in given.items() if share is not None})
    return LivePlan(first_due_ms(rate), rate, arguments.seconds, arguments.shape, faults)


def _summarise(sent: Sent) -> Summary:
    return {
        "records": sent.records,
        "failed": sent.failed,
        **({"first_error": sent.first_error} if sent.failed else {}),
        "seconds": round(sent.seconds, 2),
        "records_per_second": round(sent.records / max(sent.seconds, 1e-9)),
        "lag_ms_p50": round(sent.lag_percentile_ms(50), 2),
        "lag_ms_p99": round(sent.lag_percentile_ms(99), 2),
        "lag_ms_max": round(sent.lag_ms_max, 2),
        "kinds": dict(sorted(sent.kinds.items())),
    }


def write_summary(summary: Summary, *, as_json: bool) -> None:
    """Print a result on stdout, for people or for machines."""
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
        return
    nested = summary.get("kinds")
    rows = {name: value for name, value in summary.items() if name != "kinds"}
    rows |= {f"  {name}": value for name, value in nested.items()} if isinstance(nested, dict) else {}
    sys.stdout.write("".join(f"{name:<34} {value}\n" for name, value in rows.items()))
