"""The open-loop client: schedule, waits that count, answers that are not right."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.bench import load_client
from tests.bench.load_client import Load, build_requests, load

Answer = Callable[[int], Awaitable[bytes]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"


def _load(answer: Answer, *, count: int, rate: float) -> tuple[Load, list[bytes]]:
    """Load a server that answers by a function of how many it was asked before; return what it was asked too."""
    asked: list[bytes] = []

    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())  # type: ignore[arg-type]
        try:
            while True:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(await answer(len(asked) - 1))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()

    async def run() -> Load:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await load(address, build_requests("features", 10, count, address), rate)
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.wait(serving)
        return found

    return asyncio.run(run()), asked


async def _at_once(_: int) -> bytes:
    return OK


def test_every_request_is_asked_once_and_none_before_it_is_due() -> None:
    found, asked = _load(_at_once, count=50, rate=500)
    assert len(asked) == len(found.latency_ms) == len(found.lag_ms) == 50
    assert min(found.lag_ms) >= 0
    assert all(line.startswith(b"GET /v1/features/card/card_00000") for line in asked)
    assert (found.failures, found.unanswered) == ([], 0)


def test_an_answer_that_is_not_200_is_a_failure() -> None:
    async def second_fails(number: int) -> bytes:
        return b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n" if number == 1 else OK

    assert _load(second_fails, count=4, rate=200)[0].failures == ["HTTP/1.1 503 Busy"]


def test_the_wait_behind_a_stall_counts_for_all_who_stood_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # one connection; the first answer takes 200 ms while requests are due every 10 ms: the second waited 190 ms, ...
    monkeypatch.setattr(load_client, "_CONNECTIONS", 1)

    async def first_stalls(number: int) -> bytes:
        if number == 0:
            await asyncio.sleep(0.2)
        return OK

    latency = _load(first_stalls, count=10, rate=100)[0].latency_ms
    assert all(value >= 190 - 10 * number for number, value in enumerate(latency))


def test_a_server_that_never_answers_has_the_latency_that_was_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_client, "_BEHIND_SECONDS_MAX", 0.5)

    async def never(_: int) -> bytes:
        await asyncio.sleep(5)
        return OK

    found, _ = _load(never, count=5, rate=100)
    assert (found.unanswered, len(found.latency_ms)) == (5, 5)
    assert min(found.latency_ms) > 200
