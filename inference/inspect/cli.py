"""``weir inspect entity | card | decision | stream | model | lag``: what the system knows now. Read only.

With ``--at``, somebody's windows are those of then: what reads the archive is given by the command line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from weir.inference.api.models.describe import list_bundles
from weir.inference.bundle import load_champion, load_lists
from weir.inference.core.decisions import build_rules_version
from weir.inference.index import DecisionReader
from weir.inference.inspect.lag import read_lag, read_readers
from weir.inference.inspect.letters import find_letter
from weir.inference.inspect.stream import DecisionStream, columns_of, describe_row, follow
from weir.inference.processes import read_processes
from weir.inference.published.content import Standing
from weir.inference.published.follow import read_standing
from weir.inference.rule_sets import read_rules, rules_of
from weir.infra.arguments import Parser, add_stream_flag, nearest
from weir.infra.kafka.group_owners import NOBODY
from weir.infra.kafka.history import History
from weir.infra.redis.client import connect
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.monitoring.terminal import build_table, print_tables
from weir.schemas.amount_text import format_feature, list_amounts
from weir.schemas.currencies import format_amount
from weir.schemas.errors import Refused, Transient, WeirError
from weir.schemas.masking import is_card_number, mask
from weir.schemas.printable import escape, to_json
from weir.schemas.project import find_stream
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream

LISTED_MAX = 4
"""A longer list is shown by its length; `--json` has it whole."""


Walk = Callable[[Settings, argparse.Namespace], int]
"""Shows somebody's past, and returns an exit code."""


def _refuse(*_: object) -> int:
    raise Refused("--at: this installation has no archive; `make setup` in a checkout brings everything")


def main(argv: list[str], walk: Walk = _refuse) -> int:
    """Run ``weir inspect``. Exit codes: 0 shown, 1 not found or a dependency is unreachable, 2 refused or misused.

    Args:
        argv: with the verb first.
        walk: what ``--at`` is for.
    """
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    if arguments.what in _OF_ENTITY and _asks_for_the_past(arguments):
        _check_entity_id(settings.stream, arguments)
        return walk(settings, arguments)
    if arguments.what == "stream":
        return _show_stream(settings, arguments)
    document = _READERS[arguments.what](settings, arguments)
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        print_tables(_WRITERS[arguments.what](document, settings.stream))
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
            print_tables([_write_stream(last, settings.stream)])
        for document in follow(stream) if arguments.follow else ():
            line = "  ".join(describe_row(document, _format_time, settings.stream))
            sys.stdout.write(f"{to_json(document) if arguments.json else escape(line)}\n")
            sys.stdout.flush()
    return 0


def _write_stream(documents: list[dict[str, Any]], stream: Stream) -> Table:
    rows = [describe_row(document, _format_time, stream) for document in documents]
    return build_table(columns_of(stream), rows, title=f"last {len(rows)} decisions" if rows else "no decision yet")


def _read_entity(settings: Settings, arguments: argparse.Namespace) -> Any:
    # the kernel is loaded for this one alone: it takes a second
    from weir.inference.api.lookup import look_up  # noqa: PLC0415
    from weir.inference.api.reader import build_feature_reader  # noqa: PLC0415
    from weir.streaming.compiling import compile_kernel, tell_on_stderr  # noqa: PLC0415
    from weir.streaming.kernels import kernel_of  # noqa: PLC0415

    _check_entity_id(settings.stream, arguments)
    kernel = kernel_of(settings.stream)
    compile_kernel(kernel, tell_on_stderr)
    reader = build_feature_reader(settings, connect(settings.redis), kernel)
    return look_up(kernel, reader, arguments.entity, arguments.id, now_ms=int(time.time() * 1_000))


def _asks_for_the_past(arguments: argparse.Namespace) -> bool:
    given = [name for name in ("until", "diff", "shared", "window", "archive") if getattr(arguments, name)]
    if given and not arguments.at:
        raise Refused(f"--{given[0]}: expected --at with a moment of the past, found none")
    return bool(arguments.at)


def _check_entity_id(stream: Stream, arguments: argparse.Namespace) -> None:
    _check_entity(stream, arguments.entity)
    if is_card_number(arguments.id):
        raise Refused("expected a card's token, found a card number; tokens alone are ever stored")
    _check_id(arguments.id)


def _check_entity(stream: Stream, name: str) -> None:
    names = [entity.name for entity in stream.entities]
    if name not in names:
        hint = nearest(name, names) or f"; there are {', '.join(names)}"
        raise Refused(f"expected an entity of {stream.name}, found {name!r}{hint}")


