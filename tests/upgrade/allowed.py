"""What of the release before is called otherwise now: each old name works for one release, with one warning.

Metrics, paths, subjects and topics keep their names: dashboards, clients and logs cannot be warned.
"""

from __future__ import annotations

from typing import Final

RENAMED: Final[dict[str, dict[str, str]]] = {"commands": {}, "settings": {}}
"""Kind to old name to new name, as ``names.py`` prints them."""

WITHOUT_EFFECT: Final[dict[str, tuple[str, ...]]] = {
    "settings": ("WEIR_TOPICS__CLICKS", "WEIR_TOPICS__DEVICES"),
    "subjects": ("clicks-value", "devices-value"),
    "topics": ("clicks", "devices"),
}
"""What nothing ever read or wrote, and is not made any more; what is there is left alone."""

LABELS_DROPPED: Final[dict[str, str]] = {"weir_view_broken_total unit": "weir_view_broken_total"}
"""Metrics that lost a label: a counter that is born at 1 has no increase, so the first broken value rang no alert."""

WAY_BACK_REFUSED: Final[str] = ""
"""The sentence with which the release before refuses a home of this one; empty where it works on it."""
