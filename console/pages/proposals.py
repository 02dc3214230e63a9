"""What one person proposed of rules or lists, on their pages: it waits for another one, who approves or rejects it.

Who asks is the name of the key, and the API looks at it: another session of the same person approves nothing either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException

from weir.console.api import Answer
from weir.console.pages.site import Site, Visit, pick

SETTLING: Final = frozenset({"approve", "reject"})
SAID: Final = {"propose": "proposed", "reject": "rejected"}
"""What the address says of a change that put nothing in force; of any other it says ``done``."""
_REJECTED_SHOWN = 5


async def settle(site: Site, visit: Visit, kind: str, change: str, fields: Mapping[str, str]) -> Answer:
    """Approve or reject what the form names.

    Raises:
        HTTPException: 404 where it names nothing.
    """
    proposal = fields.get("proposal", "")
    if not proposal.isalnum() or not proposal.isascii():
        raise HTTPException(404, "expected a proposal, found none in the form")
    return await site.attempt(visit, f"{kind}/proposals/{proposal}/{change}", pick(fields, "why"))


async def list_proposals(site: Site, visit: Visit, kind: str) -> dict[str, list[dict[str, Any]]]:
    """Return the proposals that wait, and those that were rejected lately.

    Raises:
        HTTPException: the API refuses to show them.
    """
    found = await site.get(visit, f"{kind}/proposals")
    if found.code:
        raise HTTPException(found.status, found.message)
    proposals = found.document["proposals"]
    rejected = [each for each in proposals if each["state"] == "rejected"]
    return {
        "waiting": [each for each in proposals if each["state"] in {"waiting", "outdated"}],
        "rejected": rejected[:_REJECTED_SHOWN],
    }


def say_done(visit: Visit) -> dict[str, str]:
    """Return what was done last, by the address: the version that is in force, proposed or rejected."""
    return {name: visit.query(name)[:64] for name in ("done", *SAID.values())}


def name_done(answer: Answer) -> dict[str, str]:
    """Return what the address says of a change that was made."""
    return {SAID.get(answer.document["action"], "done"): answer.document["version"]}