def _check_id(found: str) -> None:
    # bytes of another encoding come from the command line as surrogates, which no id of ours can hold
    size = len(found.encode(errors="ignore"))
    if not 0 < size <= ID_BYTES_MAX or size < len(found):
        raise Refused(f"expected an id of 1 to {ID_BYTES_MAX} bytes of UTF-8")


def _read_decision(settings: Settings, arguments: argparse.Namespace) -> Any:
    _check_id(arguments.id)
    found = DecisionReader(connect(settings.redis), space=settings.key_space).read(arguments.id)
    if found is None:
        raise WeirError(f"no decision on this {settings.stream.event}: {_say_why_none(settings, arguments.id)}")
    return json.loads(found)


def _say_why_none(settings: Settings, event_id: str) -> str:
    try:
        letter = find_letter(settings, event_id)
    except (Refused, Transient) as error:
        return f"not decided yet, expired or unknown; its dead letters were not looked at: {error}"
    if letter is None:
        return "not decided yet, expired or unknown; see `weir inspect lag`"
    at = letter.at
    show = f"weir dlq show --stream {settings.stream.name} --partition {at.partition} --offset {at.offset}"
    return f"it is the dead letter {at}, refused as {mask(letter.reason)}: {mask(letter.message)}; `{show}` shows it"


def _read_model(settings: Settings, _: argparse.Namespace) -> Any:
    standing, unknown = _read_standing(settings)
    rules_version = _build_rules_version(settings, standing)
    bundle = standing.champion or load_champion(settings)
    document = {
        "champion": bundle.manifest.model_dump(mode="json"),
        "directory": "published; `weir models list` says where it is" if standing.champion else str(bundle.directory),
        "shadow": standing.shadow and standing.shadow.manifest.version,
        "canary": standing.canary
        and {"version": standing.canary.bundle.manifest.version, "share": standing.canary.share},
        "rules_version": rules_version,
        "published_unknown": unknown,
        "bundles": list_bundles(settings.models_dir),
    }
    try:
        running = read_processes(settings, model_sha256=bundle.manifest.model_sha256, rules_version=rules_version)
    except Transient as error:  # what lies on disk is known all the same
        return document | {"processes": [], "processes_unknown": str(error)}
    return document | {"processes": running, "processes_unknown": None}


def _read_standing(settings: Settings) -> tuple[Standing, str | None]:
    """Return what is published, or why that is not known."""
    try:
        return read_standing(settings, read_rules), None
    except Transient as error:  # what the declaration and the files say is known all the same
        return Standing(), str(error)


def _build_rules_version(settings: Settings, standing: Standing) -> str:
    """Return what decisions should carry."""
    lists = load_lists(settings) if standing.lists is None else standing.lists
    rules = rules_of(settings.stream) if standing.rules is None else standing.rules
    return build_rules_version(lists, rules, standing.thresholds)


def _read_lag(settings: Settings, _: argparse.Namespace) -> Any:
    rows = read_lag(settings)
    readers = read_readers(settings, rows)
    return [asdict(row) | {"read_by": who} for row, who in zip(rows, readers, strict=True)]


def _write_entity(document: dict[str, Any], stream: Stream) -> list[Table]:
    features = {feature.name: feature for feature in stream.all_features}
    newest = document["freshness"]["newest_event_ms"]
    caption = "complete" if document["complete"] else f"incomplete: {', '.join(document['incomplete_units'])}"
    seen = f"newest event {_format_time(newest)}" if newest else "never seen"
    title = f"{document['entity']} {document['id']}: {seen}, windows end {_format_time(document['at_ms'])}"
    rows = [
        (name, format_feature(features[name], value, stream), features[name].why)
        for name, value in document["features"].items()
    ]
    return [build_table(("feature", "value", "why"), rows, title=title, caption=caption)]


def _write_decision(document: dict[str, Any], stream: Stream) -> list[Table]:
    rows = [(name, _format_field(document, name, stream)) for name in document if name != "reasons"]
    tables = [build_table(("field", "value"), rows, title=f"{document['decision']} by {document['decided_by']}")]
    if document["reasons"]:
        reasons = [(reason["code"], reason["detail"]) for reason in document["reasons"]]
        tables.append(build_table(("code", "detail"), reasons, title="reasons"))
    return tables


def _format_field(document: dict[str, Any], name: str, stream: Stream) -> str:
    value = document[name]
    currency = next((unit for _, amount, unit in list_amounts(stream) if amount == name), "")
    if currency and isinstance(value, int):
        return f"{value} ({format_amount(value, str(document[currency]))})"
    return _format_time(value) if name.endswith("_ms") else "-" if value is None else str(value)


