"""``weir inspect card | decision | stream | model | lag``: what the system knows now. Read only."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from weir.inference.api.models import list_bundles
from weir.inference.bundle import champion_path, load_bundle, load_lists
from weir.inference.core.decisions import build_rules_version
from weir.inference.index import DecisionReader
from weir.inference.inspect.lag import read_lag
from weir.inference.inspect.stream import COLUMNS, DecisionStream, describe_row, follow
from weir.inference.processes import read_processes
from weir.inference.shipped_rules import rules_of
from weir.infra.arguments import Parser
from weir.infra.kafka.history import History
from weir.infra.redis.client import connect
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.monitoring.terminal import build_table, print_tables
from weir.schemas.currencies import BASE_CURRENCY, format_amount
from weir.schemas.errors import Refused, Transient, WeirError
from weir.schemas.features import FEATURES, Aggregate, Entity, Feature
from weir.schemas.masking import is_card_number
from weir.schemas.printable import escape, to_json
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.streams.payments import payments

_IN_MONEY = {Aggregate.VALUE, Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.MIN, Aggregate.MAX}


def main(argv: list[str]) -> int:
    """Run ``weir inspect``. Exit codes: 0 shown, 1 not found or a dependency is away, 2 refused or misused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings()
    if arguments.what == "stream":
        return _show_stream(settings, arguments)
    document = _READERS[arguments.what](settings, arguments)
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        print_tables(_WRITERS[arguments.what](document))
    return 0


