"""Who publishes, and why: what every act has to say."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

from weir.schemas.errors import Refused


def check_said(who: str, why: str) -> None:
    """Look whether both are said, in the length that an act takes.

    Raises:
        Refused: one is empty or too long.
    """
    longest = {"who": 100, "why": 1_000}
    for name, text in (("who", who), ("why", why)):
        if not 0 < len(text.strip()) <= longest[name]:
            raise Refused(f"--{name}: expected 1 to {longest[name]:,} characters, found {len(text):,}")


def find_user() -> str:
    """Return the name of this machine's user.

    Raises:
        Refused: it has none.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no entry
        raise Refused("--who: expected the name of who publishes, and this user has none; name it") from None


def add_force(why: str, force: str, failed: Sequence[str] = ()) -> str:
    """Return why something is published, with why it is published although it goes too far.

    >>> add_force("more trees", "agreed", ["latency"])
    'more trees (forced: agreed; not passed: latency)'
    """
    what = f"; not passed: {', '.join(failed)}" if failed else ""
    return f"{why} (forced: {force}{what})"
