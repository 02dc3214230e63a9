"""Changes that rules and lists have in common, on their pages: taking a version back, and settling a proposal.

What one person proposed waits for another one, who approves or rejects it.

Who asks is the name of the key, and the API looks at it: another session of the same person approves nothing either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.console.api import Answer
from weir.console.pages.site import Site, Visit, pick

_SETTLING: Final = frozenset({"approve", "reject"})
_BACK: Final = "rollback"
SAID: Final = {"propose": "proposed", "reject": "rejected"}
"""What the address says of a change that put nothing in force; of any other it says ``done``."""
_REJECTED_SHOWN = 5


async def begin(
    site: Site, request: Request, kind: str, change: str, own: frozenset[str]
) -> tuple[Visit, Mapping[str, str], Answer | None]:
    """Read the form of a change of rules or lists, and make it where both have it; the page's ``own`` are left to it.

    Returns:
        The visit, what was typed that is to be shown again, and what was done; nothing yet of a change of its own.

    Raises:
        Forged: no page of the session sent it.
        HTTPException: 403 without the scope, 404 for another change or where the form names no proposal.
        LoggedOut: nobody is logged in.
    """
    visit = site.enter(request, Scope.RULES)
    fields = await site.read_form(visit)
    if change in own:
        return visit, fields, None
    if change in _SETTLING:
        return visit, {}, await _settle(site, visit, kind, change, fields)
    if change != _BACK:
        known = ", ".join(sorted({*own, *_SETTLING, _BACK}))
        raise HTTPException(404, f"expected one of {known}, found another change")
    return visit, fields, await site.attempt(visit, f"{kind}/{_BACK}", pick(fields, "version", "why"))


async def _settle(site: Site, visit: Visit, kind: str, change: str, fields: Mapping[str, str]) -> Answer:
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
