"""Who gave a label: the word that labels carry in a field of their own, where their schema has one."""

from __future__ import annotations

from typing import Final

SOURCE: Final = "source"
"""The field."""
ANALYST: Final = "analyst"
"""Somebody looked at the event, because it was sent to review or was picked; any other label comes by itself."""
