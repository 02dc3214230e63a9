"""Which archive a Feast repository reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weir.archive.place import Place
from weir.archive.run import find_root
from weir.infra.settings import load_settings


def find_place(config: Any) -> Place:
    """Return the root of the archive that a repository's configuration names, or else that of the settings.

    Args:
        config: of the repository; ``archive`` of its offline store is a URL, or a folder as seen from the repository.

    Raises:
        Refused: a setting is wrong.
    """
    settings, named = load_settings(), config.offline_store.archive
    if named and "://" not in named:
        named = str(Path(config.repo_path or ".") / named)
    return find_root(settings, named)
