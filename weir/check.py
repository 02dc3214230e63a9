"""``weir check``: every fault of a project's streams at once, or what they declare and what a change touches.

Streams are loaded and typed against their schemas. Nothing is compiled, and no server is asked but the broker, for a
second and only after a change, how many records have to be computed again.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from weir.declarations_note import Change, Note, describe_streams, find_changes, load_note, save_note
from weir.deep_checks import find_deep_faults
from weir.infra.arguments import Parser
from weir.infra.settings import load_settings
from weir.rebuild_time import Rebuild, estimate
from weir.schemas.checks.expression_types import nearest
from weir.schemas.checks.fields import read_schema
from weir.schemas.checks.rules import rule_columns
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.schemas.origin import Finding, Origin
from weir.schemas.printable import escape, to_json
from weir.schemas.project import PROJECT_FILE, Project, find_project, find_retrain_config, load_project
from weir.schemas.rules_file import parse_rules
from weir.schemas.stream import Stream
from weir.schemas.yaml_tree import load_text

_WIDTH: Final = 110


def main(argv: list[str]) -> int:
    """Run ``weir check``. Exit codes: 0 no faults, 1 faults, 2 misused or no project."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings()
    retention_ms = settings.topics.retention_days * DAY_MS
    project = load_project(_find_folder(arguments.project), retention_ms=retention_ms)
    project = replace(project, findings=(*project.findings, *find_deep_faults(project)))
    project = replace(project, findings=(*project.findings, *_find_profile_faults(project)))
    project = replace(project, findings=(*project.findings, *_find_rule_faults(project)))
    project = replace(project, findings=(*project.findings, *_find_config_faults(project)))
    if project.findings:
        sys.stdout.write(_faults_as_json(project) if arguments.json else _format_faults(project))
        return 1
    note = describe_streams({name: each.stream for name, each in project.streams.items()})
    before = load_note(project.folder)
    changes = list(find_changes(before, note)) if before is not None else []
    rebuilds = {
        change.stream: estimate(settings.of_stream(project.streams[change.stream].stream))
        for change in changes
        if change.rebuilt
    }
    sys.stdout.write((_as_json if arguments.json else _format)(project, changes, rebuilds))
    if before is None or arguments.accept:
        _keep_note(project.folder, note)
    return 0


def _find_profile_faults(project: Project) -> Iterator[Finding]:
    """Yield the faults of what makes up events, for streams in whose files nothing is wrong."""
    if (project.folder / "generator.toml").exists() and not project.findings:
        from weir.generators.profiles.profile import find_faults  # noqa: PLC0415  (few projects need its imports)

        yield from find_faults(project.folder, (each.stream for each in project.streams.values()))


def _find_rule_faults(project: Project) -> Iterator[Finding]:
    """Yield the faults of the rules files, for streams in whose files nothing is wrong."""
    paths = sorted((project.folder / "rules").glob("*.yaml")) if not project.findings else []
    for path in paths:
        if path.stem not in project.streams:
            fault = f"expected the name of a stream, found {path.stem!r}{nearest(path.stem, project.streams)}"
            yield Finding(Origin(str(path), 1), "rules file", fault)
            continue
        loaded = project.streams[path.stem]
        columns = rule_columns(loaded.stream, read_schema(loaded.schemas[-1]) or {})
        yield from parse_rules(load_text(path), columns, str(path))[1]


def _find_config_faults(project: Project) -> Iterator[Finding]:
    """Yield the faults of the file that models are trained again by, for a project in which nothing else is wrong."""
    if not project.findings and (path := find_retrain_config(project.folder)):
        from weir.training.search.config import find_config_faults  # noqa: PLC0415  (few projects have one)

        yield from find_config_faults(path)


