"""What every page stands on: the API, who is logged in, the stream of the path, and how a page becomes HTML."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from weir.access.key import Key, Scope
from weir.console.api import Answer, Api, ApiAway
from weir.console.guard import Guard, LoggedOut
from weir.console.session import Session
from weir.console.tables import read_table
from weir.console.view import View, link
from weir.infra.csv_text import write_csv
from weir.schemas.stream import Stream

EXPORT: Final = "csv"
"""In the query of a page: which of its tables is asked for as a file."""
EXPORT_ROWS, EXPORT_SECONDS = 5_000, 20.0
"""An export ends after the first of these two with what it has; its name then says so."""
_API_ROWS: Final = 200
_OK: Final = 200


@dataclass(frozen=True)
class Visit:
    """A request for a page of a stream.

    Attributes:
        stream: that the page is of; the key reaches it.
    """

    request: Request
    session: Session
    stream: Stream

    @property
    def base(self) -> str:
        """What the paths of the stream's pages begin with."""
        return f"/streams/{self.stream.name}"

    @property
    def exported(self) -> str:
        """The name of the table of the page that is asked for as CSV, or nothing."""
        return self.query(EXPORT)

    def query(self, name: str) -> str:
        """Return a value of the query, or nothing."""
        return self.request.query_params.get(name, "")

    def link_export(self, name: str, words: str = "CSV") -> Markup:
        """Return a link to a table of this page as CSV; of a page that answers a form there is none.

        Args:
            name: the ``data-csv`` of the table.
            words: of the link.
        """
        if self.request.method != "GET":
            return Markup("")
        given = {each: self.request.query_params.getlist(each) for each in self.request.query_params if each != EXPORT}
        return Markup('<p><a href="{}">{}</a></p>').format(
            link(self.request.url.path, **given, **{EXPORT: name}), words
        )


@dataclass(frozen=True)
class Site:
    """What pages stand on."""

    api: Api
    guard: Guard
    view: View
    streams: Mapping[str, Stream]

    def enter(self, request: Request, scope: Scope = Scope.READ) -> Visit:
        """Return a visit of who may make it.

        Raises:
            LoggedOut: nobody is logged in.
            HTTPException: 403 without the scope; 404 for a stream that is not there as far as the key is told.
        """
        session = self.guard.enter(request)
        stream = self.streams.get(request.path_params["stream"])
        if stream is None or not session.key.reaches(stream.name):
            raise HTTPException(404, "expected a stream that your key reaches, found another name")
        if not session.key.may(scope):
            raise HTTPException(403, f"expected a key with the scope {scope}, found one without it")
        return Visit(request, session, stream)

    def home_of(self, key: Key) -> Stream | None:
        """Return the first stream that a key reaches."""
        return next((stream for name, stream in self.streams.items() if key.reaches(name)), None)

    async def get(self, visit: Visit, path: str, /, **query: Any) -> Answer:
        """Ask the API for a visit."""
        return await self.api.get(visit.session, visit.stream.name, path, **query)

    async def get_rows(self, visit: Visit, path: str, name: str, limit: int, /, **query: Any) -> Answer:
        """Ask the API for a page of a list, or for as many pages as an export holds where the visit is for one.

        Args:
            visit: who asks, and how.
            path: of the list.
            name: of the list in the answer, whose ``next`` says where it continues.
            limit: rows of a page.
            query: as of ``get``; ``after`` says where the page begins.
        """
        if not visit.exported:
            return await self.get(visit, path, limit=limit, **query)
        rows, until = list[Any](), time.monotonic() + EXPORT_SECONDS
        while True:
            found = await self.get(visit, path, limit=_API_ROWS, **query)
            if found.code:
                return found
            rows += found.document[name]
            query["after"] = found.document["next"] or ""
            if not query["after"] or len(rows) >= EXPORT_ROWS or time.monotonic() > until:
                return replace(found, document=found.document | {name: rows})

    async def post(self, visit: Visit, path: str, body: Mapping[str, Any]) -> Answer:
        """Make a change for a visit."""
        return await self.api.post(visit.session, visit.stream.name, path, body)

    async def attempt(self, visit: Visit, path: str, body: Mapping[str, Any]) -> Answer:
        """Make a change; that something does not answer is an answer as any other, as what was typed is shown again."""
        try:
            return await self.post(visit, path, body)
        except ApiAway as error:
            return Answer(503, None, "unavailable", str(error))

    def check_script(self, visit: Visit) -> None:
        """Pass what a script of a page of the visit's session sent."""
        self.guard.check_script(visit.request, visit.session.id)

    async def read_form(self, visit: Visit) -> Mapping[str, str]:
        """Return the fields of a form that a page of the visit's session sent."""
        return await self.guard.read_form(visit.request, visit.session.id)

    def render(self, visit: Visit, template: str, *, status: int = 200, more: object = "", **values: Any) -> Response:
        """Return a page, or one table of it as CSV where the address asks for it.

        Args:
            visit: who asks, and how.
            template: of the page.
            status: of the answer.
            more: whether there are rows that the page does not have; the file's name says so.
            values: of the template.
        """
        csv = visit.link_export
        render = partial(self.view.render, template, visit.session, visit.stream, status=status, csv=csv, **values)
        if not visit.exported or status != _OK:
            return render()
        return _InThread(lambda: self._export(visit, render(), has_more=bool(more)))

    def _export(self, visit: Visit, page: HTMLResponse, *, has_more: bool) -> Response:
        """Return a table of a page as CSV; for thousands of rows it takes a second."""
        rows = read_table(bytes(page.body).decode(), visit.exported)
        if rows is None:
            return self.show_error(visit.request, 404, "expected a table of this page, found another name")
        name = f"{visit.exported}-first-{len(rows) - 1}.csv" if has_more else f"{visit.exported}.csv"
        return answer_csv(name, rows)

    def show_error(self, request: Request, status: int, message: str) -> HTMLResponse:
        """Return the page of an error: in the frame of a stream where somebody is logged in."""
        try:
            session = self.guard.enter(request)
        except LoggedOut:
            return self.view.render_alone("error_alone.html", status=status, code=status, message=message)
        named = self.streams.get(request.path_params.get("stream", ""))
        stream = named if named is not None and session.key.reaches(named.name) else self.home_of(session.key)
        if stream is None:
            return self.view.render_alone("error_alone.html", status=status, code=status, message=message)
        return self.view.render("error.html", session, stream, status=status, code=status, message=message)


class _InThread(Response):
    """An answer that is made in a thread, so that the pages of others do not wait for it."""

    def __init__(self, make: Callable[[], Response]) -> None:
        super().__init__()
        self._make = make

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        response = await run_in_threadpool(self._make)
        await response(scope, receive, send)


def answer_csv(name: str, rows: Iterable[Sequence[Any]]) -> Response:
    """Return a table as a file that a browser keeps under a name, and that a spreadsheet does not run."""
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-type": "text/csv; charset=utf-8"}
    return Response(write_csv(rows), headers=headers)


def pick(fields: Mapping[str, str], *names: str) -> dict[str, Any]:
    """Return those fields of a form that something was typed in."""
    return {name: fields[name] for name in names if fields.get(name, "").strip()}