def _write_model(document: dict[str, Any], _: Stream) -> list[Table]:
    champion = document["champion"]
    rows = [("directory", document["directory"]), ("rules_version", document["rules_version"])]
    if document.get("shadow"):
        rows.append(("shadow", document["shadow"]))
    if canary := document.get("canary"):
        rows.append(("canary", f"{canary['version']}, {canary['share']:.1%} of the keys"))
    if document.get("published_unknown"):
        rows.append(("published", f"not known: {document['published_unknown']}"))
    for name, value in champion.items():
        if name not in {"reference", "drift"}:
            rows += [(name, f"{len(value)} names")] if name == "features" else _list_figures(name, value)
    bundles = [(b["name"], b["version"], _format_time(b["created_time_ms"])) for b in document["bundles"]]
    return [
        build_table(("field", "value"), rows, title=f"champion {champion['name']} {champion['version']}"),
        build_table(("name", "version", "created"), bundles, title="bundles"),
        _build_processes_table(document),
    ]


def _list_figures(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield a value, or each that is in it under a longer name: what training adds is nested, and rows are lines."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _list_figures(f"{name}.{key}", inner)
    elif isinstance(value, list) and len(value) > LISTED_MAX:
        yield name, f"{len(value)} values"
    else:
        yield (
            name,
            _format_time(value) if name.endswith("_ms") else value if isinstance(value, str) else json.dumps(value),
        )


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


def _write_lag(rows: list[dict[str, Any]], _: Stream) -> list[Table]:
    columns = {"stage": "stage", "topic": "topic", "partition": "partition", "committed": "committed", "end": "end"}
    columns |= {"lag_records": "lag", "read_by": "read by"}
    cells = [[row[name] for name in columns] for row in rows]
    left = ", ".join(dict.fromkeys(row["stage"] for row in rows if row["read_by"] == NOBODY))
    alone = f"no process reads where `nobody` stands: start that of {left} again, with the same --instance"
    return [build_table(list(columns.values()), cells, title="lag", caption=alone if left else "")]


def _format_time(value: Any) -> str:
    """Write epoch ms for people; anything else (an interval) as it is."""
    if not isinstance(value, int):
        return json.dumps(value)
    return datetime.fromtimestamp(value / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_OF_ENTITY = frozenset({"card", "entity"})
_READERS = {
    "card": _read_entity,
    "entity": _read_entity,
    "decision": _read_decision,
    "model": _read_model,
    "lag": _read_lag,
}
_WRITERS: dict[str, Any] = {
    "card": _write_entity,
    "entity": _write_entity,
    "decision": _write_decision,
    "model": _write_model,
    "lag": _write_lag,
}


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="weir inspect", description="Show what the system knows now. Read only.")
    shared = Parser(add_help=False)
    shared.add_argument("--json", action="store_true", help="for machines")
    add_stream_flag(shared)
    kinds = parser.add_subparsers(dest="what", required=True)
    past = _build_past_flags()
    entity = kinds.add_parser("entity", parents=[shared, past], help="the windows of somebody, by the entity's name")
    entity.add_argument("entity", metavar="ENTITY", help="such as device; of the stream")
    entity.add_argument("id")
    card = kinds.add_parser("card", parents=[shared, past], help="a card's windows: `entity card`")
    card.set_defaults(entity="card")
    card.add_argument("id")
    kinds.add_parser("decision", parents=[shared], help="the decision on an event").add_argument("id")
    stream = kinds.add_parser("stream", parents=[shared], help="the last events with their decisions")
    stream.add_argument("--count", type=int, default=20, metavar="N", help="how many (default 20)")
    stream.add_argument("--follow", action="store_true", help="and those that come, until interrupted")
    kinds.add_parser("model", parents=[shared], help="the model in force, other bundles, what each process runs")
    kinds.add_parser("lag", parents=[shared], help="how far each stage is behind its input, and who reads it")
    return parser


def _build_past_flags() -> Parser:
    past = Parser(add_help=False)
    moment = "a time (UTC), how long ago, or an event's OFFSET or PARTITION:OFFSET"
    past.add_argument("--at", default="", metavar="MOMENT", help=f"as it was then, from the archive: {moment}")
    past.add_argument("--until", default="", metavar="MOMENT", help="of --at: walk through every event until then")
    past.add_argument("--diff", action="store_true", help="of --until: also show which windows changed")
    shared = "of --at: also replay the windows of everybody whom the events name; reads much more"
    past.add_argument("--shared", action="store_true", help=shared)
    window = "of --until: show this window next to each event; may be repeated (default: some that changed much)"
    past.add_argument("--window", action="append", default=[], metavar="NAME", help=window)
    past.add_argument("--archive", default="", metavar="ROOT", help="of --at: a folder or URL (default: settings)")
    return past
