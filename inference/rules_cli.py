"""``weir rules check`` and ``weir rules test``: what is wrong with rules, and whether their examples hold.

Both look at a rules file, or at the rules that the stream declares where it has no file: no server is asked, and
nothing is put in force.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from weir.inference.core.rule_examples import ExampleResult, run_examples
from weir.inference.core.rules import RuleSet, build_rule_set, describe_condition
from weir.inference.rule_sets import columns_of_rules
from weir.infra.arguments import add_stream_flag
from weir.schemas.errors import Refused
from weir.schemas.origin import Finding
from weir.schemas.printable import escape, to_json
from weir.schemas.project import find_project, find_stream
from weir.schemas.rules import ALERT, LIVE, MODES, Rule
from weir.schemas.rules_file import parse_rules
from weir.schemas.stream import Stream
from weir.schemas.yaml_tree import load_text


def add_commands(commands: Any) -> None:
    """Add both to those of ``weir rules``; ``run`` runs what was asked.

    Args:
        commands: of argparse, whose type has no public name.
    """
    texts = {
        "check": "find every fault of a rules file",
        "test": "run the examples next to the rules of a file",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(of_file=name)
        default = "(default: rules/<stream>.yaml of the project, or the rules that the stream declares)"
        command.add_argument("file", metavar="FILE", nargs="?", type=Path, help=default)
        command.add_argument("--json", action="store_true", help="for machines")
        add_stream_flag(command)


def run(arguments: argparse.Namespace) -> int:
    """Check or test a file. Exit codes: 0 all is well, 1 faults or examples that do not hold, 2 misused or no file."""
    stream = find_stream(Path.cwd(), arguments.stream)
    columns = columns_of_rules(stream)
    path = arguments.file or _find_file(stream)
    faults: list[Finding] = []
    if path is None:
        rules, name = list(stream.rules), _name_of(Path(stream.where.file))
    else:
        name = _name_of(path)
        rules, faults = parse_rules(load_text(path), columns, name)
    if faults:
        _write_faults(faults, name, as_json=arguments.json)
        return 1
    if arguments.of_file == "check":
        _write_rules(build_rule_set(rules, columns), name, as_json=arguments.json)
        return 0
    results = list(run_examples(rules, columns))
    _write_results(results, rules, name, as_json=arguments.json)
    return 0 if results and all(result.passed for result in results) else 1


def _find_file(stream: Stream) -> Path | None:
    """Return the rules file of a stream, or nothing for one that declares its rules.

    Raises:
        Refused: there are neither.
    """
    path = (find_project(Path.cwd()) or Path.cwd()) / "rules" / f"{stream.name}.yaml"
    if path.is_file():
        return path
    if not stream.rules:
        raise Refused(f"expected a rules file at {path}, found none; write one (docs/rules.md), or name another")
    return None


def _name_of(path: Path) -> str:
    """Return the file from here, where it is below, as editors and terminals open it."""
    return str(path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path)


def _write_faults(faults: Sequence[Finding], name: str, *, as_json: bool) -> None:
    told = [
        {"line": each.where.line, "column": each.where.column, "part": each.what, "fault": each.fault}
        for each in faults
    ]
    _write({"file": name, "faults": told}, [*map(str, faults), f"{_count(len(faults), 'fault')} in {name}"], as_json)


def _write_rules(rule_set: RuleSet, name: str, *, as_json: bool) -> None:
    rules, version = rule_set.rules, rule_set.version
    told = [
        {"name": each.name, "then": each.then, "mode": each.mode, "when": describe_condition(each)} for each in rules
    ]
    modes = [f"{sum(rule.mode == mode for rule in rules)} {mode}" for mode in MODES]
    lines = [f"{name}: {_count(len(rules), 'rule')}, no faults; {', '.join(modes)}; version {version}"]
    lines += [f"  {each.then:<8}{each.name}: {describe_condition(each)}" for each in rules]
    alerts = dict.fromkeys(each.word for each in rules if (each.then, each.mode) == (ALERT, LIVE))
    if alerts:
        lines.append(
            f"an ALERT changes no decision: it notes {', '.join(alerts)} in the decision's tags, of which `weir cases "
            "follow` opens a case whatever is decided"
        )
    _write({"file": name, "faults": [], "version": version, "rules": told}, lines, as_json)


def _write_results(results: Sequence[ExampleResult], rules: Sequence[Rule], name: str, *, as_json: bool) -> None:
    failed = [result for result in results if not result.passed]
    untested = [rule.name for rule in rules if not rule.examples]
    lines = [_describe(result) for result in failed]
    lines += [f"{name}: rule {each}: no example" for each in untested]
    said = f"{len(results) - len(failed)} of {_count(len(results), 'example')} as expected" if results else "no example"
    told = [
        {"rule": each.rule.name, "example": each.number, "expected": each.example.hit, "found": each.found}
        for each in results
    ]
    lines.append(f"{name}: {said}, of {_count(len(rules), 'rule')}")
    _write({"file": name, "faults": [], "examples": told, "untested": untested}, lines, as_json)


def _describe(result: ExampleResult) -> str:
    expected, found = ("a hit", "none") if result.example.hit else ("no hit", "one")
    values = ((name, f"{each:g}" if isinstance(each, float) else each) for name, each in result.example.values.items())
    given = ", ".join(f"{name} {value}" for name, value in values) or "nothing"
    where = result.example.where
    what = f"{where.file}:{where.line}:{where.column}: rule {result.rule.name}, example {result.number}"
    return f"{what}: expected {expected}, found {found}: {given}; {describe_condition(result.rule)}"


def _write(document: dict[str, Any], lines: Iterable[str], as_json: bool) -> None:
    sys.stdout.write(to_json(document) + "\n" if as_json else "".join(f"{escape(line)}\n" for line in lines))


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
