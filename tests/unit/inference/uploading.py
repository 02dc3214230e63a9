"""An API that takes uploads, over twins in memory and folders of its own."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import NOW_MS, World
from weir.inference.api.app import build_api
from weir.inference.api.uploads.desk import UploadDesk
from weir.infra.upload_settings import UploadSettings
from weir.infra.uploads.folders import UploadFolders
from weir.infra.uploads.reading import ToRead, read_rows

PATH = "/v1/uploads"
CSV, PARQUET = {"content-type": "text/csv"}, {"content-type": "application/vnd.apache.parquet"}
HOUR_MS = 3_600_000
Rows = Sequence[dict[str, Any]]


async def read_here(wanted: ToRead) -> int:
    return read_rows(wanted)


class Uploads:
    """The API, its folders and its clock; ``read`` stands in for the child that reads files."""

    def __init__(self, world: World, folder: Path, **settings: int) -> None:
        self.world = world
        self.root = folder / "uploads"
        self.folders = UploadFolders(self.root)
        self.now_ms = NOW_MS
        self.read: Callable[[ToRead], Any] = read_here
        self.settings = UploadSettings(**settings)
        self.desk = UploadDesk(
            {"transactions": self.folders},
            self.settings,
            now_ms=lambda: self.now_ms,
            read=self._read,
        )
        self.parts = replace(world.parts, streams=[replace(world.served, uploads=self.desk)])
        self.app = build_api(self.parts)

    async def _read(self, wanted: ToRead) -> int:
        found: int = await self.read(wanted)
        return found

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1") as client:
            yield client

    def run(self, body: bytes, headers: dict[str, str] = CSV) -> tuple[dict[str, Any], httpx.Response]:
        """Send a file, wait for its end, and return how it ended and what its result answers."""

        async def ask() -> tuple[dict[str, Any], httpx.Response]:
            async with self.client() as client:
                sent = await client.post(PATH, content=body, headers=headers)
                assert sent.status_code == 202, sent.text
                ended = await wait_for_end(client, sent.headers["location"])
                return ended, await client.get(f"{sent.headers['location']}/result")

        return asyncio.run(ask())

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **given)

        return asyncio.run(ask())


async def wait_for_end(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = (await client.get(path)).json()
        if found["state"] in {"done", "failed"}:
            return found
        await asyncio.sleep(0.002)


def payments(count: int) -> list[dict[str, Any]]:
    return [TRANSACTION | {"event_time_ms": NOW_MS, "transaction_id": f"of-many-{n}"} for n in range(count)]


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))
