"""Every difference that is allowed between the product and what was kept, and why. Both are empty until one is needed.

A later release may add fields with defaults, and never changes one that is kept. An entry that is no longer needed
fails the test like a difference that is not here.
"""

from __future__ import annotations

from typing import Any, Final

ADDED_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "features": {"decided": None},
    "decisions": {
        "tags": [],
        "shadow_rules": [],
        "shadow_score": None,
        "shadow_model_name": None,
        "shadow_model_version": None,
        "probability": None,
        "prediction_set": None,
        "propensity": None,
    },
}
"""Kind of record to the fields that it has since, each with its default: what the rows of these logs hold in them."""

DIFFERENCES: Final[dict[str, str]] = {}
"""What differs, as ``test_golden.py`` names it (``three features.shared``), to the reason and the issue that allows it.

Whatever a card's own partition knows may never be in here: its partials, its features, its verdicts.
"""
