"""``weir schemas check | register``: hold the contracts to their rules and bring them to the registry.

``check`` needs no server: every checked-in version must read the one before it. Where the registry answers, our
newest version must also read the newest one there. ``register`` sets BACKWARD on each topic's subject and registers
the versions in order; running it again changes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise

from infra.registry import Registry, SchemaRegistry
from infra.settings import TopicSettings, load_settings
from schemas.compatibility import check_backward
from schemas.contracts import TOPIC_KINDS, schema_json, subject, versions
from schemas.errors import Transient
from schemas.printable import escape


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
        # looked up first: an old version registered again beside a newer one would be judged anew by some
        known = {_canonical(text): schema_id for _, schema_id, text in registry.version_texts(name)}
        registry.require_backward(name)
        for text in (schema_json(kind, number) for number in versions(kind)):
            schema_id = known.get(_canonical(text)) or registry.register(name, text)
            found.append((name, schema_id))
        numbers |= {(name, schema_id): number for number, schema_id, _ in registry.version_texts(name)}
    return [Registered(name, schema_id, numbers[name, schema_id]) for name, schema_id in found]


def _canonical(text: str) -> str:
    """Registries lay a schema out anew; what it says stays."""
    return json.dumps(json.loads(text), sort_keys=True)


def check_contracts(topics: TopicSettings) -> Iterator[Finding]:
    """Compare each checked-in version with the one before it."""
    for kind in TOPIC_KINDS:
        for old, new in pairwise(versions(kind)):
            problem = check_backward(schema_json(kind, new), schema_json(kind, old))
            yield Finding(subject(topic_of(kind, topics)), f"v{new} reads v{old}", problem)


def check_registered(registry: SchemaRegistry, topics: TopicSettings) -> Iterator[Finding]:
    """Compare our newest version of each kind with what the registry has.

    Raises:
        Transient: the registry is away.
    """
    for kind in TOPIC_KINDS:
        name = subject(topic_of(kind, topics))
        registered = registry.version_texts(name)
        if not registered:
            yield Finding(name, "registered", "expected a schema, found none; run `weir schemas register`")
            continue
        number, _, text = registered[-1]
        yield Finding(name, f"ours reads registered v{number}", check_backward(schema_json(kind), text))


def main(argv: list[str]) -> int:
    """Run ``weir schemas``. Exit codes: 0 done, 1 a contract is broken or the registry away, 2 misused or refused."""
    arguments = _build_parser().parse_args(argv[1:])
    run: Callable[[Registry, TopicSettings, bool], int] = arguments.run
    settings = load_settings()
    registry = Registry(settings.registry)
    try:
        return run(registry, settings.topics, arguments.json)
    finally:
        registry.close()


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="weir schemas", description="check or register the Avro schemas")
    verbs = parser.add_subparsers(required=True, metavar="check | register")
    for name, run, text in (
        ("check", _check, "compare versions with each other, and with the registry where it answers"),
        ("register", _register, "register every version, in order; again changes nothing"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--json", action="store_true", help="for machines")
        verb.set_defaults(run=run)
    return parser


def _check(registry: Registry, topics: TopicSettings, as_json: bool) -> int:
    findings = list(check_contracts(topics))
    try:
        findings += check_registered(registry, topics)
    except Transient as error:
        sys.stderr.write(f"weir schemas: {error}; only the checked-in versions were compared\n")
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings]) + "\n")
    else:
        lines = (f"{f.subject:<24} {f.compared:<28} {f.problem or 'ok'}" for f in findings)
        sys.stdout.writelines(f"{escape(line)}\n" for line in lines)
    return 1 if any(finding.problem for finding in findings) else 0


def _register(registry: Registry, topics: TopicSettings, as_json: bool) -> int:
    registered = register_contracts(registry, topics)
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in registered]) + "\n")
    else:
        sys.stdout.writelines(f"{each.subject:<24} id {each.id:<6} v{each.version}\n" for each in registered)
    return 0
