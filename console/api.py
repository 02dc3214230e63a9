"""The HTTP API as the console asks it: with the key of who is logged in, so that each request passes its checks."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from weir.console.session import Session
from weir.monitoring.request_id import REQUEST_ID
from weir.schemas.errors import Transient

_TIMEOUT = httpx.Timeout(10.0)
"""Within it the API answers or says that something it needs does not answer."""
_NO_ACCESS, _AWAY = frozenset({401, 403}), frozenset({429, 500, 502, 503, 504})
CONNECTIONS_MAX = 100
_IDLE_MAX = 20
LIVE_SECONDS = 15.0
"""Of silence on live decisions: the API sends a comment every 5 s."""
LIVE_MAX = 100
"""Live pages at once in one console: each holds a connection to the API, which serves 128 a stream."""
LINE_BYTES_MAX = 1_000_000
"""Of live decisions; a decision has some thousands."""


class ApiAway(Transient):
    """The API does not answer, or something that it needs is unreachable; the message says which."""


class NotShown(Exception):
    """Live decisions are not shown, for a reason that asking again does not change by itself; the message says it."""


class NoAccess(Exception):
    """The API refuses the key: it was revoked, or lacks the scope."""


@dataclass(frozen=True)
class Answer:
    """What the API answered.

    Attributes:
        document: of the body.
        code: of an error; ``""`` where it is none.
        message: likewise.
    """

    status: int
    document: Any
    code: str = ""

    message: str = ""


class Api:
    """A client of the API of one deployment."""

    def __init__(
        self, client: httpx.AsyncClient, *, keyed: bool, live: httpx.AsyncClient | None = None, live_max: int = LIVE_MAX
    ) -> None:
        """Bind to a client.

        Args:
            client: whose base is the API's address.
            keyed: whether the API asks for keys; without them a change says who makes it.
            live: asks for what does not end, so that it takes no connection of the other requests; the same without it.
            live_max: how much of that at once.
        """
        self._client = client
        self._live = live or client
        self._live_max = live_max
        self._live_number = 0
        self._keyed = keyed

    async def get(self, session: Session, stream: str, path: str, /, **query: Any) -> Answer:
        """Return what a path of a stream answers; of the whole deployment without a stream's name.

        Raises:
            ApiAway: nobody answers, or the API says that something is unreachable.
            NoAccess: the key is refused.
        """
        params = {name: value for name, value in query.items() if value not in (None, "", ())}
        return await self._ask("GET", session, _path(stream, path), params=params)

    async def post(self, session: Session, stream: str, path: str, body: Mapping[str, Any]) -> Answer:
        """Return what a change answers; raises as ``get``."""
        by = {} if self._keyed else {"by": session.key.name}
        return await self._ask("POST", session, _path(stream, path), json={**body, **by})

    async def delete(self, session: Session, stream: str, path: str) -> Answer:
        """Return what a path answers that is deleted; raises as ``get``."""
        return await self._ask("DELETE", session, _path(stream, path))

    async def send_file(
        self, session: Session, stream: str, path: str, kind: str, parts: AsyncIterator[bytes]
    ) -> Answer:
        """Return what is answered to a file, which is sent part by part as it comes; raises as ``get``."""
        headers = self._headers(session) | {"content-type": kind}
        return await self._request("POST", _path(stream, path), headers, content=parts)

    async def fetch_file(self, session: Session, stream: str, path: str) -> httpx.Response | Answer:
        """Return a file that is read part by part, and closed by who reads it; or the error; raises as ``get``."""
        request = self._client.build_request("GET", _path(stream, path), headers=self._headers(session))
        try:
            response = await self._client.send(request, stream=True)
            if response.is_success:
                return response
            await response.aread()
        except httpx.HTTPError as error:
            raise ApiAway(_describe(error)) from None
        return _read(response)

    @asynccontextmanager
    async def stream(
        self, session: Session, stream: str, path: str, /, **query: Any
    ) -> AsyncIterator[AsyncIterator[str]]:
        """Yield the lines of an answer that does not end; raises as ``get``.

        Raises:
            NotShown: as many are shown as may be, or the API refuses what is asked.
        """
        if self._live_number >= self._live_max:
            raise NotShown(f"{self._live_max} live pages are open at this console, which is as many as it serves")
        self._live_number += 1
        try:
            async with self._open(session, stream, path, query) as lines:
                yield lines
        finally:
            self._live_number -= 1

    @asynccontextmanager
    async def _open(
        self, session: Session, stream: str, path: str, query: Mapping[str, Any]
    ) -> AsyncIterator[AsyncIterator[str]]:
        params = {name: value for name, value in query.items() if value not in (None, "", ())}
        request = self._live.build_request(
            "GET", _path(stream, path), params=params, headers=self._headers(session), timeout=LIVE_SECONDS
        )
        try:
            response = await self._live.send(request, stream=True)
        except httpx.HTTPError as error:
            raise ApiAway(_describe(error)) from None
        try:
            if response.status_code != httpx.codes.OK:
                await response.aread()
                raise NotShown(_read(response).message or "the API serves no live decisions")
            yield _split(response)
        except httpx.HTTPError as error:
            raise ApiAway(_describe(error)) from None
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()
        await self._live.aclose()

    async def _ask(self, method: str, session: Session, path: str, **given: Any) -> Answer:
        return await self._request(method, path, self._headers(session), **given)

    async def _request(self, method: str, path: str, headers: Mapping[str, str], **given: Any) -> Answer:
        try:
            response = await self._client.request(method, path, headers=headers, **given)
        except httpx.HTTPError as error:
            raise ApiAway(_describe(error)) from None
        return _read(response)

    def _headers(self, session: Session) -> dict[str, str]:
        headers = {"accept": "application/problem+json, application/json", "x-request-id": REQUEST_ID.get() or ""}
        return headers | ({"x-api-key": session.key_text} if self._keyed else {})


def build_client(url: str, ca: str, connections_max: int = CONNECTIONS_MAX) -> httpx.AsyncClient:
    """Return a client of an address; no proxy of the environment is in between, where keys would pass."""
    verify = ssl.create_default_context(cafile=ca or None) if url.startswith("https") else True
    limits = httpx.Limits(max_connections=connections_max, max_keepalive_connections=_IDLE_MAX)
    return httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, limits=limits, verify=verify, trust_env=False)


def _path(stream: str, path: str) -> str:
    return f"/v1/streams/{quote(stream, safe='')}/{path}" if stream else f"/v1/{path}"


async def _split(response: httpx.Response) -> AsyncIterator[str]:
    """Yield lines that end with a line feed alone: JSON may hold U+2028, where ``splitlines`` would end one too."""
    rest = b""
    async for part in response.aiter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
        if len(rest) > LINE_BYTES_MAX:
            raise ApiAway(f"expected lines of at most {LINE_BYTES_MAX:,} bytes of the API, found a longer one")


def _read(response: httpx.Response) -> Answer:
    try:
        document: Any = None if response.status_code == httpx.codes.NO_CONTENT else response.json()
        if response.is_success:
            return Answer(response.status_code, document)
        code, message = str(document["error"]["code"]), str(document["error"]["message"])
    except (ValueError, KeyError, TypeError):
        raise ApiAway(f"expected JSON of the API, found another answer with status {response.status_code}") from None
    if response.status_code in _NO_ACCESS:
        raise NoAccess(message)
    if response.status_code in _AWAY:
        raise ApiAway(message)
    return Answer(response.status_code, document, code, message)


def _describe(error: httpx.HTTPError) -> str:
    return f"the API does not answer ({type(error).__name__})"
