"""``weir sessionise``: starts the agent that makes visits of clicks, in the environment that has Faust."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from weir.infra.arguments import Parser
from weir.infra.home import ensure_home
from weir.infra.kafka.admin import describe_topics
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.schemas.contracts import event_schemas, subject
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.sessions import sessions
from weir.streaming.sessions.visit import names_of

_PYTHON = Path("build") / "peers" / "bin" / "python"
_AGENT = "weir.streaming.sessions.agent"


def main(argv: list[str]) -> int:
    """Run ``weir sessionise``: become the agent, so that a stop or a kill is the agent's own. Exit code 2 refused."""
    parser = Parser(prog="weir sessionise", description=__doc__)
    parser.add_argument("--python", type=Path, default=_PYTHON, help="of an environment with Faust: `make peers`")
    parser.add_argument("--group", default="weir-sessionise", help="its consumer group; its tables have the name too")
    arguments = parser.parse_args(argv[1:])
    if not arguments.python.is_file():
        raise Refused(f"expected Python with Faust at {arguments.python}, found none; `make peers` makes it")
    command = build_command(load_settings(), python=arguments.python, group=arguments.group)
    os.execv(command[0], command)  # noqa: S606 # nosec B606 - our own module


def build_command(
    settings: Settings, *, python: Path, group: str, source: Stream = clicks, target: Stream = sessions
) -> list[str]:
    """Return the command line of the agent, once its topics are there and its rows' schema is registered.

    Args:
        settings: of this deployment.
        python: of the environment with Faust.
        group: the agent's consumer group.
        source: the stream of clicks; another name has another topic.
        target: that of steps of visits.

    Raises:
        Refused: a topic is missing, or the registry does not take the schema.
        Transient: a server is unreachable.
    """
    read, written = (settings.of_stream(stream).topics.transactions for stream in (source, target))
    facts = describe_topics(settings.kafka, [read, written])
    with closing(Registry(settings.registry)) as registry:
        schema_id = registry.register(subject(written), event_schemas(target)[-1])
    folder = ensure_home(settings.home) / "sessionise"
    folder.mkdir(exist_ok=True)
    contract = folder / "contract.json"
    contract.write_text(json.dumps(build_contract()))
    flags = {
        "broker": settings.kafka.bootstrap_servers,
        "group": group,
        "input": read,
        "output": written,
        "folder": str(folder),
        "contract": str(contract),
        "partitions": str(facts[read].partitions),
        "schema-id": str(schema_id),
    }
    return [str(python), "-m", _AGENT, *(part for name, value in flags.items() for part in (f"--{name}", value))]


def build_contract() -> dict[str, Any]:
    """Return what the agent has to know of the two streams, for JSON."""
    reader, writer = (json.loads(event_schemas(stream)[-1]) for stream in (clicks, sessions))
    names = names_of(clicks, [field["name"] for field in writer["fields"]])
    return {"reader": reader, "writer": writer, "names": asdict(names)}
