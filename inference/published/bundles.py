"""The bundles of a stream on this host, and those that were published, by the names that people have for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from weir.inference.bundle import Bundle, Manifest, champion_path, load_bundle
from weir.inference.model_store import (
    MANIFEST_FILE,
    find_bundle,
    hash_manifest,
    list_folders,
    load_published,
    parse_manifest,
)
from weir.inference.published.act import ALIASES, NONE, Alias
from weir.inference.published.canary_text import manifest_of
from weir.inference.published.publish import Publisher
from weir.infra.settings import Settings
from weir.schemas.errors import Refused

_PREFIX_MIN = 4


@dataclass(frozen=True)
class Listed:
    """A bundle that is here or was published.

    Attributes:
        content: the hash of its manifest.
        text: of its manifest.
        folder: that it is in; None where it is not on this host.
        roles: what it is now, such as ``champion``.
    """

    content: str
    text: str
    manifest: Manifest
    folder: Path | None
    roles: tuple[str, ...] = field(default=())


def list_here(models_dir: Path) -> Iterator[Listed]:
    """Yield the bundles of a folder; what is no bundle is left out."""
    for folder in list_folders(models_dir):
        try:
            yield read_folder(folder)
        except Refused:
            continue


def read_folder(folder: Path) -> Listed:
    """Return the bundle of a folder, without a look at its model.

    Raises:
        Refused: it has no manifest.
    """
    try:
        text = (folder / MANIFEST_FILE).read_bytes()
        return Listed(hash_manifest(text), text.decode(), parse_manifest(text.decode()), folder)
    except (OSError, UnicodeDecodeError):
        raise Refused(f"{folder}: expected a bundle with {MANIFEST_FILE}, found none; `weir models list`") from None


def find_here(models_dir: Path, name: str) -> Listed:
    """Return the bundle of a folder's name, a version, or the beginning of a content hash.

    Raises:
        Refused: none or several.
    """
    here = list(list_here(models_dir))
    exact = [each for each in here if name in {each.manifest.version, each.folder.name if each.folder else ""}]
    begun = [each for each in here if len(name) >= _PREFIX_MIN and each.content.startswith(name)]
    found = {each.content: each for each in exact or begun}
    if len(found) == 1:
        return next(iter(found.values()))
    there = ", ".join(each.folder.name for each in here if each.folder) or "none"
    what = "several" if found else f"{name[:80]!r}"
    raise Refused(f"expected one of the bundles in {models_dir} ({there:.400}), found {what}")


def find_linked(settings: Settings) -> Listed | None:
    """Return the bundle that the champion link names, or the configured one; None where there is none."""
    try:
        return read_folder(champion_path(settings).resolve())
    except Refused:
        return None


def load(settings: Settings, found: Listed) -> Bundle:
    """Load a bundle, fetched from the archive where it is not on this host.

    Raises:
        Refused: it is nowhere, is broken, or does not fit the stream.
    """
    if found.folder is None:
        return load_published(settings, found.text)
    return load_bundle(found.folder, stream=settings.stream, declarations_hash=settings.declarations_hash)


def list_all(settings: Settings, publisher: Publisher) -> list[Listed]:
    """Return the bundles that are here and those that were published, newest first."""
    found = {each.content: each for each in list_here(settings.models_dir)}
    if (linked := find_linked(settings)) is not None:
        found.setdefault(linked.content, linked)
    for alias in ALIASES:
        for logged in publisher.log.history(alias):
            if logged.act.action == "publish":
                each = _read_published(publisher, alias, logged.act.hash)
                found.setdefault(each.content, each)
    roles = find_roles(publisher, linked)
    listed = [Listed(each.content, each.text, each.manifest, each.folder, roles.get(each.content, ()))
              for each in found.values()]  # fmt: skip
    return sorted(listed, key=lambda each: -each.manifest.created_time_ms)


def find_role(settings: Settings, publisher: Publisher, alias: Alias) -> Listed | None:
    """Return the bundle that an alias names now; for the champion the link where none is published."""
    content = publisher.standing.content(alias)
    if content == NONE:
        return find_linked(settings) if alias == "champion" else None
    found = _read_published(publisher, alias, content)
    return replace(found, folder=find_bundle(settings.models_dir, found.text))


def _read_published(publisher: Publisher, alias: Alias, content: str) -> Listed:
    text = manifest_of(alias, publisher.read_text(alias, content))
    return Listed(hash_manifest(text.encode()), text, parse_manifest(text), None)


def was_published(publisher: Publisher, alias: Alias, content: str) -> bool:
    """Return whether an alias ever named a bundle; what can no longer be read is none."""
    for act in (logged.act for logged in publisher.log.history(alias)):
        if act.action != "publish":
            continue
        with suppress(Refused):
            if _read_published(publisher, alias, act.hash).content == content:
                return True
    return False


def find_roles(publisher: Publisher, linked: Listed | None) -> Mapping[str, tuple[str, ...]]:
    """Return what bundles are now, by their content."""
    roles: dict[str, tuple[str, ...]] = {}
    for alias in ALIASES:
        named = publisher.standing.content(alias)
        if named != NONE:
            content = _read_published(publisher, alias, named).content
            roles[content] = (*roles.get(content, ()), alias)
    if linked is not None:
        role = "champion (link)" if publisher.standing.content("champion") == NONE else "link"
        roles[linked.content] = (*roles.get(linked.content, ()), role)
    return roles


def find_previous(publisher: Publisher, alias: Alias) -> str:
    """Return the content that was in force before the one that is now; ``none`` for what is not published.

    Raises:
        Refused: nothing was published.
    """
    now = publisher.standing.content(alias)
    acts = [each.act for each in publisher.log.history(alias) if each.act.id not in publisher.refused]
    if not acts:
        raise Refused(f"expected a published {alias} to take back, found none; `weir models list`")
    before = [act.hash for act in acts if act.hash != now]
    return before[-1] if before else NONE
