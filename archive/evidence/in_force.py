"""What decided then: the bundle from the archive or from this home, and the rules and lists of this home.

A bundle is found by the name and version in the decision. Rules, lists and thresholds are those of the code and the
home that run now, or are given; a decision says which were in force by ``rules_version``, so another version shows.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from weir.archive.evidence.again import DecidedBy
from weir.archive.evidence.given import Given
from weir.archive.keeping import find_folders
from weir.archive.objects import Objects
from weir.inference.bundle import Bundle, champion_path, load_bundle, read_manifest, stand_for_none
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged, Refused

_NO_MODEL = "none"


def list_in_force(settings: Settings, objects: Objects, recorded: dict[str, Any], given: Given) -> list[DecidedBy]:
    """Return what may have decided: as a rule one; more where a model's name and version were used twice.

    Args:
        settings: of this home and the decision's stream.
        objects: of the archive.
        recorded: the decision.
        given: what was published then.

    Raises:
        Refused: a file that is given has a fault.
        Damaged: nothing that decided is left, or none of it can be used; the message names the fix.
    """
    name, version, declares = (recorded[each] for each in ("model_name", "model_version", "declarations_hash"))
    if name == _NO_MODEL:
        none = stand_for_none(champion_path(settings), declarations_hash=declares, stream=settings.stream)
        return [_complete(settings, none, recorded, given)]
    found = [*_load_kept(settings, objects, name, version), *_load_here(settings, name, version)]
    if not found:
        raise Damaged(
            f"expected the bundle of model {name} {version} in the archive, found none; put its folder into "
            f"{settings.models_dir} and ask again: `weir archive` keeps it from the next decision on"
        )
    bundles = {each.manifest.model_dump_json(): each for each in found}.values()
    return [_complete(settings, bundle, recorded, given) for bundle in bundles]


def _complete(settings: Settings, bundle: Bundle, recorded: dict[str, Any], given: Given) -> DecidedBy:
    stream = settings.stream
    thresholds = given.read_thresholds(stream, recorded["rules_version"])
    return DecidedBy(bundle, given.read_lists(settings), given.read_rules(stream), thresholds)


def _load_kept(settings: Settings, objects: Objects, name: str, version: str) -> list[Bundle]:
    loaded = []
    for kept in objects.find_bundles(name, version):
        with tempfile.TemporaryDirectory(prefix="weir-evidence-") as folder:
            objects.write_bundle(kept, Path(folder))
            loaded.append(_load(settings, Path(folder)))
    return loaded


def _load_here(settings: Settings, name: str, version: str) -> list[Bundle]:
    return [
        _load(settings, folder)
        for folder in find_folders([champion_path(settings), settings.models_dir], name, version)
    ]


def _load(settings: Settings, folder: Path) -> Bundle:
    """Load a bundle for the declarations that it was trained on, which need not be those of now.

    Raises:
        Damaged: this code no longer declares its features.
    """
    stream = settings.stream
    try:
        declares = read_manifest(folder, folder, stream).declarations_hash
        return load_bundle(folder, stream=stream, declarations_hash=declares)
    except Refused as error:
        raise Damaged(f"{error}; ask with the release and the project that decided") from None
