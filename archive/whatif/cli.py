"""``weir whatif``: what other rules, lists or thresholds would have done. It reads the archive, and decides nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

from weir.archive.objects import Objects
from weir.archive.place import Place, first_line
from weir.archive.reader import MS_MAX
from weir.archive.run import find_root
from weir.archive.whatif.in_force import Change, Finder
from weir.archive.whatif.labels import read_labels
from weir.archive.whatif.past import Past
from weir.archive.whatif.show import Document, build_document, build_tables
from weir.archive.whatif.study import Study
from weir.inference.core.lists import Lists, parse_lists
from weir.inference.core.rules import RuleSet, build_rule_set
from weir.inference.core.thresholds import ThresholdTable, parse_thresholds
from weir.inference.published.content import read_json
from weir.inference.published.files import read_file
from weir.inference.rule_sets import columns_of_rules, read_rules
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import Settings, load_settings
from weir.monitoring.terminal import print_line, print_tables
from weir.schemas.checks.rules import find_faults_of
from weir.schemas.durations import parse_ms
from weir.schemas.errors import Damaged, Refused, WeirError
from weir.schemas.expression_parser import parse_expression
from weir.schemas.printable import to_json
from weir.schemas.project import find_stream
from weir.schemas.rules import DECLINE, Rule, parse_time_ms
from weir.schemas.stream import Stream

_WHERE: Final = "where"
_VERSION: Final = "what-if"


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 done, 1 the past comes out otherwise or a bound is exceeded, 2 refused or misused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    root = find_root(settings, arguments.archive)
    change = _read_change(arguments, settings.stream)
    where = _read_where(arguments.where, settings.stream) if arguments.where else None
    try:
        document = _study(settings, root, change, where, arguments)
    except (pa.ArrowException, DeltaError, FileNotFoundError) as error:
        line = first_line(error)
        raise Damaged(f"{root.uri} cannot be read: {line}; put the file back from a copy of the archive") from error
    faults = list(_find_faults(document, arguments))
    if arguments.json:
        sys.stdout.write(to_json(document | {"faults": faults}, indent=2) + "\n")
    else:
        print_tables(build_tables(document, event=settings.stream.event))
        for line in (*document["notes"], *faults):
            print_line(line)
    return 1 if faults else 0


def _study(
    settings: Settings, root: Place, change: Change, where: RuleSet | None, arguments: argparse.Namespace
) -> Document:
    stream = settings.stream
    past = Past(root, stream, settings.topics.of(stream))
    labels = read_labels(past.labels, stream, now_ms=past.newest_ms)
    study = Study(past, Finder(settings, Objects(root)), labels, change, where)
    rows = sum(study.run(arguments.since, arguments.until))
    if not rows:
        raise WeirError(
            f"no decision of this time in {root.uri}: none was made, or archived yet, which `weir archive` does"
        )
    return build_document(study.found, has_money=study.has_money, has_labels=labels is not None)


def _find_faults(document: Document, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield why the exit code is 1."""
    differing = document["reproduction"]["differing"]
    if differing:
        yield (
            f"NOT as recorded: {differing:,} decisions come out otherwise by what was in force, so the figures prove "
            "nothing; verify the archive with `weir evidence verify`"
        )
    points, bound = document["declined_points"], arguments.max_declined_points
    if bound is not None and points > bound:
        yield f"the share declined grows by {points:.3f} points, more than {bound:g}"
    bound = arguments.max_good_hurt_pct
    if bound is None:
        return
    if document["figures"] is None:
        yield "--max-good-hurt-pct cannot be held: no labels have matured"
        return
    more = document["figures"]["good_hurt_percent"]
    if more is None:
        yield "good events are declined, and none was before"
    elif more > bound:
        yield f"of good events {more:.1f} % more are declined, more than {bound:g} %"


def _read_change(arguments: argparse.Namespace, stream: Stream) -> Change:
    """Return what is tried.

    Raises:
        Refused: nothing, or a file that is not right.
    """
    if not (arguments.rules or arguments.lists or arguments.thresholds):
        raise Refused(
            "expected something to try: --rules FILE, --lists FILE or --thresholds REVIEW,DECLINE; found none"
        )
    rules = read_rules(read_file(arguments.rules, "rules"), stream, str(arguments.rules)) if arguments.rules else None
    lists = _read_lists(arguments.lists, stream) if arguments.lists else None
    return Change(rules, lists, _read_thresholds(arguments.thresholds, stream) if arguments.thresholds else None)


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
    return parse_thresholds(document, stream.kept_in_rows, _VERSION)


def _read_where(text: str, stream: Stream) -> RuleSet:
    """Return a condition as a rule: it means what it means in one.

    Raises:
        Refused: it has faults.
    """
    parsed, columns = parse_expression(text), columns_of_rules(stream)
    faults = [f"{fault.place.line}:{fault.place.column}: {fault.fault}" for fault in parsed.faults]
    rules = [Rule(_WHERE, DECLINE, parsed.expression, "named by --where")] if parsed.expression is not None else []
    faults += [fault.fault for fault in find_faults_of(rules, columns)]
    if faults:
        raise Refused("\n".join(f"--where: {fault}" for fault in faults))
    return build_rule_set(rules, columns)


def _build_parser() -> Parser:
    text = "Show what other rules, lists or thresholds would have decided, from the archive; nothing is put in force."
    parser = Parser(prog="weir whatif", description=text)
    parser.add_argument("--rules", type=Path, metavar="FILE", help="rules, all that are to be in force: docs/rules.md")
    thresholds = "scores from which on is reviewed and declined, such as 0.5,0.9; or a file as it is published"
    parser.add_argument("--thresholds", metavar="REVIEW,DECLINE", help=thresholds)
    parser.add_argument("--lists", type=Path, metavar="FILE", help="allow, block and watch lists")
    since = "decisions from then on: how long ago, such as 90d, or an ISO 8601 time (default: all)"
    parser.add_argument("--since", type=_read_time, default=0, metavar="TIME", help=since)
    parser.add_argument("--until", type=_read_time, default=MS_MAX, metavar="TIME", help="and before then")
    where = "only events that fulfil a condition, as in a rule: 'country == \"DE\" and score >= 0.2'"
    parser.add_argument("--where", default="", metavar="EXPR", help=where)
    add_stream_flag(parser)
    root = "the archive, a folder or URL (default: settings)"
    parser.add_argument("--from", dest="archive", default="", metavar="PATH", help=root)
    points = "exit with 1 when the share declined grows by more percentage points"
    parser.add_argument("--max-declined-points", type=float, metavar="POINTS", help=points)
    hurt = "exit with 1 when more good events are declined, by more percent"
    parser.add_argument("--max-good-hurt-pct", type=float, metavar="PERCENT", help=hurt)
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _read_time(text: str) -> int:
    """Read how long ago, or when; UTC where it has no zone."""
    ago = parse_ms(text)
    return int(datetime.now(UTC).timestamp() * 1_000) - ago if ago else parse_time_ms(text)
