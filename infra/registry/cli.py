"""``weir schemas check | register``: hold the contracts to their rules and bring them to the registry.

``check`` needs no server: every checked-in version must read the one before it. Where the registry answers, each
subject must also have the level that protects its readers, and our newest version must read all that is registered.
``register`` registers the versions in order, sets the levels, and reports the same; running it again changes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.registry.client import Registry, SchemaRegistry
from weir.infra.settings import Settings, TopicSettings, load_settings
from weir.schemas.avro.compatibility import check_backward, check_level, find_unreadable, parse_inlined
from weir.schemas.contracts import Contract, audit_contract, list_contracts
from weir.schemas.errors import Refused, Transient
from weir.schemas.printable import escape
from weir.schemas.project import find_streams
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

_SHIPPED: tuple[Stream, ...] = (payments,)


@dataclass(frozen=True)
class Registered:
    """One version under one subject, as the registry has it."""

    subject: str
    id: int
    version: int


@dataclass(frozen=True)
class Finding:
    """The outcome of one comparison; ``problem`` is empty when all is well."""

    subject: str
    compared: str
    problem: str


def contracts_of(streams: Sequence[Stream], topics: TopicSettings) -> list[Contract]:
    """Return the contracts of some streams and of the audit log, each topic once."""
    found = [contract for stream in streams for contract in list_contracts(stream, topics.of(stream))]
    found.append(audit_contract(topics.audit))
    return list({contract.topic: contract for contract in reversed(found)}.values())[::-1]  # the first one counts


def register_contracts(
    registry: SchemaRegistry, topics: TopicSettings, streams: Sequence[Stream] = _SHIPPED
) -> list[Registered]:
    """Register every version of every contract under its topic's subject, oldest first. Idempotent.

    Raises:
        Refused: a version does not read the one before it, or another team's schema stands there already.
        Transient: the registry is unreachable.
    """
    found: list[tuple[str, int]] = []
    numbers: dict[tuple[str, int], int] = {}
    for contract in contracts_of(streams, topics):
        name = contract.subject
        # looked up first: an old version registered again next to a newer one would be judged again by some
        known = {_canonical(text): schema_id for _, schema_id, text in registry.version_texts(name)}
        _require_level(registry, contract)
        ids = [known.get(_canonical(text)) or _register_one(registry, contract, text) for text in contract.schemas]
        found += [(name, schema_id) for schema_id in ids]
        _require_level(registry, contract)  # some registries kept nothing for a subject without a version
        numbers |= {(name, schema_id): number for number, schema_id, _ in registry.version_texts(name)}
    return [Registered(name, schema_id, numbers[name, schema_id]) for name, schema_id in found if schema_id]


def _register_one(registry: SchemaRegistry, contract: Contract, text: str) -> int:
    """Return the new id, or 0 where what is registered already is in the way: ``check_registered`` says what."""
    try:
        return registry.register(contract.subject, text)
    except Refused:
        theirs = (text for _, _, text in registry.version_texts(contract.subject))
        if not any(_find_conflict(contract, text, other) for other in theirs):
            raise
        return 0


def _require_level(registry: SchemaRegistry, contract: Contract) -> None:
    if registry.level(contract.subject) != contract.level:
        registry.require_level(contract.subject, contract.level)


def _canonical(text: str) -> str:
    """Registries lay a schema out in their own way; what it says stays."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:  # a schema of another type than Avro
        return text


def check_contracts(topics: TopicSettings, streams: Sequence[Stream] = _SHIPPED) -> Iterator[Finding]:
    """Compare each checked-in version with the one before it."""
    for contract in contracts_of(streams, topics):
        for old, (before, after) in enumerate(pairwise(contract.schemas), start=1):
            yield Finding(contract.subject, f"v{old + 1} reads v{old}", check_backward(after, before))