def _show_stream(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.count < 0:
        raise Refused(f"--count: expected 0 or more, found {arguments.count}")
    with closing(History(settings.kafka)) as history, closing(Registry(settings.registry)) as registry:
        stream = DecisionStream(settings, history, registry)
        last = stream.last(arguments.count)
        if arguments.json:
            sys.stdout.writelines(to_json(document) + "\n" for document in last)
        else:
            print_tables([_write_stream(last)])
        for document in follow(stream) if arguments.follow else ():
            line = "  ".join(describe_row(document, _format_time))
            sys.stdout.write(f"{to_json(document) if arguments.json else escape(line)}\n")
            sys.stdout.flush()
    return 0


def _write_stream(documents: list[dict[str, Any]]) -> Table:
    rows = [describe_row(document, _format_time) for document in documents]
    return build_table(COLUMNS, rows, title=f"last {len(rows)} decisions" if rows else "no decision yet")


def _read_card(settings: Settings, arguments: argparse.Namespace) -> Any:
    # the kernel is loaded for this one alone: it takes a second
    from weir.inference.api.lookup import look_up  # noqa: PLC0415
    from weir.inference.api.reader import build_feature_reader  # noqa: PLC0415
    from weir.streaming.compiling import compile_kernel, tell_on_stderr  # noqa: PLC0415
    from weir.streaming.kernels import shipped_kernel  # noqa: PLC0415

    if is_card_number(arguments.id):
        raise Refused("expected a card's token, found a card number; tokens alone are ever stored")
    _check_id(arguments.id)
    kernel = shipped_kernel()
    compile_kernel(kernel, tell_on_stderr)
    reader = build_feature_reader(settings, connect(settings.redis), kernel)
    return look_up(kernel, reader, str(Entity.CARD), arguments.id, now_ms=int(time.time() * 1_000))


def _check_id(found: str) -> None:
    # bytes of another encoding come from the command line as surrogates, which no id of ours can hold
    size = len(found.encode(errors="ignore"))
    if not 0 < size <= ID_BYTES_MAX or size < len(found):
        raise Refused(f"expected an id of 1 to {ID_BYTES_MAX} bytes of UTF-8")


def _read_decision(settings: Settings, arguments: argparse.Namespace) -> Any:
    _check_id(arguments.id)
    found = DecisionReader(connect(settings.redis), space=settings.key_space).read(arguments.id)
    if found is None:
        raise WeirError("no decision on this transaction: not decided yet, expired or unknown; see `weir inspect lag`")
    return json.loads(found)


def _read_model(settings: Settings, _: argparse.Namespace) -> Any:
    bundle = load_bundle(champion_path(settings), declarations_hash=settings.declarations_hash)
    rules_version = build_rules_version(load_lists(settings), rules_of(payments))
    document = {
        "champion": bundle.manifest.model_dump(mode="json"),
        "directory": str(bundle.directory),
        "rules_version": rules_version,
        "bundles": list_bundles(settings.home / "models"),
    }
    try:
        running = read_processes(settings, model_sha256=bundle.manifest.model_sha256, rules_version=rules_version)
    except Transient as error:  # what lies on disk is known all the same
        return document | {"processes": [], "processes_unknown": str(error)}
    return document | {"processes": running, "processes_unknown": None}


def _read_lag(settings: Settings, _: argparse.Namespace) -> Any:
    return [asdict(row) | {"lag_records": row.lag_records} for row in read_lag(settings)]


def _write_card(document: dict[str, Any]) -> list[Table]:
    features = {feature.name: feature for feature in FEATURES}
    newest = document["freshness"]["newest_event_ms"]
    caption = "complete" if document["complete"] else f"incomplete: {', '.join(document['incomplete_units'])}"
    seen = f"newest event {_format_time(newest)}" if newest else "never seen"
    title = f"card {document['id']}: {seen}, windows end {_format_time(document['at_ms'])}"
    rows = [
        (name, _format_feature(features[name], value), features[name].why)
        for name, value in document["features"].items()
    ]
    return [build_table(("feature", "value", "why"), rows, title=title, caption=caption)]


def _format_feature(feature: Feature, value: float | None) -> str:
    """Write a value for people; sums and means of amounts are in the base currency, whatever was paid in."""
    if value is None:
        return "-"
    if feature.measure in {"amount", "refund"} and feature.aggregate in _IN_MONEY:
        return format_amount(value, BASE_CURRENCY)
    return f"{value:,.6g}"


def _write_decision(document: dict[str, Any]) -> list[Table]:
    rows = [(name, _format_field(document, name)) for name in document if name != "reasons"]
    tables = [build_table(("field", "value"), rows, title=f"{document['decision']} by {document['decided_by']}")]
    if document["reasons"]:
        reasons = [(reason["code"], reason["detail"]) for reason in document["reasons"]]
        tables.append(build_table(("code", "detail"), reasons, title="reasons"))
    return tables


def _format_field(document: dict[str, Any], name: str) -> str:
    value = document[name]
    if name == "amount_minor" and isinstance(value, int):
        return f"{value} ({format_amount(value, str(document['currency']))})"
    return _format_time(value) if name.endswith("_ms") else "-" if value is None else str(value)


def _write_model(document: dict[str, Any]) -> list[Table]:
    champion = document["champion"]
    rows = [("directory", document["directory"]), ("rules_version", document["rules_version"])]
    for name, value in champion.items():
        if name == "reference":
            continue
        shown = f"{len(value)} names" if name == "features" else _format_time(value) if name.endswith("_ms") else value
        rows.append((name, shown if isinstance(shown, str) else json.dumps(shown)))
    bundles = [(b["name"], b["version"], _format_time(b["created_time_ms"])) for b in document["bundles"]]
    return [
        build_table(("field", "value"), rows, title=f"champion {champion['name']} {champion['version']}"),
        build_table(("name", "version", "created"), bundles, title="bundles"),
        _build_processes_table(document),
    ]


def _build_processes_table(document: dict[str, Any]) -> Table:
    columns = ("process", "state", "runs", "rules", "code", "since", "seen")
    rows = []
    for row in document["processes"]:
        runs = f"{row.get('model')} {row.get('version')}"
        told = (row["process"], row["state"], runs, row.get("rules_version"), row.get("code_version"))
        rows.append((*told, _format_time(row.get("started_ms")), _format_time(row["seen_ms"])))
    unknown = document["processes_unknown"]
    none = "" if rows else "none has reported in the last week"
    return build_table(columns, rows, title="processes", caption=f"not known: {unknown}" if unknown else none)


def _write_lag(rows: list[dict[str, Any]]) -> list[Table]:
    columns = ("stage", "topic", "partition", "committed", "end", "lag")
    cells = [[row[name] for name in (*columns[:-1], "lag_records")] for row in rows]
    return [build_table(columns, cells, title="lag")]


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
    parser = Parser(prog="weir inspect", description="Show what the system knows now. Read only.")
    shared = Parser(add_help=False)
    shared.add_argument("--json", action="store_true", help="for machines")
    kinds = parser.add_subparsers(dest="what", required=True)
    for name, text in (("card", "a card's live windows"), ("decision", "the decision on a transaction")):
        kinds.add_parser(name, parents=[shared], help=text).add_argument("id")
    stream = kinds.add_parser("stream", parents=[shared], help="the last payments with their decisions")
    stream.add_argument("--count", type=int, default=20, metavar="N", help="how many (default 20)")
    stream.add_argument("--follow", action="store_true", help="and those that come, until interrupted")
    kinds.add_parser("model", parents=[shared], help="the model in force, other bundles, what each process runs")
    kinds.add_parser("lag", parents=[shared], help="how far each stage is behind its input")
    return parser
