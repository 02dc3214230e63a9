"""``weir evidence``: answer for one decision, verify an archive, print the newest seal. It reads the archive alone."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake.exceptions import DeltaError

from weir.archive.evidence.case import collect, describe
from weir.archive.evidence.columns_again import check_columns
from weir.archive.evidence.sample import Sampler
from weir.archive.evidence.show import build_tables, describe_sampled, describe_verified
from weir.archive.in_force.given import Given
from weir.archive.objects import Objects
from weir.archive.place import Place, first_line
from weir.archive.run import find_root, list_followed
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import key_path, load_key
from weir.archive.seals.verify import verify
from weir.archive.table import find_table
from weir.infra.arguments import Parser, add_stream_flag, at_least, since_ms
from weir.infra.settings import Settings, load_settings
from weir.monitoring.terminal import print_line, print_tables
from weir.schemas.errors import Damaged, Refused, WeirError
from weir.schemas.printable import to_json
from weir.schemas.project import find_stream, find_streams

_VERIFY, _HEAD, _AGAIN = "verify", "head", "again"
_SAMPLE = 10_000


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 in order, 1 something differs or is not there, 2 refused or misused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings()
    root = find_root(settings, arguments.archive)
    try:
        if arguments.what == _VERIFY:
            return _verify(settings, root, arguments)
        if arguments.what == _HEAD:
            return _print_head(root, as_json=arguments.json)
        if arguments.what == _AGAIN:
            return _make_sample_again(settings.of_stream(find_stream(Path.cwd(), arguments.stream)), root, arguments)
        return _answer(settings.of_stream(find_stream(Path.cwd(), arguments.stream)), root, arguments)
    except (pa.ArrowException, DeltaError, FileNotFoundError) as error:
        line = first_line(error)
        raise Damaged(f"{root.uri} cannot be read: {line}; put the file back from a copy of the archive") from error


def _answer(settings: Settings, root: Place, arguments: Namespace) -> int:
    event_id = arguments.id or arguments.what
    if not event_id:
        raise Refused(f"expected the id of a {settings.stream.event}, `verify`, `again` or `head`, found none of them")
    document = describe(settings, root, collect(settings, root, event_id), _given(arguments))
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        print_tables(build_tables(document, settings.stream))
    decision = document["decision"]
    return 1 if decision and decision["is_same"] is False else 0


def _given(arguments: Namespace) -> Given:
    return Given(arguments.rules, arguments.lists, arguments.thresholds)


def _make_sample_again(settings: Settings, root: Place, arguments: Namespace) -> int:
    sampler = Sampler(settings, root, _given(arguments))
    sampled = sampler.run(arguments.sample, since_ms=arguments.since, seed=arguments.seed)
    document = describe_sampled(sampled)
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        for line in document["lines"]:
            print_line(line)
    return 1 if sampled.different or not sampled.made else 0


def _verify(settings: Settings, root: Place, arguments: Namespace) -> int:
    found = {name: find_table(root.below(name)) for name in root.list_folders()}
    tables = {name: table for name, table in found.items() if table is not None}
    if not tables:
        raise Refused(f"expected an archive in {root.uri}, found none; `weir archive` makes it")
    own = key_path(settings.home)
    trusted = [*arguments.trust, *([load_key(own).public] if own.exists() else [])]
    verified = verify(
        Chain(root),
        tables,
        Objects(root),
        since_ms=arguments.since,
        expect=arguments.expect.lower(),
        public_keys=trusted,
    )
    named = {finding.where for finding in verified.findings}
    for each in list_followed(settings, find_streams(Path.cwd(), []).streams, audit=True):
        if each.topic in tables:
            found_too = check_columns(tables[each.topic], each, Objects(root), arguments.since)
            verified.columns += [finding for finding in found_too if finding.where not in named]
    document = describe_verified(verified, is_key_known=bool(trusted))
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        for line in document["lines"]:
            print_line(line)
    return 1 if verified.findings else 0


def _print_head(root: Place, *, as_json: bool) -> int:
    head = Chain(root).read_head()
    if head is None:
        raise WeirError(f"no seal in {root.uri} yet: `weir archive` writes one with each commit")
    document: dict[str, Any] = {name: getattr(head, name) for name in ("sequence", "hash", "signature", "public_key")}
    if as_json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        for name, value in document.items():
            print_line(f"{name} {value}")
    return 0


def _build_parser() -> Parser:
    parser = Parser(prog="weir evidence", description="Answer for one decision, from the archive alone, or verify it.")
    what = (
        f"the id of an event; `{_VERIFY}` checks every row and seal; `{_AGAIN}` makes many decisions again; `{_HEAD}` "
        "prints the newest seal, to be kept"
    )
    parser.add_argument("what", nargs="?", default="", metavar="ID|verify|again|head", help=what)
    parser.add_argument("--id", default="", help="the id of an event that is called as one of these words")
    add_stream_flag(parser)
    parser.add_argument("--archive", default="", metavar="ROOT", help="a folder or URL (default: settings)")
    for kind in ("rules", "lists", "thresholds"):
        parser.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"the {kind} that were published then")
    sample = f"of `again`: so many, chosen by chance (default {_SAMPLE}); all where there are fewer"
    parser.add_argument("--sample", type=at_least(1), default=_SAMPLE, metavar="N", help=sample)
    parser.add_argument("--seed", type=at_least(0), default=0, help="of `again`: another one chooses others")
    since = "of `verify` and `again`: only rows appended since then, such as 30d, or an ISO 8601 time"
    parser.add_argument("--since", type=since_ms, default=0, metavar="TIME", help=since)
    expect = "of `verify`: the hash of a seal that was kept elsewhere; the chain must hold it"
    parser.add_argument("--expect", default="", metavar="HASH", help=expect)
    trust = "of `verify`: a public key that may have signed, next to this home's own; may be repeated"
    parser.add_argument("--trust", action="append", default=[], metavar="KEY", help=trust)
    parser.add_argument("--json", action="store_true", help="for machines, with the proof that a script can check")
    return parser