def check_registered(
    registry: SchemaRegistry,
    topics: TopicSettings,
    url: str = "$WEIR_REGISTRY__URL",
    streams: Sequence[Stream] = _SHIPPED,
) -> Iterator[Finding]:
    """Compare each contract with what the registry has: the subject's level, and every version of it with our newest.

    Args:
        registry: to be asked.
        topics: whose subjects are looked at.
        url: of the registry, for the command that removes a version.
        streams: whose contracts they are.

    Raises:
        Transient: the registry is unreachable.
    """
    for contract in contracts_of(streams, topics):
        name, ours = contract.subject, contract.schemas[-1]
        registered = registry.version_texts(name)
        if not registered:
            problem = "expected a schema, found none; run `weir schemas register`" if contract.is_required else ""
            yield Finding(name, "registered", problem)
            continue
        yield check_level_of(registry, contract)
        is_known = _canonical(ours) in {_canonical(text) for _, _, text in registered}
        heard = registered if contract.is_input else registered[-1:]
        yield Finding(
            name, "ours is registered", "" if is_known else _find_obstacle(contract, heard, f"{url}/subjects/{name}")
        )
        for number, schema_id, text in heard:
            problem = _find_foreign(ours, text)
            fix = _removal(f"{url}/subjects/{name}", number)
            yield Finding(name, f"ours reads v{number} (id {schema_id})", problem and f"{problem}; {fix}")


def check_level_of(registry: SchemaRegistry, contract: Contract) -> Finding:
    """Compare a subject's level with the one that protects the readers of its topic.

    Raises:
        Transient: the registry is unreachable.
    """
    wanted, found = contract.level, registry.level(contract.subject)
    problem = "" if found == wanted else f"expected level {wanted}, found {found}; run `weir schemas register`"
    return Finding(contract.subject, f"level {wanted}", problem)


def _find_obstacle(contract: Contract, registered: list[tuple[int, int, str]], url: str) -> str:
    """Return why our newest version of a contract is not registered, which it is not."""
    for number, _, text in registered:
        reason = _find_conflict(contract, contract.schemas[-1], text)
        if reason:
            return f"expected it, found v{number} in its way: {reason}; {_removal(url, number)}"
    return "expected it, found others; run `weir schemas register`"


def _find_conflict(contract: Contract, ours: str, theirs: str) -> str:
    try:
        return check_level(contract.level, ours, (theirs,))
    except ValueError as error:
        return str(error)


def _removal(url: str, number: int) -> str:
    removed = f"`curl -X DELETE {url}/versions/{number}` removes it"
    return f"{removed}, once nobody writes with it, and `weir schemas register` does the rest"


def _find_foreign(ours: str, theirs: str) -> str:
    """Return why no record of a registered version can be read by our newest, or ``""``."""
    try:
        return find_unreadable(parse_inlined(ours), parse_inlined(theirs))
    except ValueError as error:
        return str(error)


def main(argv: list[str]) -> int:
    """Run ``weir schemas``. Exit codes: 0 done, 1 a contract is broken or the registry away, 2 misused or refused."""
    arguments = _build_parser().parse_args(argv[1:])
    run: Callable[[Registry, Settings, Sequence[Stream], bool], int] = arguments.run
    settings = load_settings()
    streams = find_streams(Path.cwd(), [arguments.stream] if arguments.stream else ()).streams
    registry = Registry(settings.registry)
    try:
        return run(registry, settings, streams, arguments.json)
    finally:
        registry.close()


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="weir schemas", description="check or register the Avro schemas")
    verbs = parser.add_subparsers(required=True, metavar="check | register")
    for name, run, text in (
        ("check", _check, "compare versions with each other, and with the registry where it answers"),
        ("register", _register, "register every version, in order, and set the levels; again changes nothing"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--json", action="store_true", help="for machines")
        add_stream_flag(verb, default="all of the project, or the payments")
        verb.set_defaults(run=run)
    return parser


def _check(registry: Registry, settings: Settings, streams: Sequence[Stream], as_json: bool) -> int:
    findings = list(check_contracts(settings.topics, streams))
    try:
        findings += check_registered(registry, settings.topics, settings.registry.url, streams)
    except Transient as error:
        sys.stderr.write(f"weir schemas: {error}; only the checked-in versions were compared\n")
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings]) + "\n")
    else:
        sys.stdout.writelines(_line(finding) for finding in findings)
    return 1 if any(finding.problem for finding in findings) else 0


def _register(registry: Registry, settings: Settings, streams: Sequence[Stream], as_json: bool) -> int:
    registered = register_contracts(registry, settings.topics, streams)
    found = check_registered(registry, settings.topics, settings.registry.url, streams)
    problems = [finding for finding in found if finding.problem]
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in registered]) + "\n")
    else:
        sys.stdout.writelines(f"{each.subject:<24} id {each.id:<6} v{each.version}\n" for each in registered)
    sys.stderr.writelines(f"weir schemas: {_line(finding)}" for finding in problems)
    return 1 if problems else 0


def _line(finding: Finding) -> str:
    return escape(f"{finding.subject:<24} {finding.compared:<28} {finding.problem or 'ok'}") + "\n"
