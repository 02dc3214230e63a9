"""Which models there are: the one in force, and the bundles next to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from weir.inference.champion import Champion
from weir.inference.core.rules import list_conditions

BUNDLES_SHOWN_MAX = 100


def describe_models(champion: Champion, models_dir: Path) -> dict[str, Any]:
    """Return a JSON-ready document; a folder that is no bundle is left out."""
    manifest = champion.bundle.manifest
    return {
        "champion": manifest.model_dump(mode="json", exclude={"features", "reference", "drift"})
        | {"feature_count": len(manifest.features)},
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
