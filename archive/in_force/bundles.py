"""The bundles of a model by its name and version: those that the archive keeps, and those of this home."""

from __future__ import annotations

import tempfile
from pathlib import Path

from weir.archive.keeping import find_folders
from weir.archive.objects import Objects
from weir.inference.bundle import Bundle, champion_path, load_bundle, read_manifest
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged, Refused


def load_bundles(settings: Settings, objects: Objects, name: str, version: str) -> list[Bundle]:
    """Return every bundle that was called so: as a rule one, none where it is nowhere.

    Raises:
        Damaged: one is not what was kept, or this code no longer declares its features.
        Transient: the store cannot be read.
    """
    found = []
    for kept in objects.find_bundles(name, version):
        with tempfile.TemporaryDirectory(prefix="weir-bundle-") as folder:
            objects.write_bundle(kept, Path(folder))
            found.append(_load(settings, Path(folder)))
    here = find_folders([champion_path(settings), settings.models_dir], name, version)
    found += [_load(settings, folder) for folder in here]
    return list({each.manifest.model_dump_json(): each for each in found}.values())


def _load(settings: Settings, folder: Path) -> Bundle:
    """Load a bundle for the declarations that it was trained on, which need not be those of now."""
    stream = settings.stream
    try:
        declares = read_manifest(folder, folder, stream).declarations_hash
        return load_bundle(folder, stream=stream, declarations_hash=declares)
    except Refused as error:
        raise Damaged(f"{error}; ask with the release and the project that decided") from None
