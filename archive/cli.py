"""``weir archive``: follow topics into Delta Lake tables, join and remove their files, say how they stand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from weir.archive.drop_cli import run_drop
from weir.archive.erase_cli import run_erase
from weir.archive.joining import utc_now
from weir.archive.place import Place
from weir.archive.run import Followed, Task, find_root, list_followed, run_archiver
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import key_path, load_key
from weir.archive.status import Standing, read_standings
from weir.archive.table import find_table
from weir.archive.upkeep import keep_up
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.home import ensure_home
from weir.infra.settings import Settings, load_settings
from weir.monitoring.logs import configure
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.printable import to_json
from weir.schemas.project import find_streams
from weir.streaming.service import open_metrics_page, run_service


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 stopped or done, 1 failed or something is damaged, 2 refused or misused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings()
    streams = find_streams(Path.cwd(), [arguments.stream] if arguments.stream else []).streams
    root = find_root(settings, arguments.to)
    if arguments.what == "status":
        return _show(settings, root, as_json=arguments.json)
    with_audit = arguments.audit or not arguments.stream
    if arguments.what == "optimize":
        return _optimize(settings, root, list_followed(settings, streams, audit=with_audit), open_too=arguments.today)
    if arguments.what == "erase":
        return run_erase(settings, root, streams, entity=arguments.entity, why=arguments.why, apply=arguments.apply)
    if arguments.what == "drop-damaged":
        followed = list_followed(settings, streams, audit=with_audit)
        return run_drop(settings, root, followed, why=arguments.why, apply=arguments.apply)
    task = Task(
        streams,
        root,
        audit=with_audit,
        partitions=arguments.partitions,
        until_caught_up=arguments.until_caught_up,
        accept_loss=arguments.accept_loss,
    )
    return _follow(settings, task, arguments.metrics_port)


def _follow(settings: Settings, task: Task, metrics_port: int | None) -> int:
    # what a batch took goes back at once: Arrow's own pool keeps a hundred megabytes of it
    pa.set_memory_pool(pa.system_memory_pool())
    configure(settings.monitoring.log_level, settings.monitoring.log_format, "archive")
    open_metrics_page(settings, metrics_port)
    if not task.root.is_remote:
        ensure_home(settings.home)
    run_service(lambda should_stop: run_archiver(settings, task, should_stop=should_stop))
    return 0


def _show(settings: Settings, root: Place, *, as_json: bool) -> int:
    found = list(read_standings(root, settings.kafka))
    if as_json:
        sys.stdout.write(to_json([each._asdict() for each in found], indent=2) + "\n")
    else:
        print_tables([build_table(Standing._fields, found, title=f"archive {root.uri}")])
    return 0


def _optimize(settings: Settings, root: Place, followed: Sequence[Followed], *, open_too: bool) -> int:
    found = ((each.kind, find_table(root.below(each.topic))) for each in followed)
    tables = [(kind, table) for kind, table in found if table is not None]
    key = load_key(key_path(settings.home))
    for line in keep_up(tables, settings.archive, Chain(root), key, now=utc_now(), open_too=open_too):
        if line:
            print_line(line)
    return 0


def _build_parser() -> Parser:
    text = "Follow every topic of the streams into Delta Lake tables, each record exactly once."
    parser = Parser(prog="weir archive", description=text)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("follow", "status", "optimize", "erase", "drop-damaged"),
        default="follow",
        help="`status` shows tables, `optimize` joins files and removes old days, `erase` empties a person's rows, "
        "`drop-damaged` lets tables continue without files that are lost",
    )
    add_stream_flag(parser, default="all of the project's")
    audit = "with --stream: the audit log too, which is of no stream; without --stream it is one of the topics"
    parser.add_argument("--audit", action="store_true", help=audit)
    parser.add_argument("--to", default="", metavar="ROOT", help="a folder, or a URL such as s3://bucket/archive")
    parser.add_argument(
        "--partitions",
        type=_partitions,
        default=frozenset(),
        metavar="0,1,2",
        help="only these of each topic, where several archivers share the work (default: all)",
    )
    parser.add_argument(
        "--until-caught-up", action="store_true", help="stop at the ends of the topics as they are at the start"
    )
    parser.add_argument(
        "--accept-loss", action="store_true", help="continue where a topic begins: it forgot what is not archived"
    )
    parser.add_argument("--today", action="store_true", help="of `optimize`: also join the files of the open day")
    entity = "of `erase`: whose rows, such as card=card-000017"
    parser.add_argument("--entity", default="", metavar="KIND=ID", help=entity)
    parser.add_argument("--why", default="", metavar="TEXT", help="of `erase` and `drop-damaged`: for the record")
    parser.add_argument("--apply", action="store_true", help="of both: do it; without it the rows are shown")
    parser.add_argument("--json", action="store_true", help="of `status`: for machines")
    parser.add_argument("--metrics-port", type=int, help="serve Prometheus metrics here (default: settings)")
    return parser


def _partitions(text: str) -> frozenset[int]:
    numbers = frozenset(int(each) for each in text.split(","))
    if min(numbers) < 0:
        raise argparse.ArgumentTypeError(f"expected numbers of partitions from 0 on, found {text}")
    return numbers
