"""One more click of a key: what its visit has come to. Pure, and of plain values, so that any store can hold a visit.

A visit ends after half an hour without a click. What a click came to is remembered for as long as its visit lasts, so
that the same click again gives the same row, byte for byte: a repeat is then a duplicate for who reads the rows, and
never another record of the same id. Names of fields are those of the two streams' declarations.

**Cost:** some 2 us a click; per key one visit, at most ``CLICKS_MAX`` rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:  # the agent's environment has none of what a declaration needs
    from weir.schemas.stream import Stream

IDLE_MS: Final = 30 * 60_000
CLICKS_MAX: Final = 500
"""Rows of a visit that are remembered, the newest; a person has fewer, and a script may be counted twice."""
KIND_OF: Final = {
    "": "HOME",
    "search": "SEARCH",
    "category": "CATEGORY",
    "product": "PRODUCT",
    "cart": "CART",
    "checkout": "CHECKOUT",
}
"""The kind of a page by the first part of its path; any other is ``OTHER``."""
_COUNTED: Final = {"products": "PRODUCT", "searches": "SEARCH", "carts": "CART"}

Visit: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Names:
    """What the fields of a click are called.

    Attributes:
        key, id, time: of the click.
        passed_on: fields that a row has as the click has them.
    """

    key: str
    id: str
    time: str
    passed_on: tuple[str, ...]


def names_of(clicks: Stream, fields: list[str]) -> Names:
    """Return the names for clicks of a stream and rows with some fields."""
    own = set(clicks.kept_in_rows) | {clicks.time}
    return Names(clicks.key.field, clicks.id, clicks.time, tuple(name for name in fields if name in own))


def advance(visit: Visit | None, click: Mapping[str, Any], names: Names) -> tuple[Visit, Row]:
    """Return what a key's visit has become, and the click's row.

    Args:
        visit: the key's newest one, or None. It is changed in place.
        click: the fields of one click.
        names: of those fields.
    """
    click_id, at_ms = str(click[names.id]), int(click[names.time])
    if visit is None or at_ms > visit["last_ms"] + IDLE_MS:
        visit = _begin(click_id, at_ms)
    elif click_id in visit["rows"]:
        return visit, visit["rows"][click_id]
    elif at_ms < visit["first_ms"] - IDLE_MS:  # of a visit that is over: it is a visit of its own, and changes nothing
        return visit, _count(_begin(click_id, at_ms), click, names)
    return visit, _count(visit, click, names)


def find_kind(page: str) -> str:
    """Return the kind of a page.

    >>> find_kind("/product/17"), find_kind("/"), find_kind("/jobs")
    ('PRODUCT', 'HOME', 'OTHER')
    """
    return KIND_OF.get(page.strip("/").partition("/")[0], "OTHER")


def _begin(click_id: str, at_ms: int) -> Visit:
    counts = dict.fromkeys(_COUNTED, 0)
    return {"id": click_id, "first_ms": at_ms, "last_ms": at_ms, "step": 0, "counts": counts, "rows": {}}


def _count(visit: Visit, click: Mapping[str, Any], names: Names) -> Row:
    at_ms, kind = int(click[names.time]), find_kind(str(click["page"]))
    visit["step"] += 1
    for name, counted in _COUNTED.items():
        visit["counts"][name] += kind == counted
    row = {
        **{name: click[name] for name in names.passed_on},
        "session_id": visit["id"],
        "kind": kind,
        "step": visit["step"],
        "seconds": max(0, at_ms - visit["first_ms"]) // 1_000,
        "dwell_ms": max(0, at_ms - visit["last_ms"]),
        **visit["counts"],
    }
    visit["last_ms"] = max(visit["last_ms"], at_ms)
    visit["rows"][str(click[names.id])] = row
    if len(visit["rows"]) > CLICKS_MAX:
        del visit["rows"][next(iter(visit["rows"]))]
    return row
