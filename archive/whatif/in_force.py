"""What was in force, as far as it can be found: by the versions that each decision carries.

Rules and lists are those of this project and home where their version is the one that was recorded, else the published
ones of that version; thresholds are the published ones, else those of the model's bundle, from the archive or from this
home. Versions are asked for once each, and the brokers only for what is nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from weir.archive.keeping import find_folders
from weir.archive.objects import Objects
from weir.archive.whatif.again import NO_MODEL_NAME, Deciding
from weir.inference.bundle import Manifest, champion_path, load_lists, read_manifest
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable
from weir.inference.published.act import Kind
from weir.inference.published.follow import SHOW_SECONDS_MAX, Published
from weir.inference.rule_sets import read_rules, rules_of
from weir.infra.kafka.bounded_call import call_bounded
from weir.infra.settings import Settings
from weir.schemas.errors import Refused, Transient

_VERSION: Final = re.compile(r"(?P<rules>.*?)(\+lists-(?P<lists>.*?))?(\+thresholds-(?P<thresholds>.*))?")
_NONE: Final = "none"


class Versions(NamedTuple):
    """What a decision says of what decided it.

    Attributes:
        rules_version: of rules, lists and published thresholds together.
    """

    model_name: str
    model_version: str
    rules_version: str


class Split(NamedTuple):
    """The parts of a ``rules_version``.

    Attributes:
        thresholds: empty where none were published.
    """

    rules: str
    lists: str
    thresholds: str


def split_version(rules_version: str) -> Split:
    """Return the parts of what ``build_rules_version`` put together.

    >>> split_version("1+lists-a+thresholds-b")
    Split(rules='1', lists='a', thresholds='b')
    >>> split_version("none")
    Split(rules='none', lists='none', thresholds='')
    """
    found = _VERSION.fullmatch(rules_version)
    parts = found.groupdict() if found else {}
    return Split(parts.get("rules") or _NONE, parts.get("lists") or _NONE, parts.get("thresholds") or "")


@dataclass(frozen=True)
class Found:
    """What decided then; ``None`` is what cannot be found.

    Attributes:
        cuts: review and decline thresholds of every bundle of the model's name and version, as a rule of one; none are
            needed without a model or next to published thresholds.
    """

    rules: RuleSet | None
    lists: Lists | None
    thresholds: ThresholdTable | None
    cuts: tuple[tuple[float, float], ...]
    missing: tuple[str, ...] = ()

    def complete(self, change: Change) -> list[Deciding]:
        """Return what decides with a change; nothing where a part is neither given nor found."""
        rules, lists = change.rules or self.rules, change.lists or self.lists
        if rules is None or lists is None:
            return []
        thresholds = change.thresholds or self.thresholds
        if thresholds is not None:
            return [Deciding(rules, lists, thresholds)]
        return [Deciding(rules, lists, None, *cut) for cut in self.cuts]


@dataclass(frozen=True)
class Change:
    """What is tried instead of what was in force; ``None`` changes nothing."""

    rules: RuleSet | None = None
    lists: Lists | None = None
    thresholds: ThresholdTable | None = None


class Finder:
    """Finds what decided, by version."""

    def __init__(self, settings: Settings, objects: Objects) -> None:
        """Bind to this home and to what an archive keeps."""
        self._settings = settings
        self._objects = objects
        self._found: dict[Versions, Found] = {}

    def find(self, versions: Versions) -> Found:
        """Return what was in force.

        Raises:
            Damaged: the archive's manifest of the model is not what was kept.
            Refused: the lists file of this home is none.
        """
        if versions not in self._found:
            self._found[versions] = self._find(versions)
        return self._found[versions]

    def _find(self, versions: Versions) -> Found:
        split = split_version(versions.rules_version)
        rules, lists = self._find_rules(split.rules), self._find_lists(split.lists)
        thresholds = self._find_published("thresholds", split.thresholds) if split.thresholds else None
        cuts = () if split.thresholds else tuple(dict.fromkeys(self._find_cuts(versions)))
        missing = [f"rules {split.rules}"] * (rules is None) + [f"lists {split.lists}"] * (lists is None)
        missing += [f"thresholds {split.thresholds}"] * bool(split.thresholds and thresholds is None)
        missing += [f"the bundle of model {versions.model_name} {versions.model_version}"] * (
            not split.thresholds and not cuts
        )
        return Found(rules, lists, thresholds, cuts, tuple(missing))

    def _find_rules(self, version: str) -> RuleSet | None:
        declared = rules_of(self._settings.stream)
        if declared.version == version:
            return declared
        return RuleSet() if version == _NONE else self._find_published("rules", version)

    def _find_lists(self, version: str) -> Lists | None:
        if version == _NONE:
            return Lists()
        here = load_lists(self._settings)
        return here if here.version == version else self._find_published("lists", version)

    def _find_published(self, kind: Kind, version: str) -> Any:
        published = self._published
        if published is None:
            return None
        try:
            content = published.log.find(kind, version)
            if published.log.version(kind, content) != version:
                return None
            return published.contents.build(kind, published.log.steps(kind, content))
        except (KeyError, Refused, Transient):  # not published here, or no longer readable
            return None

    @cached_property
    def _published(self) -> Published | None:
        """What is published of the stream; None where no broker answers."""
        published = Published(self._settings, read_rules)
        try:
            call_bounded(published.look, SHOW_SECONDS_MAX)
        except (Transient, TimeoutError):
            return None
        return published

    def _find_cuts(self, versions: Versions) -> Iterator[tuple[float, float]]:
        name, version, _ = versions
        if name == NO_MODEL_NAME:
            yield 1.0, 1.0  # its scores are no numbers, so nothing is held against it
            return
        for manifest in self._list_manifests(name, version):
            yield manifest.thresholds.review, manifest.thresholds.decline

    def _list_manifests(self, name: str, version: str) -> Iterator[Manifest]:
        for kept in self._objects.find_bundles(name, version):
            try:
                yield Manifest.model_validate_json(kept.manifest)
            except ValidationError:
                continue
        here = find_folders([champion_path(self._settings), self._settings.models_dir], name, version)
        for folder in here:
            yield read_manifest(folder, folder, self._settings.stream)
