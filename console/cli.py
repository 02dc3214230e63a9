"""``weir console``: pages for the people who work on cases."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import load_settings
from weir.monitoring.logs import configure
from weir.schemas.errors import Refused
from weir.schemas.project import find_streams


def main(argv: Sequence[str]) -> int:
    """Run the command. Exit codes: 0 told to stop, 1 the database is unreachable, 2 misused or refused."""
    arguments = _build_parser().parse_args(argv[1:])
    if find_spec("jinja2") is None or find_spec("sqlalchemy") is None:
        raise Refused("expected the packages of the console, found none; `make setup` in a checkout brings them")
    from weir.console.serve import run_console  # noqa: PLC0415 - what needs them

    settings = load_settings()
    configure(settings.monitoring.log_level, settings.monitoring.log_format, "console")
    served = find_streams(Path.cwd(), arguments.stream)
    return run_console(settings, served, host=arguments.host, port=arguments.port)


def _build_parser() -> Parser:
    parser = Parser(
        prog="weir console", description="Serve the console: the queue of cases, decisions, search. Asks for a key."
    )
    parser.add_argument("--host", help="default: the setting WEIR_CONSOLE__HOST")
    parser.add_argument("--port", type=int, help="default: the setting WEIR_CONSOLE__PORT; 0 takes a free one")
    add_stream_flag(parser, default="every stream of the project", again=True)
    return parser
