"""``weir generate``: a labelled history to Parquet, or a live stream to the broker."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from generators.history import build_history, write_history
from generators.population import build_population
from schemas.features import DAY_MS

CARDS_MIN = 50


def main(argv: list[str]) -> int:
    """Run ``weir generate``. Exit codes: 0 done, 1 failed, 2 misused."""
    arguments = build_parser().parse_args(argv[1:])
    return _generate_history(arguments)


def build_parser() -> argparse.ArgumentParser:
    """Return the flags of ``weir generate``."""
    parser = argparse.ArgumentParser(prog="weir generate", description="Simulate card payments and fraud.")
    world = parser.add_argument_group("world")
    world.add_argument("--seed", type=int, default=7, help="names the world; the same seed gives the same payments")
    world.add_argument("--cards", type=_at_least(CARDS_MIN), default=5_000)
    history = parser.add_argument_group("history")
    history.add_argument("--to", choices=["kafka", "parquet"], default="kafka")
    history.add_argument("--out", type=Path, default=Path("history"), help="folder of the Parquet files")
    history.add_argument("--days", type=_at_least(1), default=60)
    history.add_argument("--end-ms", type=_at_least(0), help="UTC epoch milliseconds; now by default")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


def _at_least(smallest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if value < smallest:
            raise argparse.ArgumentTypeError(f"expected at least {smallest}, found {value}")
        return value

    return parse


def _generate_history(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    end_ms = int(time.time() * 1000) if arguments.end_ms is None else arguments.end_ms
    start_ms = end_ms - arguments.days * DAY_MS
    history = build_history(build_population(arguments.seed, arguments.cards), start_ms, end_ms)
    write_history(history, arguments.out)
    summary = {
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
    write_summary(summary, as_json=arguments.json)
    return 0


def write_summary(summary: dict[str, object], *, as_json: bool) -> None:
    """Print a result on stdout, for people or for machines."""
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
        return
    sys.stdout.write("".join(f"{name:<22} {value}\n" for name, value in summary.items()))
