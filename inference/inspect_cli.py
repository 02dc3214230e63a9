"""``weir inspect card | decision | model | lag``: what the system knows now, for a terminal or as JSON. Read only."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from inference.bundle import champion_path, load_bundle, load_lists
from inference.core.decisions import build_rules_version
from inference.index import DecisionReader
from inference.lag import read_lag
from inference.models import list_bundles
from infra.redis_client import connect
from infra.settings import Settings, load_settings
from schemas.errors import Refused, WeirError
from schemas.features import FEATURES, Entity
from schemas.masking import is_card_number
from schemas.validation import ID_BYTES_MAX


def main(argv: list[str]) -> int:
    """Run ``weir inspect``. Exit codes: 0 shown, 1 not found or a dependency is away, 2 refused or misused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings()
    document = _READERS[arguments.what](settings, arguments)
    if arguments.json:
        sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    else:
        for table in _WRITERS[arguments.what](document):
            Console().print(table)
    return 0


def _read_card(settings: Settings, arguments: argparse.Namespace) -> Any:
    # the kernel is loaded for this one alone: it takes a second
    from inference.lookup import look_up  # noqa: PLC0415
    from inference.reader import build_feature_reader  # noqa: PLC0415

    if is_card_number(arguments.id):
        raise Refused("expected a card's token, found a card number; tokens alone are ever stored")
    if not 0 < len(arguments.id.encode()) <= ID_BYTES_MAX:
        raise Refused(f"expected an id of 1 to {ID_BYTES_MAX} bytes")
    reader = build_feature_reader(settings, connect(settings.redis))
    return look_up(reader, str(Entity.CARD), arguments.id, now_ms=int(time.time() * 1_000))


def _read_decision(settings: Settings, arguments: argparse.Namespace) -> Any:
    found = DecisionReader(connect(settings.redis), cluster=settings.cluster).read(arguments.id)
    if found is None:
        raise WeirError("no decision on this transaction: not decided yet, expired or unknown; see `weir inspect lag`")
    return json.loads(found)


def _read_model(settings: Settings, _: argparse.Namespace) -> Any:
    bundle = load_bundle(champion_path(settings))
    return {
        "champion": bundle.manifest.model_dump(mode="json"),
        "directory": str(bundle.directory),
        "rules_version": build_rules_version(load_lists(settings)),
        "bundles": list_bundles(settings.home / "models"),
    }


def _read_lag(settings: Settings, _: argparse.Namespace) -> Any:
    return [asdict(row) | {"lag_records": row.lag_records} for row in read_lag(settings)]


def _write_card(document: dict[str, Any]) -> list[Table]:
    why = {feature.name: feature.why for feature in FEATURES}
    newest = document["freshness"]["newest_event_ms"]
    caption = "complete" if document["complete"] else f"incomplete: {', '.join(document['incomplete_units'])}"
    seen = f"newest event {_format_time(newest)}" if newest else "never seen"
    title = f"card {document['id']}: {seen}, windows end {_format_time(document['at_ms'])}"
    table = _table(title, "feature", "value", "why")
    table.caption = caption
    for name, value in document["features"].items():
        table.add_row(name, "-" if value is None else f"{value:,.6g}", why[name])
    return [table]


def _write_decision(document: dict[str, Any]) -> list[Table]:
    table = _table(f"{document['decision']} by {document['decided_by']}", "field", "value")
    for name, value in document.items():
        if name == "reasons":
            continue
        shown = _format_time(value) if name.endswith("_ms") else "-" if value is None else str(value)
        table.add_row(name, shown)
    reasons = _table("reasons", "code", "detail")
    for reason in document["reasons"]:
        reasons.add_row(reason["code"], reason["detail"])
    return [table, reasons] if document["reasons"] else [table]


def _write_model(document: dict[str, Any]) -> list[Table]:
    champion = document["champion"]
    table = _table(f"champion {champion['name']} {champion['version']}", "field", "value")
    table.add_row("directory", document["directory"])
    table.add_row("rules_version", document["rules_version"])
    for name, value in champion.items():
        if name == "reference":
            continue
        shown = f"{len(value)} names" if name == "features" else _format_time(value) if name.endswith("_ms") else value
        table.add_row(name, shown if isinstance(shown, str) else json.dumps(shown))
    bundles = _table("bundles", "name", "version", "created")
    for bundle in document["bundles"]:
        bundles.add_row(bundle["name"], bundle["version"], _format_time(bundle["created_time_ms"]))
    return [table, bundles]


def _write_lag(rows: list[dict[str, Any]]) -> list[Table]:
    table = _table("lag", "stage", "topic", "partition", "committed", "end", "lag")
    for row in rows:
        committed = "-" if row["committed"] is None else str(row["committed"])
        numbers = (str(row["partition"]), committed, str(row["end"]), str(row["lag_records"]))
        table.add_row(row["stage"], row["topic"], *numbers)
    return [table]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _format_time(value: Any) -> str:
    """Write epoch ms for people; anything else (an interval) as it is."""
    if not isinstance(value, int):
        return json.dumps(value)
    return datetime.fromtimestamp(value / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_READERS = {"card": _read_card, "decision": _read_decision, "model": _read_model, "lag": _read_lag}
_WRITERS: dict[str, Any] = {
    "card": _write_card,
    "decision": _write_decision,
    "model": _write_model,
    "lag": _write_lag,
}


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="weir inspect", description="Show what the system knows now. Read only.")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="for machines")
    kinds = parser.add_subparsers(dest="what", required=True)
    for name, text in (("card", "a card's live windows"), ("decision", "the decision on a transaction")):
        kinds.add_parser(name, parents=[shared], help=text).add_argument("id")
    kinds.add_parser("model", parents=[shared], help="the model in force, and the bundles beside it")
    kinds.add_parser("lag", parents=[shared], help="how far each stage is behind its input")
    return parser
