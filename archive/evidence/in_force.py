"""What decided then: the bundle, and the rules, lists and thresholds of the very versions that a decision names.

A bundle is found by its name and version, everything else by ``rules_version``: in the archive first, then in this home
and the declaration where they have that version. Another version that is in force now is never used in its place.
A shadow decided nothing: where its bundle is not left, that is said, and the decision is made again without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from weir.archive.evidence.again import DecidedBy
from weir.archive.in_force.bundles import load_bundles
from weir.archive.in_force.given import Given
from weir.archive.in_force.named import NotKept, VersionFinder
from weir.archive.in_force.versions import Versions
from weir.archive.objects import Objects
from weir.inference.bundle import Bundle, champion_path, stand_for_none
from weir.inference.core.decisions import NamedVersions, split_rules_version
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged

_NO_MODEL = "none"


class _Models(NamedTuple):
    """The bundles that a decision names; ``why_no_shadow`` as in ``DecidedBy``."""

    deciding: list[Bundle]
    shadows: list[Bundle | None]
    why_no_shadow: str


def list_in_force(settings: Settings, objects: Objects, recorded: dict[str, Any], given: Given) -> Iterator[DecidedBy]:
    """Yield what may have decided: as a rule one; more where a name and version were used twice.

    Args:
        settings: of this home and the decision's stream.
        objects: of the archive.
        recorded: the decision; of a sample, at least what names models and versions.
        given: files of then, each used instead of what the decision names.

    Raises:
        Refused: a file that is given has a fault.
        Damaged: something that decided is not left, or cannot be used; the message names the fix.
    """
    models = _Models(_list_bundles(settings, objects, recorded), *_list_shadows(settings, objects, recorded))
    topics = settings.topics.of(settings.stream)
    finder = VersionFinder(settings, Versions(objects, topics.published), given, recorded["rules_version"])
    fault: NotKept | None = None
    found = False
    for named in split_rules_version(recorded["rules_version"]):
        try:
            for each in _combine(finder, named, models):
                found = True
                yield each
        except NotKept as error:  # where the text can be read in two ways, one of them was meant
            fault = fault or error
    if not found:
        raise fault or Damaged(
            "expected a rules_version such as 1+lists-a+thresholds-b in the decision, found another text; ask with the "
            "release that decided"
        )


def _combine(finder: VersionFinder, named: NamedVersions, models: _Models) -> Iterator[DecidedBy]:
    rules, thresholds = finder.find_rules(named.rules), finder.find_thresholds(named.thresholds)
    for lists in finder.find_lists(named.lists):  # the largest: one is in memory at a time
        for bundle, rule_set, table, shadow in product(models.deciding, rules, thresholds, models.shadows):
            yield DecidedBy(bundle, lists, rule_set, table, shadow, models.why_no_shadow)


def _list_bundles(settings: Settings, objects: Objects, recorded: dict[str, Any]) -> list[Bundle]:
    name, version, declares = (recorded[each] for each in ("model_name", "model_version", "declarations_hash"))
    if name == _NO_MODEL:
        return [stand_for_none(champion_path(settings), declarations_hash=declares, stream=settings.stream)]
    return _find_bundles(settings, objects, name, version)


def _list_shadows(settings: Settings, objects: Objects, recorded: dict[str, Any]) -> tuple[list[Bundle | None], str]:
    """Return the shadow that a decision names, and why there is none where it names one."""
    name, version = recorded["shadow_model_name"], recorded["shadow_model_version"]
    if name is None:
        return [None], ""
    try:
        return [*_find_bundles(settings, objects, name, version)], ""
    except Damaged as error:
        return [None], str(error)


def _find_bundles(settings: Settings, objects: Objects, name: str, version: str) -> list[Bundle]:
    found = load_bundles(settings, objects, name, version)
    if not found:
        raise Damaged(
            f"expected the bundle of model {name} {version} in the archive, found none; put its folder into "
            f"{settings.models_dir} and ask again: `weir archive` keeps it from the next decision on"
        )
    return found
