"""``weir whatif``: what other rules, lists, thresholds or a model would have done. It reads the archive alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from weir.archive.reader import MS_MAX
from weir.archive.run import find_root
from weir.archive.whatif.in_force import Change
from weir.archive.whatif.page import build_page
from weir.archive.whatif.segments import By
from weir.archive.whatif.show import build_tables
from weir.archive.whatif.trial import Asked, Bounds, find_failed, run_trial
from weir.inference.bundle import load_bundle
from weir.inference.core.lists import Lists, parse_lists
from weir.inference.core.rules import RuleSet, build_rule_set
from weir.inference.core.thresholds import ThresholdTable, read_thresholds
from weir.inference.published.content import read_json
from weir.inference.published.files import read_file
from weir.inference.rule_sets import columns_of_rules, read_rules
from weir.infra.arguments import Parser, add_stream_flag, since_ms
from weir.infra.settings import Settings, load_settings
from weir.monitoring.terminal import print_line, print_tables
from weir.schemas.checks.rules import find_faults_of
from weir.schemas.errors import Refused
from weir.schemas.expression_parser import parse_expression
from weir.schemas.printable import to_json
from weir.schemas.project import find_stream
from weir.schemas.rules import DECLINE, Rule
from weir.schemas.stream import Stream

_CONDITION: Final = "condition"
_VERSION: Final = "what-if"


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 done, 1 the past comes out otherwise or a bound is exceeded, 2 refused or misused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    root = find_root(settings, arguments.archive)
    change = _read_change(arguments, settings)
    where = _read_condition("--where", arguments.where, settings.stream) if arguments.where else None
    by = _read_by(arguments.by, change, settings.stream)
    asked = Asked(arguments.since, arguments.until, where, arguments.verify, by)
    document = run_trial(settings, root, change, asked)
    bounds = Bounds(arguments.max_declined_points, arguments.max_good_hurt_pct)
    faults = [gate.found for gate in find_failed(document, bounds)]
    if arguments.html:
        title = f"what-if: {settings.stream.full_name}"
        page = build_page(document, faults, title=title, event=settings.stream.event)
        arguments.html.write_text(page, encoding="utf-8")
    if arguments.json:
        sys.stdout.write(to_json(document | {"faults": faults}, indent=2) + "\n")
    else:
        print_tables(build_tables(document, event=settings.stream.event))
        for line in (*document["notes"], *faults):
            print_line(line)
    return 1 if faults else 0


def _read_change(arguments: argparse.Namespace, settings: Settings) -> Change:
    """Return what is tried.

    Raises:
        Refused: nothing, or a file that is not right.
    """
    stream = settings.stream
    if not (arguments.rules or arguments.lists or arguments.thresholds or arguments.model):
        raise Refused(
            "expected something to try: --rules FILE, --lists FILE, --thresholds REVIEW,DECLINE or --model FOLDER; "
            "found none"
        )
    rules = read_rules(read_file(arguments.rules, "rules"), stream, str(arguments.rules)) if arguments.rules else None
    lists = _read_lists(arguments.lists, stream) if arguments.lists else None
    thresholds = _read_thresholds(arguments.thresholds, stream) if arguments.thresholds else None
    model = None
    if arguments.model:
        model = load_bundle(arguments.model, declarations_hash=settings.declarations_hash, stream=stream)
    return Change(rules, lists, thresholds, model)


def _read_lists(path: Path, stream: Stream) -> Lists:
    return parse_lists(read_json(read_file(path, "lists"), "lists"), tuple(stream.id_field_of))


def _read_thresholds(text: str, stream: Stream) -> ThresholdTable:
    """Read two scores, or a file as it is published."""
    try:
        review, decline = map(float, text.split(","))
    except ValueError:
        document = read_json(read_file(Path(text), "thresholds"), "thresholds")
    else:
        document = {"review": review, "decline": decline}
    return read_thresholds(document, stream, _VERSION)


def _read_by(text: str, change: Change, stream: Stream) -> By | None:
    """Return what tells segments: what is asked for, else what the thresholds differ by.

    Raises:
        Refused: a field that holds ids, or a condition with faults.
    """
    text = text or (change.thresholds.by if change.thresholds else "")
    if not text:
        return None
    if text in {stream.id, stream.key.field, *stream.id_field_of.values()}:
        raise Refused("--by: expected a field with few values, found one with ids; nobody's id is shown here")
    if text in stream.kept_in_rows:
        return By(field=text)
    return By(condition=_read_condition("--by", text, stream))


def _read_condition(flag: str, text: str, stream: Stream) -> RuleSet:
    """Return a condition as a rule: it means what it means in one.

    Raises:
        Refused: it has faults.
    """
    parsed, columns = parse_expression(text), columns_of_rules(stream)
    faults = [f"{fault.place.line}:{fault.place.column}: {fault.fault}" for fault in parsed.faults]
    rules = [Rule(_CONDITION, DECLINE, parsed.expression, f"named by {flag}")] if parsed.expression is not None else []
    faults += [fault.fault for fault in find_faults_of(rules, columns)]
    if faults:
        raise Refused("\n".join(f"{flag}: {fault}" for fault in faults))
    return build_rule_set(rules, columns)


def _build_parser() -> Parser:
    text = "Show what other rules, lists, thresholds or another model would have decided; nothing is put in force."
    parser = Parser(prog="weir whatif", description=text)
    parser.add_argument("--rules", type=Path, metavar="FILE", help="rules, all that are to be in force: docs/rules.md")
    thresholds = "scores from which on is reviewed and declined, such as 0.5,0.9; or a file as it is published"
    parser.add_argument("--thresholds", metavar="REVIEW,DECLINE", help=thresholds)
    parser.add_argument("--lists", type=Path, metavar="FILE", help="allow, block and watch lists")
    bundle = "a model bundle, by which the logged features are scored again"
    parser.add_argument("--model", type=Path, metavar="FOLDER", help=bundle)
    every = "check every logged score by the model that gave it, and not only 10,000 with --model; remembered"
    parser.add_argument("--verify", action="store_true", help=every)
    since = "decisions from then on: how long ago, such as 90d, or an ISO 8601 time (default: all)"
    parser.add_argument("--since", type=since_ms, default=0, metavar="TIME", help=since)
    parser.add_argument("--until", type=since_ms, default=MS_MAX, metavar="TIME", help="and before then")
    where = "only events that fulfil a condition, as in a rule: 'country == \"DE\" and score >= 0.2'"
    parser.add_argument("--where", default="", metavar="EXPR", help=where)
    by = "figures by segment: of each value of a field, or of events that fulfil a condition and of the others"
    parser.add_argument("--by", default="", metavar="FIELD|EXPR", help=by)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots and all tables as well")
    add_stream_flag(parser)
    root = "the archive, a folder or URL (default: settings)"
    parser.add_argument("--from", dest="archive", default="", metavar="PATH", help=root)
    points = "exit with 1 when the share declined grows by more percentage points"
    parser.add_argument("--max-declined-points", type=float, metavar="POINTS", help=points)
    hurt = "exit with 1 when more good events are declined, by more percent"
    parser.add_argument("--max-good-hurt-pct", type=float, metavar="PERCENT", help=hurt)
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser
