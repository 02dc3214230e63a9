"""Published layouts that people try first: how each is recognised, and how it is published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownLayout:
    """A data set's layout.

    Attributes:
        name: what people call it.
        columns: some that together are found nowhere else.
        advice: how to publish it, or why it cannot be.
    """

    name: str
    columns: frozenset[str]
    advice: str


_MAPPED = "docs/publish.md has a mapping for it, to be given with --map"
LAYOUTS = (
    KnownLayout("Sparkov", frozenset({"trans_date_trans_time", "cc_num", "amt"}), _MAPPED),
    KnownLayout("PaySim", frozenset({"step", "nameOrig", "nameDest"}), _MAPPED),
    KnownLayout("TabFormer", frozenset({"User", "Card", "Use Chip"}), _MAPPED),
    KnownLayout("IEEE-CIS", frozenset({"TransactionDT", "TransactionAmt"}), _MAPPED),
    KnownLayout(
        "ULB credit card",
        frozenset({"Time", "V1", "V28", "Amount"}),
        "it cannot be published: no column tells one card from another, and every feature is about a card's past",
    ),
)


def recognise(names: Iterable[str]) -> KnownLayout | None:
    """Return the layout that some columns are of."""
    found = {name.strip() for name in names}
    return next((layout for layout in LAYOUTS if layout.columns <= found), None)
