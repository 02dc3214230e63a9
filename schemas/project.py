"""A user's project: a folder with ``weir.toml``, ``streams/*.py`` and their Avro schemas ``streams/*.avsc``.

A stream file is Python that the user wrote, and loading it runs it. So it is loaded by its path on this machine, on
purpose: never from a network or a registry, and never by ``sys.path``, so that no folder of a project can stand in for
a package. A stream file stands alone; it may import ``weir`` and whatever is installed. It is compiled afresh each
time, so no stale bytecode is ever run and none is written into the user's folder.

Whatever is wrong becomes a finding with file and line, so that one look names all of it: an exception of a file, a
schema that cannot be read, two streams of one name, and every fault of a declaration. This module is the only one that
loads declarations.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import tomllib
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import fastavro

from weir.schemas.checks.declaration import find_faults
from weir.schemas.checks.expression_types import nearest
from weir.schemas.checks.load_hints import find_hint
from weir.schemas.errors import Refused
from weir.schemas.gate_bounds import GateBounds, build_bounds, find_bound_faults
from weir.schemas.origin import Finding, Origin
from weir.schemas.schema_files import find_versions
from weir.schemas.stream import Namespace, Stream

PROJECT_FILE: Final = "weir.toml"
SHIPPED: Final = Path(__file__).parent / "streams"
_KEYS: Final = frozenset({"name", "default", "topic_prefix", "gates", "retrain_config"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_TOPIC_PREFIX: Final = re.compile(r"[a-zA-Z0-9._-]{0,64}")
"""With the longest names of a stream a topic has 205 letters; a broker takes 249."""
_LINE: Final = re.compile(r"at line ([0-9]+)")


@dataclass(frozen=True)
class LoadedStream:
    """A stream and the schemas that it names.

    Attributes:
        schemas: Avro schemas of its events as JSON text, oldest version first; the newest one is what is read.
        labels_schema: that of its labels, if it has any.
    """

    stream: Stream
    schemas: tuple[str, ...]
    labels_schema: str | None


@dataclass(frozen=True)
class Project:
    """What was found in a project's folder.

    Attributes:
        name: of the project; two of one name on the same servers are one.
        default: the stream that is meant where none is named; ``""`` where there are several and none is chosen.
        findings: everything that is wrong; a project with any cannot be run.
    """

    name: str
    folder: Path
    streams: Mapping[str, LoadedStream]
    default: str
    findings: tuple[Finding, ...]

    def refuse_faults(self) -> None:
        """Refuse to continue with a project that has faults.

        Raises:
            Refused: with a line for each.
        """
        if self.findings:
            raise Refused("\n".join(map(str, self.findings)))


def find_project(start: Path) -> Path | None:
    """Return the nearest folder with a ``weir.toml``, from a folder upwards."""
    return next((folder for folder in (start, *start.parents) if (folder / PROJECT_FILE).is_file()), None)


def load_project(folder: Path, *, retention_ms: int | None = None) -> Project:
    """Load and check every stream of a project.

    Args:
        folder: the one with ``weir.toml``.
        retention_ms: how long the log keeps events, where that is known.
    """
    settings, findings = _read_settings(folder / PROJECT_FILE)
    name = str(settings.get("name", folder.name))
    namespace = Namespace(name, str(settings.get("topic_prefix", f"{name}.")))
    loaded: list[LoadedStream] = []
    for path in sorted((folder / "streams").glob("[!_]*.py")):
        of_file, found = load_file(path, retention_ms=retention_ms)
        loaded += [replace(each, stream=replace(each.stream, namespace=namespace)) for each in of_file]
        findings += found
    where = Origin(str(folder / PROJECT_FILE), 1)
    if not loaded and not findings:
        findings.append(Finding(where, "project", f"expected a stream in {folder / 'streams'}/*.py, found none"))
    findings += _find_clashes([each.stream for each in loaded], is_pinned="topic_prefix" in settings)
    streams = {each.stream.name: each for each in loaded}
    default = str(settings.get("default", next(iter(streams)) if len(streams) == 1 else ""))
    if default and streams and default not in streams:
        findings.append(Finding(where, "default", f"expected a stream, found {default!r}{nearest(default, streams)}"))
    return Project(name, folder, streams, default, tuple(dict.fromkeys(findings)))


def find_stream(start: Path, name: str = "") -> Stream:
    """Return the stream of a name: of the project that a folder is in, or without one of those that are shipped.

    Args:
        start: the folder.
        name: ``""`` for the project's default, and without a project for the payments.

    Raises:
        Refused: there is none of that name, no default, or the project has faults.
    """
    streams, default = load_streams(start)
    return _pick(streams, name or default)


@dataclass(frozen=True)
class ServedStreams:
    """The streams that one process serves.

    Attributes:
        default: the name of the one that is meant where none is named; ``""`` where that is not known.
    """

    streams: tuple[Stream, ...]
    default: str


def load_gate_bounds(start: Path) -> GateBounds:
    """Return how far a model may go before it decides: of the project that a folder is in, else what is shipped.

    Raises:
        Refused: the project's file has faults.
    """
    return build_bounds(_load_settings(find_project(start)).get("gates", {}))


def find_retrain_config(start: Path) -> Path | None:
    """Return the file that says how the project that a folder is in trains its models again; None where none is named.

    Raises:
        Refused: the project's file has faults.
    """
    folder = find_project(start)
    named = _load_settings(folder).get("retrain_config")
    return None if folder is None or named is None else folder / str(named)


def _load_settings(folder: Path | None) -> dict[str, Any]:
    settings, findings = ({}, []) if folder is None else _read_settings(folder / PROJECT_FILE)
    if findings:
        raise Refused("\n".join(map(str, findings)))
    return settings


def find_streams(start: Path, names: Iterable[str] = ()) -> ServedStreams:
    """Return the streams to serve: of the project that a folder is in, or without one of those that are shipped.

    Args:
        start: the folder.
        names: none for every stream of the project, and without a project for the payments alone.

    Raises:
        Refused: there is none of that name, or the project has faults.
    """
    streams, default = load_streams(start)
    every = streams if find_project(start) else [default]
    chosen = tuple(_pick(streams, name) for name in dict.fromkeys(names or every))
    only = chosen[0].name if len(chosen) == 1 else ""
    return ServedStreams(chosen, only or (default if streams.get(default) in chosen else ""))


def load_streams(start: Path) -> tuple[Mapping[str, Stream], str]:
    """Return the streams that may be named in a folder, and the name of the default or ``""``.

    Raises:
        Refused: the project has faults.
    """
    folder = find_project(start)
    if folder is None:
        shipped = (load_shipped(each).stream for each in shipped_names())
        return {stream.name: stream for stream in shipped}, load_shipped("payments").stream.name
    project = load_project(folder)
    project.refuse_faults()
    return {each.stream.name: each.stream for each in project.streams.values()}, project.default


def _pick(streams: Mapping[str, Stream], name: str) -> Stream:
    if name not in streams:
        found = repr(name) if name else "no --stream and no default in weir.toml"
        hint = nearest(name, streams) or f"; there are {', '.join(streams)}"
        raise Refused(f"expected the name of a stream, found {found}{hint}")
    return streams[name]


def shipped_names() -> list[str]:
    """Return the names of the streams that are shipped, as ``weir init --like`` takes them."""
    return sorted(path.stem for path in SHIPPED.glob("[!_]*.py"))


def load_shipped(name: str) -> LoadedStream:
    """Return a stream that is shipped, with its schemas.

    Raises:
        Refused: there is none of that name.
    """
    if name not in shipped_names():
        raise Refused(f"expected a shipped stream, found {name!r}{nearest(name, shipped_names())}")
    (stream,) = _list_streams(vars(importlib.import_module(f"{__package__}.streams.{name}")))
    loaded, findings = _read_schemas(stream, (SHIPPED,))
    assert not findings, findings  # our own files
    return loaded


def load_file(path: Path, *, retention_ms: int | None = None) -> tuple[list[LoadedStream], list[Finding]]:
    """Run a stream file and check what it declares; see the module for what may be in it."""
    namespace, findings = _run(path)
    if findings:
        return [], findings
    streams = _list_streams(namespace)
    if not streams:
        fault = "expected a Stream at the top level of the file, found none"
        return [], [Finding(Origin(str(path), 1), path.name, fault)]
    loaded = []
    for stream in streams:
        each, found = _read_schemas(stream, (path.parent,))
        loaded.append(each)
        newest = each.schemas[-1] if each.schemas else None
        if newest is not None and not found:
            found = find_faults(stream, newest, each.labels_schema, retention_ms=retention_ms)
        findings += found
    return loaded, findings


def _run(path: Path) -> tuple[dict[str, Any], list[Finding]]:
    module = ModuleType(f"<stream {path}>")  # a name that no import statement can say
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # classes of the file look their module up
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # noqa: S102 # nosec B102 - the user's own
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's file may raise anything; it becomes a finding
        return {}, [_describe(path, error, vars(module))]
    finally:
        del sys.modules[module.__name__]
    return vars(module), []


def _describe(path: Path, error: BaseException, namespace: Mapping[str, Any]) -> Finding:
    if isinstance(error, SyntaxError):
        where, fault = Origin(str(path), error.lineno or 1), f"expected Python, found a syntax error: {error.msg}"
        return Finding(where, path.name, fault)
    own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    fault = f"expected a file that runs, found {type(error).__name__}: {error}{find_hint(error, namespace)}"
    return Finding(Origin(str(path), (own or [1])[-1] or 1), path.name, fault)


def _list_streams(namespace: Mapping[str, Any]) -> list[Stream]:
    found = {id(value): value for value in namespace.values() if isinstance(value, Stream)}
    return list(found.values())


def _read_schemas(stream: Stream, folders: Iterable[Path]) -> tuple[LoadedStream, list[Finding]]:
    findings: list[Finding] = []
    events = tuple(_read_versions(stream.schema, stream.where, folders, findings))
    labels = list(_read_versions(stream.labels.schema, stream.labels.where, folders, findings)) if stream.labels else []
    return LoadedStream(stream, events, labels[-1] if labels else None), findings


def _read_versions(name: str, where: Origin, folders: Iterable[Path], findings: list[Finding]) -> Iterator[str]:
    """Yield ``clicks.avsc``, or ``clicks.v1.avsc``, ``clicks.v2.avsc`` and so on, in one compact form."""
    paths = next((found for folder in folders if (found := find_versions(folder, name))), [])
    if not paths:
        there = [path.name for folder in folders for path in folder.glob("*.avsc")]
        findings.append(
            Finding(where, f"schema {name}", f"expected {name} next to it, found none{nearest(name, there)}")
        )
    for path in paths:
        try:
            schema = json.loads(path.read_bytes())
            fastavro.parse_schema(schema)
        except json.JSONDecodeError as error:
            fault = f"expected JSON, found: {error.msg.lower()}"
            findings.append(Finding(Origin(str(path), error.lineno), path.name, fault))
        except (fastavro.schema.SchemaParseException, ValueError, TypeError, KeyError, AttributeError) as error:
            fault = f"expected an Avro schema, found {type(error).__name__}: {error}"
            findings.append(Finding(Origin(str(path), 1), path.name, fault))
        else:
            yield json.dumps(schema, separators=(",", ":"))


def _find_clashes(streams: list[Stream], *, is_pinned: bool) -> Iterator[Finding]:
    """Two streams of one name, or of one topic, would read and write each other's records."""
    first: dict[str, Stream] = {}
    # a prefix that somebody chose may name the topics of a shipped stream on purpose
    shipped = [] if is_pinned else [load_shipped(name).stream for name in shipped_names()]
    topics = {_as_metric(topic): stream for stream in shipped for topic in stream.topics}
    for stream in streams:
        other = first.setdefault(stream.name, stream)
        if other is not stream:
            fault = f"expected one stream of this name, found another at {other.where.file}:{other.where.line}"
            yield Finding(stream.where, f"stream {stream.name}", fault)
            continue
        for topic in stream.topics:
            if (owner := topics.setdefault(_as_metric(topic), stream)) is not stream:
                is_same = topic in owner.topics
                how = "which is a topic of" if is_same else "which brokers cannot tell in metrics from a topic of"
                fault = f"expected topics of its own, found {topic!r}, {how} {owner.full_name}"
                yield Finding(stream.where, f"stream {stream.name}", fault)


