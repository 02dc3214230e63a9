"""Uploads: a file of events is sent, scored while its rows are counted, and downloaded again with its scores.

A script sends the file as it is, so that it passes through this process part by part and is never whole in it; the API
bounds it, and says what is wrong with it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.console.api import Answer, ApiAway, NoAccess
from weir.console.pages.site import Site, Visit
from weir.inference.api.uploads.receiving import allow_time
from weir.inference.api.web.content import read_kind
from weir.monitoring.logs import get_logger

_PATH = re.compile(r"/streams/[^/]+/uploads")
_PASSED_ON = ("content-type", "content-length", "content-disposition")
log = get_logger(__name__)


def find_bytes_max(scope: Mapping[str, Any]) -> int:
    """Return how many bytes a request's body may have that is a file: the API bounds it; 0 for other requests."""
    return sys.maxsize if scope["method"] == "POST" and _PATH.fullmatch(scope["path"]) else 0


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/uploads")
    async def get_uploads(request: Request) -> Response:
        visit = site.enter(request, Scope.SCORE)
        found = await site.get(visit, "uploads")
        _check(found)
        return site.render(visit, "uploads.html", uploads=found.document["uploads"])

    @app.post("/streams/{stream}/uploads")
    async def post_upload(request: Request) -> Response:
        visit = site.enter(request, Scope.SCORE)
        site.check_script(visit)
        allow_time(request.scope)
        sent = await _send(site, visit, read_kind(request.headers))
        if sent.code:
            return PlainTextResponse(sent.message, status_code=sent.status)
        log.info("file_uploaded", upload=sent.document["id"], key=visit.session.key.id)
        return Response(status_code=204)

    @app.get("/streams/{stream}/uploads/{upload_id}/result")
    async def get_result(request: Request, upload_id: str) -> Response:
        visit = site.enter(request, Scope.SCORE)
        path = f"uploads/{_check_id(upload_id)}/result"
        found = await site.api.fetch_file(visit.session, visit.stream.name, path)
        if isinstance(found, Answer):
            raise HTTPException(found.status, found.message)
        headers = {name: found.headers[name] for name in _PASSED_ON if name in found.headers}
        return StreamingResponse(found.aiter_bytes(), headers=headers, background=BackgroundTask(found.aclose))

    @app.post("/streams/{stream}/uploads/{upload_id}/delete")
    async def post_delete(request: Request, upload_id: str) -> Response:
        visit = site.enter(request, Scope.SCORE)
        await site.read_form(visit)
        _check(await site.api.delete(visit.session, visit.stream.name, f"uploads/{_check_id(upload_id)}"))
        return RedirectResponse(f"{visit.base}/uploads", status_code=303)


async def _send(site: Site, visit: Visit, kind: str) -> Answer:
    """Pass a file on; that it is not taken is an answer as any other, which the page shows where it stands."""
    try:
        return await site.api.send_file(visit.session, visit.stream.name, "uploads", kind, visit.request.stream())
    except ApiAway as error:
        return Answer(503, None, "unavailable", str(error))
    except NoAccess as error:
        return Answer(403, None, "forbidden", str(error))


def _check(found: Answer) -> None:
    if found.code:
        raise HTTPException(found.status, found.message)


def _check_id(upload_id: str) -> str:
    if not upload_id.isalnum() or not upload_id.isascii():
        raise HTTPException(404, "expected an upload, found another path")
    return upload_id
