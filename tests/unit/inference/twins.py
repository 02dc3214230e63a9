"""The API's world in memory: partials, decisions and a publisher that can be sent away and brought back."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from weir.inference.api.ports import Published
from weir.infra.redis.partials_reader import Partials
from weir.schemas.errors import Transient


class MemoryPartials:
    """Live partials by entity and id; ``away`` is what an absent Redis says."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Partials] = {}
        self.incomplete: list[str] = []
        self.away = ""
        self.asked = 0

    def read_many(self, wanted: list[tuple[str, str]], *, from_ms: int = 0) -> list[Partials]:
        assert from_ms >= 0
        self.asked += 1
        if self.away:
            raise Transient(self.away)
        nothing = Partials([], [], not self.incomplete, self.incomplete, {"t00": 7})
        return [self.stored.get(pair, nothing) for pair in wanted]

    def ping(self) -> None:
        if self.away:
            raise Transient(self.away)


class MemoryDecisions:
    """Decisions by transaction id."""

    def __init__(self, partials: MemoryPartials) -> None:
        self.stored: dict[str, bytes] = {}
        self._redis = partials

    def read(self, transaction_id: str) -> bytes | None:
        self._redis.ping()
        return self.stored.get(transaction_id)


class MemoryPublisher:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.published: list[dict[str, object]] = []
        self.away = ""

    def publish(self, transaction: dict[str, object]) -> Published:
        if self.away:
            raise Transient(self.away)
        self.published.append(transaction)
        return Published("transactions", 0, len(self.published) - 1)


class Client:
    """Calls an application without a server; one event loop a request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request("GET", path, options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request("POST", path, options))

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, options))

    async def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)
