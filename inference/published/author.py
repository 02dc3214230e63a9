"""Who publishes, and why: what every act has to say."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Sequence

from weir.inference.published.publish import Publisher
from weir.schemas.errors import Refused


def check_said(who: str, why: str, *, why_max: int = 1_000) -> None:
    """Look whether both are said, in the length that an act takes.

    Raises:
        Refused: one is empty or too long.
    """
    longest = {"who": 100, "why": why_max}
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


def add_force_flag(verb: argparse.ArgumentParser) -> None:
    """Add the flag with which somebody answers for what is not passed."""
    text = "publish it though a gate is not passed, and why; recorded in the history with the gates"
    verb.add_argument("--force", metavar="WHY", default="", help=text)


def may_publish(publisher: Publisher, failed: Sequence[str], force: str) -> bool:
    """Return whether something may be published; where it is forced, that is recorded in the reason.

    Args:
        publisher: that would publish it.
        failed: names of the gates that are not passed.
        force: why it is published all the same; empty to leave it.

    Raises:
        Refused: the reason becomes too long.
    """
    if not failed:
        return True
    if not (force := force.strip()):
        return False
    publisher.why = f"{publisher.why} (forced: {force}; not passed: {', '.join(failed)})"
    check_said(publisher.who, publisher.why)
    return True
