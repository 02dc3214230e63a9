"""The keys of the deployment, for administrators: who has one, when it was last used, and revoking it.

Nothing here opens anything: a key's text is shown once, by the command that makes it.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.console.api import Answer
from weir.console.pages.site import Site, Visit
from weir.monitoring.logs import get_logger

_SAID = {"last_admin_key": "This is the last valid key of an administrator. Make another one first."}
log = get_logger(__name__)


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/keys")
    async def get_keys(request: Request) -> Response:
        return await _show(site, site.enter(request, Scope.ADMIN))

    @app.post("/streams/{stream}/keys/{key_id}/{change}")
    async def post_change(request: Request, key_id: str, change: str) -> Response:
        visit = site.enter(request, Scope.ADMIN)
        await site.read_form(visit)
        if change not in {"ask", "revoke"} or not key_id.isalnum() or not key_id.isascii():
            raise HTTPException(404, "expected a key to revoke, found another path")
        if change == "ask":
            return await _show(site, visit, asked=key_id)
        done = await site.api.post(visit.session, "", f"keys/{key_id}/revoke", {})
        if done.code:
            return await _show(site, visit, refused=done)
        log.info("key_revoked", revoked=key_id, key=visit.session.key.id)
        return RedirectResponse(f"{visit.base}/keys", status_code=303)


async def _show(site: Site, visit: Visit, *, asked: str = "", refused: Answer | None = None) -> Response:
    found = await site.api.get(visit.session, "", "keys")
    if found.code:
        raise HTTPException(found.status, found.message)
    keys: list[dict[str, Any]] = found.document["keys"]
    return site.render(
        visit,
        "keys.html",
        status=200 if refused is None else refused.status,
        keys=sorted(keys, key=lambda key: not key["valid"]),
        asked=next((key for key in keys if key["id"] == asked and key["valid"]), None),
        refused="" if refused is None else _SAID.get(refused.code, refused.message),
    )