def _build_parser() -> Parser:
    parser = Parser(prog="weir check", description=__doc__)
    parser.add_argument(
        "--project", type=Path, metavar="DIR", help="the folder with weir.toml (default: this one or one above it)"
    )
    parser.add_argument(
        "--accept", action="store_true", help="take the streams as they are for the ones to compare with"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _find_folder(given: Path | None) -> Path:
    """Return the project's folder.

    Raises:
        Refused: there is none.
    """
    here = Path.cwd() if given is None else given.absolute()
    found = find_project(here) if given is None else here if (here / PROJECT_FILE).is_file() else None
    if found is None:
        above = " or a folder above it" if given is None else ""
        raise Refused(f"expected a {PROJECT_FILE} in {here}{above}, found none; `weir init DIR` makes a project")
    return found


def _keep_note(folder: Path, note: Note) -> None:
    try:
        save_note(folder, note)
    except OSError as error:  # a project that is only read, as in a build, is checked all the same
        reason = (error.strerror or str(error)).lower()
        sys.stderr.write(f"weir check: cannot note what was found: {escape(str(error.filename))}: {reason}\n")


def _format_faults(project: Project) -> str:
    lines = [str(replace(each, where=each.where._replace(file=_name_of(each)))) for each in project.findings]
    files = len({finding.where.file for finding in project.findings})
    return _join([*lines, f"{_count(len(lines), 'fault')} in {_count(files, 'file')}"])


def _faults_as_json(project: Project) -> str:
    faults = [
        {"file": each.where.file, "line": each.where.line, "part": each.what, "fault": each.fault}
        for each in project.findings
    ]
    return to_json({"project": project.name, "faults": faults}) + "\n"


def _name_of(finding: Finding) -> str:
    """Return the file from here, where it is below, as editors and terminals open it."""
    path = Path(finding.where.file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _format(project: Project, changes: Sequence[Change], rebuilds: Mapping[str, Rebuild]) -> str:
    lines = [f"{project.name}: {_count(len(project.streams), 'stream')}, no faults"]
    for each in project.streams.values():
        lines += ["", *_describe(each.stream)]
    if changes:
        lines += ["", "since the last note (`weir check --accept` replaces it):"]
    for change in changes:
        lines += [f"  {change.stream}: {line}" for line in change.describe(rebuilds.get(change.stream))]
    return _join(lines)


def _describe(stream: Stream) -> Iterator[str]:
    entities = [f"{e.name} (key)" if e == stream.key else e.name for e in stream.entities]
    yield f"{stream.name}  hash {stream.declarations_hash}"
    yield from _wrap("entities", entities)
    yield from _wrap("measures", [measure.name for measure in stream.measures])
    yield from _wrap("flags", [flag.name for flag in stream.flags])
    yield from _wrap("rules", [rule.name for rule in stream.rules]) if stream.rules else ()
    yield f"  features  {len(stream.feature_names)}"
    width = max((len(feature.entity) for feature in stream.all_features), default=0)
    for entity, features in groupby(stream.all_features, lambda feature: feature.entity):
        yield from _wrap(f"  {entity:<{width}}", [feature.name for feature in features])


def _wrap(title: str, names: Iterable[str]) -> list[str]:
    start = f"  {title:<8}  "
    text = ", ".join(names) or "none"
    return textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)


def _as_json(project: Project, changes: Sequence[Change], rebuilds: Mapping[str, Rebuild]) -> str:
    streams: list[dict[str, Any]] = [
        {
            "name": name,
            "file": each.stream.where.file,
            "declarations_hash": each.stream.declarations_hash,
            "key": each.stream.key.name,
            "entities": [entity.name for entity in each.stream.entities],
            "measures": [measure.name for measure in each.stream.measures],
            "flags": [flag.name for flag in each.stream.flags],
            "features": list(each.stream.feature_names),
        }
        for name, each in project.streams.items()
    ]
    told = [asdict(change) | {"rebuild": _as_data(rebuilds.get(change.stream))} for change in changes]
    return to_json({"project": project.name, "faults": [], "streams": streams, "changes": told}) + "\n"


def _as_data(rebuild: Rebuild | None) -> dict[str, Any] | None:
    return None if rebuild is None else asdict(rebuild) | {"seconds": rebuild.seconds}


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _join(lines: Iterable[str]) -> str:
    return "".join(f"{escape(line)}\n" for line in lines)
