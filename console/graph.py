"""A small graph of who shares ids: one key, its ids, and the other keys that had them, as places of a drawing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from weir.console.text import show_text

ROW: Final = 26
"""Height of a row in pixels, as all lengths here."""
WIDTH: Final = 720
_BOX, _HEIGHT = 190, 20
_LEFT, _MIDDLE, _RIGHT = 5, (WIDTH - _BOX) // 2, WIDTH - _BOX - 5
_CHARACTERS: Final = 24


@dataclass(frozen=True)
class Node:
    """A box.

    Attributes:
        kind: the key itself, one of its ids, or another key.
        x: of its left edge.
        y: of its upper edge.
        label: what fits.
        title: all of it.
        entity: whose id it is.
        id: as it is in the data.
        shared: how many of the ids lead to it.
    """

    kind: Literal["own", "id", "other"]
    x: int
    y: int
    label: str
    title: str
    entity: str
    id: str
    shared: int = 0

    width: int = _BOX
    height: int = _HEIGHT

    @property
    def middle(self) -> int:
        """The height at which lines begin and end."""
        return self.y + self.height // 2


@dataclass(frozen=True)
class Graph:
    """A drawing.

    Attributes:
        lines: x and y of both ends.
        text: what it shows, for who does not see it.
    """

    height: int
    nodes: list[Node]
    lines: list[tuple[int, int, int, int]]
    text: str
    width: int = WIDTH


def build_graph(found: Mapping[str, Any], key: str) -> Graph | None:
    """Return the drawing of an event's links; nothing where no other key is linked.

    Args:
        found: the answer of the API.
        key: the word for the stream's key.
    """
    links = [link for link in found["ids"] if link["keys"]]
    if not links:
        return None
    reached: dict[str, list[int]] = {}
    for number, link in enumerate(links):
        for other in link["keys"]:
            reached.setdefault(other["id"], []).append(number)
    # who shares most stands first, and then next to the first id that leads there
    order = sorted(reached, key=lambda name: (-len(reached[name]), reached[name]))
    rows = max(len(order), len(links))
    own = _place("own", _LEFT, rows, (0, 1), (key, str(found["key"])))
    ids = [_place("id", _MIDDLE, rows, (n, len(links)), (each["entity"], each["id"])) for n, each in enumerate(links)]
    others = [
        _place("other", _RIGHT, rows, (n, len(order)), (key, name), shared=len(reached[name]))
        for n, name in enumerate(order)
    ]
    lines = [_join(own, each) for each in ids]
    lines += [_join(ids[number], other) for other in others for number in reached[other.id]]
    several = sum(len(each) > 1 for each in reached.values())
    by = ", ".join(f"{len(each['keys'])} by {each['entity']}" for each in links)
    text = f"{len(order)} other {key}s linked: {by}; {several} by more than one. The table below has all of them."
    return Graph(rows * ROW + 4, [own, *ids, *others], lines, text)


def _place(
    kind: Literal["own", "id", "other"],
    x: int,
    rows: int,
    place: tuple[int, int],
    named: tuple[str, str],
    shared: int = 0,
) -> Node:
    """Return a box of a column, which is spread over all rows; its place is its number and how many there are."""
    (number, of), (entity, given) = place, named
    y = round((number + 0.5) * rows * ROW / of - _HEIGHT / 2) + 2
    text = show_text(given)
    label = text if kind != "id" else f"{entity} {text}"
    short = label if len(label) <= _CHARACTERS else f"{label[: _CHARACTERS - 1]}…"
    return Node(kind, x, y, short, f"{entity} {text}", entity, given, shared)


def _join(left: Node, right: Node) -> tuple[int, int, int, int]:
    return left.x + left.width, left.middle, right.x, right.middle
