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
        advice: how its rows can be taken, or why they cannot.
        flags: how a command takes the file as it is.
    """

    name: str
    columns: frozenset[str]
    advice: str = "name its columns as the fields are"
    flags: str = "read it with --map and the mapping of docs/publish.md"


LAYOUTS = (
    KnownLayout("Sparkov", frozenset({"trans_date_trans_time", "cc_num", "amt"})),
    KnownLayout("PaySim", frozenset({"step", "nameOrig", "nameDest"})),
    KnownLayout("TabFormer", frozenset({"User", "Card", "Use Chip"})),
    KnownLayout("IEEE-CIS", frozenset({"TransactionDT", "TransactionAmt"})),
    KnownLayout(
        "ULB credit card",
        frozenset({"Time", "V1", "V28", "Amount"}),
        "it cannot be taken: no column tells one card from another, and every feature is about a card's past",
        flags="",
    ),
)


def recognise(names: Iterable[str]) -> KnownLayout | None:
    """Return the layout that some columns are of."""
    found = {name.strip() for name in names}
    return next((layout for layout in LAYOUTS if layout.columns <= found), None)
