"""From the acts of a content to what decides: rules, lists, thresholds or a model of a stream. No I/O of its own.

A text is checked as a whole before anything of it is in force: against the stream's declarations, and against its
bounds. It is data, read as JSON or as rules, and never run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from weir.inference.bundle import Bundle
from weir.inference.canary import Canary
from weir.inference.core.lists import Lists, ListsBuilder, split_lists
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable, read_thresholds
from weir.inference.published.act import ALIASES, NONE, TEXT_BYTES_MAX, Act, HasText, Kind, Logged
from weir.inference.published.canary_text import parse_canary
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream

PART_ENTRIES = 10_000
"""Of a long list: a part is read in some 3 ms, so a loop that decides in the same process is not held up."""
ReadParts = Callable[[HasText], Iterable[str]]
ReadRules = Callable[[str, Stream, str], RuleSet]
"""Reads the text of rules for a stream; the name is for messages. Raises ``Refused`` with every fault."""
ReadModel = Callable[[str], Bundle]
"""Finds and loads the bundle of a manifest. Raises ``Refused`` for one that cannot be used here."""


@dataclass(frozen=True)
class Standing:
    """What is in force of what is published; ``None`` where nothing of a kind is.

    Attributes:
        contents: content hash by kind, ``none`` where there is none.
    """

    contents: tuple[tuple[Kind, str], ...] = ()
    rules: RuleSet | None = None
    lists: Lists | None = None
    thresholds: ThresholdTable | None = None
    champion: Bundle | None = None
    shadow: Bundle | None = None
    canary: Canary | None = None

    def content(self, kind: Kind) -> str:
        """Return the content hash in force of a kind."""
        return dict(self.contents).get(kind, NONE)

    def put(self, kind: Kind, content: str, value: Any) -> Standing:
        """Return what is in force with another content of one kind."""
        contents = tuple((dict(self.contents) | {kind: content}).items())
        return replace(self, contents=contents, **{kind: value})


class ContentReader:
    """Builds contents for one stream."""

    def __init__(self, stream: Stream, read_parts: ReadParts, read_rules: ReadRules, read_model: ReadModel) -> None:
        """Bind to a stream, to where long texts are, and to what reads rules and models."""
        self._stream = stream
        self._read_parts = read_parts
        self._read_rules = read_rules
        self._read_model = read_model
        self._last = Lists()
        self._last_hash = NONE

    def build(self, kind: Kind, steps: Sequence[Logged]) -> RuleSet | Lists | ThresholdTable | Bundle | Canary:
        """Return what the steps of a content make.

        Args:
            kind: of the content.
            steps: from ``PublishedLog.steps``.

        Raises:
            Refused: a text is not right, or is no longer there.
            Transient: its parts could not be read just now.
        """
        if kind == "lists":
            return self._build_lists([step.act for step in steps])
        act = steps[-1].act
        if kind == "canary":
            found = parse_canary("".join(self.texts(act)))
            return Canary(self._read_model(found.manifest), found.share, found.seed)
        if kind in ALIASES:
            return self._read_model("".join(self.texts(act)))
        return parse_text(kind, "".join(self.texts(act)), self._stream, self._read_rules, version=act.version)

    def texts(self, act: HasText) -> Iterator[str]:
        """Yield the text of an act or a proposal, in parts.

        Raises:
            Refused: it is no longer there, or is not what was published.
            Transient: it could not be read just now.
        """
        yield from [act.text] if act.text is not None else self._read_parts(act)

    def _build_lists(self, acts: Sequence[Act]) -> Lists:
        entities = tuple(self._stream.id_field_of)
        known = [place for place, act in enumerate(acts) if act.hash == self._last_hash]
        builder = ListsBuilder.from_lists(self._last, entities) if known else ListsBuilder(entities)
        for act in acts[known[-1] + 1 :] if known else acts:
            for text in self.texts(act):
                document = read_json(text, "lists")
                if act.action == "publish":
                    builder.add(document)
                else:
                    apply_change(builder, document)
        self._last, self._last_hash = builder.build(acts[-1].version), acts[-1].hash
        return self._last


def parse_text(
    kind: Kind, text: str, stream: Stream, read_rules: ReadRules, *, version: str, name: str = ""
) -> RuleSet | ThresholdTable:
    """Read the text of rules or thresholds.

    Args:
        kind: which of the two.
        text: as it is published.
        stream: for whose events it decides.
        read_rules: reads the text of rules.
        version: of its act; rules without one have their own.
        name: of its file, for messages.

    Raises:
        Refused: it is not right.
    """
    if len(text) > TEXT_BYTES_MAX:
        raise Refused(f"{kind}: expected at most {TEXT_BYTES_MAX:,} characters, found {len(text):,}")
    if kind == "thresholds":
        return read_thresholds(read_json(text, kind), stream, version)
    found = read_rules(text, stream, name or f"version {version}")
    # the version is that of its act, by whichever release it is read
    return replace(found, version=version) if version else found


def read_json(text: str, what: str) -> Any:
    """Return a JSON text's value.

    Raises:
        Refused: it is none.
    """
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise Refused(f"{what}: expected JSON, found {str(error)[:120]}") from None


def write_json(value: Any) -> str:
    """Return a value as JSON, always the same for the same value."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def write_lists(lists: Lists) -> list[str]:
    """Return the parts of the lists' text; at least one."""
    return [write_json(document) for document in split_lists(lists, entries_max=PART_ENTRIES)] or ["{}"]


def change_lists(lists: Lists, document: Any, entities: Iterable[str]) -> Lists:
    """Return what a change makes of lists; they keep their version.

    Args:
        lists: before it.
        document: see ``apply_change``.
        entities: of the stream.

    Raises:
        Refused: it is not right, or they become too long.
    """
    builder = ListsBuilder.from_lists(lists, tuple(entities))
    apply_change(builder, document)
    return builder.build(lists.version)


def apply_change(builder: ListsBuilder, document: Any) -> None:
    """Change lists by what a change holds: ``{"remove": {...}, "add": {...}}``, each of them a document of lists.

    Raises:
        Refused: wrong shape.
    """
    if not isinstance(document, dict) or not set(document) <= {"add", "remove"}:
        raise Refused("lists: expected a change with add and remove, found another shape")
    builder.remove(document.get("remove", {})).add(document.get("add", {}))
