"""Finds rules, lists and thresholds by the versions that a decision names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from weir.archive.in_force.given import Given
from weir.archive.in_force.versions import OF_FILE, KeptVersion, Versions
from weir.inference.bundle import load_lists
from weir.inference.core.lists import Lists, ListsBuilder, parse_lists
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable, read_thresholds
from weir.inference.published.act import VERSION_DIGITS
from weir.inference.published.content import apply_change, read_json
from weir.inference.rule_sets import read_rules, rules_of
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged, Refused

_NONE = "none"


class NotKept(Damaged):
    """A version is neither in the archive nor here."""


class VersionFinder:
    """Finds for one stream: in the archive, then here where that very version is here."""

    def __init__(self, settings: Settings, versions: Versions, given: Given, rules_version: str) -> None:
        """Bind to this home and stream.

        Args:
            settings: of both.
            versions: of the stream, that are kept.
            given: files that are used instead, whatever their version is.
            rules_version: of the decision.
        """
        self._given = given
        self._rules_version = rules_version
        self._settings = settings
        self._stream = settings.stream
        self._versions = versions

    def find_rules(self, version: str) -> list[RuleSet]:
        """Return the rules of a version.

        Raises:
            NotKept: there are none.
            Damaged: what was kept cannot be used.
        """
        if self._given.rules:
            return [self._given.read_rules(self._stream)]
        found = [self._read_rules(kept) for kept in self._versions.find("rules", version)]
        declared = rules_of(self._stream)
        here = [declared] if declared.version == version else []
        nothing = [RuleSet()] if version == _NONE else []
        by_digest = {each.digest: each for each in [*found, *here, *nothing]}
        if not by_digest:
            raise self._missing("rules", version, "ask in the project that declared them")
        return list(by_digest.values())

    def find_lists(self, version: str) -> Iterator[Lists]:
        """Yield the lists of a version, the kept ones first.

        Raises:
            NotKept: there are none.
            Damaged: what was kept cannot be used.
        """
        if self._given.lists:
            yield self._given.read_lists(self._settings)
            return
        count = 0
        for kept in self._versions.find("lists", version):
            yield self._read_lists(kept)
            count += 1
        here = self._lists_here()
        if here is not None and here.version == version:
            yield here
        elif version == _NONE:
            yield Lists()
        elif not count:
            raise self._missing("lists", version, f"put the lists file of then at {self._settings.lists_path}")

    def find_thresholds(self, version: str | None) -> list[ThresholdTable | None]:
        """Return the published thresholds of a version; nothing instead of the model's own where none is named.

        Raises:
            NotKept: there are none.
            Damaged: what was kept cannot be used.
        """
        if self._given.thresholds:
            return [self._given.read_thresholds(self._stream, self._rules_version)]
        if version is None:
            return [None]
        found = [self._read_thresholds(kept) for kept in self._versions.find("thresholds", version)]
        if not found:
            raise self._missing("thresholds", version, "put a copy of the archive back that has them")
        return [*found]

    def _read_rules(self, kept: KeptVersion) -> RuleSet:
        try:
            found = read_rules("".join(self._versions.read_texts(kept)), self._stream, f"version {kept.version}")
        except Refused as error:
            raise _unusable(kept, error) from None
        if kept.version not in {found.version, kept.content[:VERSION_DIGITS]}:
            raise Damaged(
                f"expected the kept rules {kept.version} to read as that version, found {found.version}: the file is "
                "not what decided, or another release reads it otherwise; ask with the release that decided"
            )
        return replace(found, version=kept.version)

    def _read_lists(self, kept: KeptVersion) -> Lists:
        try:
            found = self._read_lists_file(kept) if kept.source == OF_FILE else self._build_lists(kept)
        except (Refused, ValueError) as error:
            raise _unusable(kept, error) from None
        if found.version != kept.version:
            raise Damaged(f"expected the kept lists {kept.version} to be of that version, found {found.version}")
        return found

    def _read_lists_file(self, kept: KeptVersion) -> Lists:
        return parse_lists(json.loads("".join(self._versions.read_texts(kept))), tuple(self._stream.id_field_of))

    def _build_lists(self, kept: KeptVersion) -> Lists:
        builder = ListsBuilder(tuple(self._stream.id_field_of))
        for step in self._versions.read_steps(kept):
            for text in self._versions.read_texts(step):
                document = read_json(text, "lists")
                if step.parent:
                    apply_change(builder, document)
                else:
                    builder.add(document)
        return builder.build(kept.version)

    def _read_thresholds(self, kept: KeptVersion) -> ThresholdTable:
        text = "".join(self._versions.read_texts(kept))
        try:
            return read_thresholds(read_json(text, "thresholds"), self._stream, kept.version)
        except Refused as error:
            raise _unusable(kept, error) from None

    def _lists_here(self) -> Lists | None:
        try:
            return load_lists(self._settings)
        except Refused:  # a file that is broken now decided nothing then
            return None

    def _missing(self, kind: str, version: str, other: str) -> NotKept:
        topic = self._settings.topics.of(self._stream).published
        return NotKept(
            f"expected {kind} {version}, by which it was decided, in the archive, found none; run `weir archive` where "
            f"{topic} still is, give the file of then with --{kind}, or {other}, and ask again"
        )


def _unusable(kept: KeptVersion, error: Exception) -> Damaged:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return Damaged(
        f"the kept {kept.kind} {kept.version} cannot be used here: {first}; ask with the release and the project that "
        "decided"
    )
