"""Which models there are: the ones in force with what they do, and the bundles next to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from weir.inference.bundle import Bundle, Manifest
from weir.inference.champion import Champion
from weir.inference.core.rules import list_conditions
from weir.inference.core.thresholds import Cut
from weir.inference.model_card import CARD_FILE, DRIFT_FILE, Card, parse_card
from weir.inference.published.act import Alias
from weir.inference.published.bundles import Listed, find_here, list_here, read_folder
from weir.schemas.errors import Refused

BUNDLES_SHOWN_MAX = 100
CARD_CHARACTERS_MAX = 200_000
_FEATURE_FIELDS = {"features", "reference", "drift"}
_MORE_LEFT_OUT = _FEATURE_FIELDS | {"labels", "calibration"}


class UnknownModel(Exception):
    """A name that no model has; the message says which there are."""


@dataclass(frozen=True)
class Role:
    """What a model is now.

    Attributes:
        share: of the keys that it decides for; None for a model that only scores.
    """

    name: Alias
    bundle: Bundle
    share: float | None


def list_roles(champion: Champion) -> list[Role]:
    """Return the models in force in this process, the champion first; one that stands for no model is left out.

    Raises:
        Refused: there is no champion where there has to be one.
    """
    canary, found = champion.canary, [Role("champion", champion.bundle, 1.0)]
    if canary is not None:
        found = [Role("champion", champion.bundle, 1.0 - canary.share), Role("canary", canary.bundle, canary.share)]
    if champion.shadow is not None:
        found.append(Role("shadow", champion.shadow, None))
    return [role for role in found if not role.bundle.lacking]


def list_loaded(champion: Champion) -> list[Role]:
    """Return the models in force in this process, as ``list_roles``; none where there is no champion."""
    return [] if champion.missing else list_roles(champion)


def describe_models(champion: Champion, models_dir: Path) -> dict[str, Any]:
    """Return a JSON-ready document; a folder that is no bundle is left out."""
    manifest = champion.bundle.manifest
    return {
        "champion": manifest.model_dump(mode="json", exclude=_FEATURE_FIELDS)
        | {"feature_count": len(manifest.features)},
        "roles": [_describe_role(role, champion) for role in list_roles(champion)],
        "rules_version": champion.rules_version,
        "rules": [
            {
                "name": rule.name,
                "decision": rule.then,
                "mode": rule.mode,
                "code": rule.code,
                "why": rule.why,
                "conditions": list_conditions(rule),
            }
            for rule in champion.rules.rules
        ],
        "bundles": list_bundles(models_dir),
    }


def list_bundles(models_dir: Path) -> list[dict[str, Any]]:
    """Return name, version and creation time of every bundle in a folder, newest first, bounded."""
    found = []
    for path in models_dir.glob("*/manifest.json"):
        if path.parent.is_symlink():
            continue
        try:
            manifest = orjson.loads(path.read_bytes())
            found.append({name: manifest[name] for name in ("name", "version", "created_time_ms")})
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda bundle: -int(bundle["created_time_ms"]))[:BUNDLES_SHOWN_MAX]


def find_model(champion: Champion, models_dir: Path, name: str) -> Listed:
    """Return the bundle of a version, of a folder's name, or of the beginning of a content hash.

    Raises:
        UnknownModel: none or several of those that are here or in force.
    """
    in_force = {each.content: each for each in _list_in_force(champion)}
    named = [each for each in in_force.values() if each.manifest.version == name]
    try:
        return named[0] if len(named) == 1 else find_here(models_dir, name)
    except Refused:
        here = {each.content: each.manifest.version for each in list_here(models_dir)}
        versions = {each.content: each.manifest.version for each in in_force.values()} | here
        raise UnknownModel(
            f"expected one of the models of this stream ({', '.join(versions.values()) or 'none yet':.400}), found "
            "another name, or one of several"
        ) from None


def describe_model(champion: Champion, found: Listed) -> dict[str, Any]:
    """Return all that a bundle says of itself, JSON-ready."""
    manifest, card = found.manifest, _read_card(found.folder)
    roles = [role for role in list_loaded(champion) if role.bundle.manifest == manifest]
    return {
        **_describe(manifest, found.content, card, find_cut(champion, manifest)),
        "roles": [{"role": role.name, "share": role.share} for role in roles],
        "manifest": manifest.model_dump(mode="json", exclude=_MORE_LEFT_OUT),
        "features": list(manifest.features),
        "card": card.text[:CARD_CHARACTERS_MAX] or None,
        "gates_run": card.gates_run,
        "gates": [
            {"name": gate.name, "passed": gate.passed, "found": gate.found, "wanted": gate.wanted}
            for gate in card.gates
        ],
        "drift": _read_drift(found.folder),
    }


def find_cut(champion: Champion, manifest: Manifest) -> Cut:
    """Return the thresholds by which a model decides, or would: the published ones, else its own."""
    published = champion.thresholds
    return Cut(manifest.thresholds.review, manifest.thresholds.decline) if published is None else published.others


def _describe_role(role: Role, champion: Champion) -> dict[str, Any]:
    manifest = role.bundle.manifest
    folder, content = role.bundle.directory, ""
    with suppress(Refused):  # the folder is gone, and the model still decides from memory
        content = read_folder(folder).content
    return {"role": role.name, "share": role.share} | _describe(
        manifest, content, _read_card(folder), find_cut(champion, manifest)
    )


def _describe(manifest: Manifest, content: str, card: Card, cut: Cut) -> dict[str, Any]:
    more = manifest.model_extra or {}
    return {
        "name": manifest.name,
        "version": manifest.version,
        "content": content,
        "created_time_ms": manifest.created_time_ms,
        "training_interval_ms": more.get("training_interval_ms"),
        "thresholds": {"review": float(cut.review), "decline": float(cut.decline)},
        "metrics": more.get("metrics"),
        "gates_passed": sum(gate.passed for gate in card.gates),
        "gates_failed": [gate.name for gate in card.gates if not gate.passed],
    }


def _list_in_force(champion: Champion) -> Iterator[Listed]:
    for role in list_loaded(champion):
        try:
            yield read_folder(role.bundle.directory)
        except Refused:
            continue


def _read_card(folder: Path | None) -> Card:
    try:
        return Card("") if folder is None else parse_card((folder / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # an imported model, or one that was fetched, has none
        return Card("")


def _read_drift(folder: Path | None) -> dict[str, Any] | None:
    try:
        found = None if folder is None else orjson.loads((folder / DRIFT_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
