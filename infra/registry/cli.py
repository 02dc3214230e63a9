"""``weir schemas check | register``: hold the contracts to their rules and bring them to the registry.

``check`` needs no server: every checked-in version must read the one before it. Where the registry answers, each
subject must also have the level that protects its readers, and our newest version must read all that is registered.
``register`` registers the versions in order, sets the levels, and reports the same; running it again changes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise

from weir.infra.arguments import Parser
from weir.infra.registry.client import Registry, SchemaRegistry
from weir.infra.settings import Settings, TopicSettings, load_settings
from weir.schemas.compatibility import check_backward, check_level, find_unreadable, parse_inlined
from weir.schemas.contracts import TOPIC_KINDS, compatibility_level, is_input, schema_json, subject, versions
from weir.schemas.errors import Refused, Transient
from weir.schemas.printable import escape


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


def topic_of(kind: str, topics: TopicSettings) -> str:
    """Return the topic that carries a kind of record.

    >>> topic_of("labels", TopicSettings())
    'labels'
    """
    return str(getattr(topics, kind))


def register_contracts(registry: SchemaRegistry, topics: TopicSettings) -> list[Registered]:
    """Register every version of every kind under its topic's subject, oldest first. Idempotent.

    Raises:
        Refused: a version does not read the one before it, or another team's schema stands there already.
        Transient: the registry is away.
    """
    found: list[tuple[str, int]] = []
    numbers: dict[tuple[str, int], int] = {}
    for kind in TOPIC_KINDS:
        name = subject(topic_of(kind, topics))
        # looked up first: an old version registered again next to a newer one would be judged again by some
        known = {_canonical(text): schema_id for _, schema_id, text in registry.version_texts(name)}
        _require_level(registry, name, kind)
        texts = [schema_json(kind, number) for number in versions(kind)]
        found += [(name, known.get(_canonical(text)) or _register_one(registry, name, kind, text)) for text in texts]
        _require_level(registry, name, kind)  # some registries kept nothing for a subject without a version
        numbers |= {(name, schema_id): number for number, schema_id, _ in registry.version_texts(name)}
    return [Registered(name, schema_id, numbers[name, schema_id]) for name, schema_id in found if schema_id]


def _register_one(registry: SchemaRegistry, name: str, kind: str, text: str) -> int:
    """Return the new id, or 0 where what is registered already stands in the way: ``check_registered`` says what."""
    try:
        return registry.register(name, text)
    except Refused:
        if not any(_find_conflict(kind, text, theirs) for _, _, theirs in registry.version_texts(name)):
            raise
        return 0


def _require_level(registry: SchemaRegistry, name: str, kind: str) -> None:
    if registry.level(name) != compatibility_level(kind):
        registry.require_level(name, compatibility_level(kind))


def _canonical(text: str) -> str:
    """Registries lay a schema out in their own way; what it says stays."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:  # a schema of another type than Avro
        return text


def check_contracts(topics: TopicSettings) -> Iterator[Finding]:
    """Compare each checked-in version with the one before it."""
    for kind in TOPIC_KINDS:
        for old, new in pairwise(versions(kind)):
            problem = check_backward(schema_json(kind, new), schema_json(kind, old))
            yield Finding(subject(topic_of(kind, topics)), f"v{new} reads v{old}", problem)


def check_registered(
    registry: SchemaRegistry, topics: TopicSettings, url: str = "$WEIR_REGISTRY__URL"
) -> Iterator[Finding]:
    """Compare each kind with what the registry has: the subject's level, and every version of it with our newest.

    Args:
        registry: to be asked.
        topics: whose subjects are looked at.
        url: of the registry, for the command that removes a version.

    Raises:
        Transient: the registry is away.
    """
    for kind in TOPIC_KINDS:
        name = subject(topic_of(kind, topics))
        registered = registry.version_texts(name)
        if not registered:
            yield Finding(name, "registered", "expected a schema, found none; run `weir schemas register`")
            continue
        yield check_level_of(registry, name, kind)
        is_known = _canonical(schema_json(kind)) in {_canonical(text) for _, _, text in registered}
        heard = registered if is_input(kind) else registered[-1:]
        yield Finding(
            name, "ours is registered", "" if is_known else _find_obstacle(kind, heard, f"{url}/subjects/{name}")
        )
        for number, schema_id, text in heard:
            problem = _find_foreign(schema_json(kind), text)
            fix = _removal(f"{url}/subjects/{name}", number)
            yield Finding(name, f"ours reads v{number} (id {schema_id})", problem and f"{problem}; {fix}")


def check_level_of(registry: SchemaRegistry, name: str, kind: str) -> Finding:
    """Compare a subject's level with the one that protects the readers of its topic.

    Raises:
        Transient: the registry is away.
    """
    wanted, found = compatibility_level(kind), registry.level(name)
    problem = "" if found == wanted else f"expected level {wanted}, found {found}; run `weir schemas register`"
    return Finding(name, f"level {wanted}", problem)


def _find_obstacle(kind: str, registered: list[tuple[int, int, str]], url: str) -> str:
    """Return why our newest version of a kind is not registered, which it is not."""
    for number, _, text in registered:
        reason = _find_conflict(kind, schema_json(kind), text)
        if reason:
            return f"expected it, found v{number} in its way: {reason}; {_removal(url, number)}"
    return "expected it, found others; run `weir schemas register`"


def _find_conflict(kind: str, ours: str, theirs: str) -> str:
    try:
        return check_level(compatibility_level(kind), ours, [theirs])
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
    run: Callable[[Registry, Settings, bool], int] = arguments.run
    settings = load_settings()
    registry = Registry(settings.registry)
    try:
        return run(registry, settings, arguments.json)
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
        verb.set_defaults(run=run)
    return parser


def _check(registry: Registry, settings: Settings, as_json: bool) -> int:
    findings = list(check_contracts(settings.topics))
    try:
        findings += check_registered(registry, settings.topics, settings.registry.url)
    except Transient as error:
        sys.stderr.write(f"weir schemas: {error}; only the checked-in versions were compared\n")
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings]) + "\n")
    else:
        sys.stdout.writelines(_line(finding) for finding in findings)
    return 1 if any(finding.problem for finding in findings) else 0


def _register(registry: Registry, settings: Settings, as_json: bool) -> int:
    registered = register_contracts(registry, settings.topics)
    problems = [f for f in check_registered(registry, settings.topics, settings.registry.url) if f.problem]
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in registered]) + "\n")
    else:
        sys.stdout.writelines(f"{each.subject:<24} id {each.id:<6} v{each.version}\n" for each in registered)
    sys.stderr.writelines(f"weir schemas: {_line(finding)}" for finding in problems)
    return 1 if problems else 0


def _line(finding: Finding) -> str:
    return escape(f"{finding.subject:<24} {finding.compared:<28} {finding.problem or 'ok'}") + "\n"
