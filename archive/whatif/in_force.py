"""What was in force, as far as it can be found: by the versions that each decision carries.

Rules, lists and published thresholds are those that the archive keeps, else those of this home where they have that
version; a model's thresholds are in its bundle, from the archive or from this home. Each version is looked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from weir.archive.in_force import versions as kept_versions
from weir.archive.in_force.given import Given
from weir.archive.in_force.named import NotKept, VersionFinder
from weir.archive.keeping import find_folders
from weir.archive.objects import Objects
from weir.archive.whatif.again import NO_MODEL_NAME, Deciding
from weir.inference.bundle import Bundle, Manifest, champion_path, read_manifest
from weir.inference.core.decisions import NamedVersions, split_rules_version
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable
from weir.infra.settings import Settings

_T = TypeVar("_T")


class Versions(NamedTuple):
    """What a decision says of what decided it.

    Attributes:
        rules_version: of rules, lists and published thresholds together.
    """

    model_name: str
    model_version: str
    rules_version: str


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
        model = change.model
        cuts = ((model.review_threshold, model.decline_threshold),) if model else self.cuts
        return [Deciding(rules, lists, None, *cut) for cut in cuts]


@dataclass(frozen=True)
class Change:
    """What is tried instead of what was in force; ``None`` changes nothing."""

    rules: RuleSet | None = None
    lists: Lists | None = None
    thresholds: ThresholdTable | None = None
    model: Bundle | None = None


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
            Damaged: what was kept cannot be used.
        """
        if versions not in self._found:
            self._found[versions] = self._find(versions)
        return self._found[versions]

    def _find(self, versions: Versions) -> Found:
        named = split_rules_version(versions.rules_version)
        if not named:
            return Found(None, None, None, (), (f"what {versions.rules_version} names",))
        found = [self._find_named(versions, each) for each in named]
        return min(found, key=lambda each: len(each.missing))  # a text that can be read in two ways was meant in one

    def _find_named(self, versions: Versions, named: NamedVersions) -> Found:
        topic = self._settings.topics.of(self._settings.stream).published
        kept = kept_versions.Versions(self._objects, topic)
        finder = VersionFinder(self._settings, kept, Given(), versions.rules_version)
        rules, lists = _first(lambda: finder.find_rules(named.rules)), _first(lambda: finder.find_lists(named.lists))
        thresholds = _first(lambda: finder.find_thresholds(named.thresholds))
        is_own = named.thresholds is None
        cuts = tuple(dict.fromkeys(self._find_cuts(versions))) if is_own else ()
        missing = [f"rules {named.rules}"] * (rules is None) + [f"lists {named.lists}"] * (lists is None)
        missing += [f"thresholds {named.thresholds}"] * (not is_own and thresholds is None)
        missing += [f"the bundle of model {versions.model_name} {versions.model_version}"] * (is_own and not cuts)
        return Found(rules, lists, thresholds, cuts, tuple(missing))

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


def _first(find: Callable[[], Iterable[_T]]) -> _T | None:
    """Return the first that is found; None where nothing of that version is kept."""
    try:
        return next(iter(find()), None)
    except NotKept:
        return None
