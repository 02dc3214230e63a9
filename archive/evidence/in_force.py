"""What decided then: the bundle, and the rules, lists and thresholds of the very versions that a decision names.

A bundle is found by its name and version, everything else by ``rules_version``: in the archive first, then in this home
and the declaration where they have that version. Another version that is in force now is never used in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

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


def list_in_force(settings: Settings, objects: Objects, recorded: dict[str, Any], given: Given) -> Iterator[DecidedBy]:
    """Yield what may have decided: as a rule one; more where a name and version were used twice.

    Args:
        settings: of this home and the decision's stream.
        objects: of the archive.
        recorded: the decision.
        given: files of then, each used instead of what the decision names.

    Raises:
        Refused: a file that is given has a fault.
        Damaged: something that decided is not left, or cannot be used; the message names the fix.
    """
    bundles = _list_bundles(settings, objects, recorded)
    topics = settings.topics.of(settings.stream)
    finder = VersionFinder(settings, Versions(objects, topics.published), given, recorded["rules_version"])
    fault: NotKept | None = None
    found = False
    for named in split_rules_version(recorded["rules_version"]):
        try:
            for each in _combine(finder, named, bundles):
                found = True
                yield each
        except NotKept as error:  # where the text can be read in two ways, one of them was meant
            fault = fault or error
    if not found:
        raise fault or Damaged(
            "expected a rules_version such as 1+lists-a+thresholds-b in the decision, found another text; ask with the "
            "release that decided"
        )


def _combine(finder: VersionFinder, named: NamedVersions, bundles: list[Bundle]) -> Iterator[DecidedBy]:
    rules, thresholds = finder.find_rules(named.rules), finder.find_thresholds(named.thresholds)
    for lists in finder.find_lists(named.lists):  # the largest: one is in memory at a time
        for bundle, rule_set, table in product(bundles, rules, thresholds):
            yield DecidedBy(bundle, lists, rule_set, table)


def _list_bundles(settings: Settings, objects: Objects, recorded: dict[str, Any]) -> list[Bundle]:
    name, version, declares = (recorded[each] for each in ("model_name", "model_version", "declarations_hash"))
    if name == _NO_MODEL:
        return [stand_for_none(champion_path(settings), declarations_hash=declares, stream=settings.stream)]
    found = load_bundles(settings, objects, name, version)
    if not found:
        raise Damaged(
            f"expected the bundle of model {name} {version} in the archive, found none; put its folder into "
            f"{settings.models_dir} and ask again: `weir archive` keeps it from the next decision on"
        )
    return found
