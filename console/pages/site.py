"""What every page stands on: the API, who is logged in, the stream of the path, and how a page becomes HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from weir.access.key import Key, Scope
from weir.console.api import Answer, Api, ApiAway
from weir.console.guard import Guard, LoggedOut
from weir.console.session import Session
from weir.console.view import View
from weir.infra.csv_text import write_csv
from weir.schemas.stream import Stream


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

    def query(self, name: str) -> str:
        """Return a value of the query, or nothing."""
        return self.request.query_params.get(name, "")


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

    def render(self, visit: Visit, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page."""
        return self.view.render(template, visit.session, visit.stream, status=status, **values)

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


def answer_csv(name: str, rows: Iterable[Sequence[Any]]) -> Response:
    """Return a table as a file that a browser keeps under a name, and that a spreadsheet does not run."""
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-type": "text/csv; charset=utf-8"}
    return Response(write_csv(rows), headers=headers)


def pick(fields: Mapping[str, str], *names: str) -> dict[str, Any]:
    """Return those fields of a form that something was typed in."""
    return {name: fields[name] for name in names if fields.get(name, "").strip()}