def _as_metric(topic: str) -> str:
    """Return the name of a topic in a broker's metrics; a broker refuses a second topic of the same one."""
    return topic.replace(".", "_")


def _read_settings(path: Path) -> tuple[dict[str, Any], list[Finding]]:
    try:
        text = path.read_text(encoding="utf-8")
        settings = tomllib.loads(text)
    except OSError as error:
        fault = f"expected a project with a {PROJECT_FILE}, found: {(error.strerror or str(error)).lower()}"
        return {}, [Finding(Origin(str(path), 1), "project", fault)]
    except ValueError as error:  # not TOML, or not UTF-8
        line = _LINE.search(str(error))
        return {}, [
            Finding(Origin(str(path), int(line[1]) if line else 1), "project", f"expected TOML, found: {error}")
        ]
    faults = dict(_find_setting_faults(settings, path.parent.name))
    return settings, [Finding(Origin(str(path), _line_of(text, key)), key, fault) for key, fault in faults.items()]


def _find_setting_faults(settings: Mapping[str, Any], folder_name: str) -> Iterator[tuple[str, str]]:
    for key in sorted(set(settings) - _KEYS):
        yield key, f"expected a setting of a project, found {key!r}{nearest(key, _KEYS)}"
    name, prefix = settings.get("name", folder_name), settings.get("topic_prefix", "")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        yield "name", f"expected a name of at most 64 of a-z, 0-9, _ and -, a letter first, found {name!r:.80}"
    if not (isinstance(prefix, str) and _TOPIC_PREFIX.fullmatch(prefix)):
        yield "topic_prefix", f"expected at most 64 letters, digits, dots, dashes and underscores, found {prefix!r:.80}"
    config = settings.get("retrain_config", "train.yaml")
    if not (isinstance(config, str) and config):
        yield "retrain_config", f"expected the path of a training config in this folder, found {config!r:.80}"
    for fault in find_bound_faults(settings.get("gates", {})):
        yield "gates", fault


def _line_of(text: str, key: str) -> int:
    """Return the line of a setting, or the first one where the setting is not written down."""
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if re.match(rf'\s*"?{re.escape(key)}"?\s*[=.\]]', line)), 1)
