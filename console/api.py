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
LIVE_SECONDS = 15.0
"""Of silence on live decisions: the API sends a comment every 5 s."""
LINE_BYTES_MAX = 1_000_000
"""Of live decisions; a decision has some thousands."""


class ApiAway(Transient):
    """The API does not answer, or something that it needs is unreachable; the message says which."""


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

    def __init__(self, client: httpx.AsyncClient, *, keyed: bool) -> None:
        """Bind to a client.

        Args:
            client: whose base is the API's address.
            keyed: whether the API asks for keys; without them a change says who makes it.
        """
        self._client = client
        self._keyed = keyed

    async def get(self, session: Session, stream: str, path: str, **query: Any) -> Answer:
        """Return what a path of a stream answers.

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

    @asynccontextmanager
    async def stream(self, session: Session, stream: str, path: str, **query: Any) -> AsyncIterator[AsyncIterator[str]]:
        """Yield the lines of an answer that does not end; raises as ``get``."""
        params = {name: value for name, value in query.items() if value not in (None, "", ())}
        request = self._client.build_request(
            "GET", _path(stream, path), params=params, headers=self._headers(session), timeout=LIVE_SECONDS
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise ApiAway(_describe(error)) from None
        try:
            if response.status_code != httpx.codes.OK:
                await response.aread()
                _read(response)
                raise ApiAway("the API serves no live decisions")
            yield _split(response)
        except httpx.HTTPError as error:
            raise ApiAway(_describe(error)) from None
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()

    async def _ask(self, method: str, session: Session, path: str, **given: Any) -> Answer:
        try:
            response = await self._client.request(method, path, headers=self._headers(session), **given)
        except httpx.HTTPError as error:
            raise ApiAway(_describe(error)) from None
        return _read(response)

    def _headers(self, session: Session) -> dict[str, str]:
        headers = {"accept": "application/problem+json, application/json", "x-request-id": REQUEST_ID.get() or ""}
        return headers | ({"x-api-key": session.key_text} if self._keyed else {})


def build_client(url: str, ca: str) -> httpx.AsyncClient:
    """Return a client of an address; no proxy of the environment is in between, where keys would pass."""
    verify = ssl.create_default_context(cafile=ca or None) if url.startswith("https") else True
    return httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, verify=verify, trust_env=False)


def _path(stream: str, path: str) -> str:
    return f"/v1/streams/{quote(stream, safe='')}/{path}"


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
        document = response.json()
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
