"""What an alias in MLflow says next to what is published, and who moved away from what both said last. Pure.

Three contents are compared: what is published, what the registry's alias names, and the mark, which is what both named
when Weir moved the alias last. So an alias that a person moved differs from the mark, and one that could not be moved
while MLflow did not answer does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from weir.inference.published.act import Alias

NAMES: Final[Mapping[Alias, tuple[str, ...]]] = {
    "champion": ("champion",),
    "shadow": ("shadow", "staging"),
    "canary": ("challenger",),
}
"""How MLflow calls what is published. A shadow is what stands before the champion, so it has both names."""
PUBLISHED_AS: Final[Mapping[str, Alias]] = {name: alias for alias, names in NAMES.items() for name in names}


class Verdict(Enum):
    """What has to be done about an alias."""

    AGREED = "agreed"
    BEHIND = "behind"
    MOVED = "moved"
    BOTH = "both"


def judge(published: str, mark: str, named: Sequence[str]) -> tuple[Verdict, str]:
    """Return what has to be done about an alias, and the content that a person wants; ``none`` for nothing.

    Args:
        published: the content that is in force.
        mark: what the alias named when Weir moved it last.
        named: what each of its names in MLflow names now.

    >>> judge("b", "a", ["a"])[0], judge("a", "a", ["b"]), judge("c", "a", ["b"])[0]
    (<Verdict.BEHIND: 'behind'>, (<Verdict.MOVED: 'moved'>, 'b'), <Verdict.BOTH: 'both'>)
    """
    moved = {content for content in named if content not in {mark, published}}
    if not moved:
        return (Verdict.AGREED if set(named) == {published} == {mark} else Verdict.BEHIND), published
    wanted = moved.pop()
    return (Verdict.MOVED if not moved and mark == published else Verdict.BOTH), wanted
