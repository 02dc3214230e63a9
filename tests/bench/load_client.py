"""Asks the API on a fixed schedule over a few connections, whatever comes back. A process of its own.

A request that finds no free connection waits, and its wait counts: latency is from the moment it was due. Bare sockets
and the least of HTTP, because on two cores the client's time is taken from the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field

from tests.bench.figures import percentile

_CONNECTIONS = 32
_CONNECTIONS_THAT_WAIT = 256
"""A request for a decision holds its connection until the stream has decided."""
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_SPIN_SECONDS = 0.0005
_BEHIND_SECONDS_MAX = 20.0
"""A server that cannot keep the rate is not waited for any longer."""


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        """Send a request; the future is its status line."""
        self._answer = asyncio.get_running_loop().create_future()
        self._buffer = b""
        assert isinstance(self._transport, asyncio.WriteTransport)
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(_HEAD_END)
        if not end or self._answer is None:
            return
        length = int(head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0])
        if len(body) >= length:
            answer, self._answer = self._answer, None
            if not answer.done():  # nobody waits any more once time is up
                answer.set_result(head.partition(b"\r\n")[0])

    def close(self) -> None:
        """Close it; what is under way is not waited for."""
        self._answer = None
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed by the server"))


def build_requests(kind: str, cards: int, count: int, address: str) -> list[bytes]:
    """Return the bytes of every request, drawn with a fixed seed."""
    dice = random.Random(5)
    begun = int(time.time())
    return [_build(kind, f"card_{dice.randrange(cards):06d}", f"fixed-{begun}-{n}", address) for n in range(count)]


def _build(kind: str, card: str, transaction: str, address: str) -> bytes:
    if kind == "features":
        return f"GET /v1/features/card/{card} HTTP/1.1\r\nhost: {address}\r\n\r\n".encode()
    body = json.dumps(
        {
            "transaction_id": transaction, "card_id": card, "customer_id": "cust_000001",
            "merchant_id": "mer_busy_1", "mcc": 5411, "channel": "ECOM", "amount_minor": 2_599, "currency": "EUR",
            "country": "DE", "event_time_ms": int(time.time() * 1_000),
        }
    )  # fmt: skip
    head = f"POST /v1/{kind} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


@dataclass
class Load:
    """What came of a load; times in ms.

    Attributes:
        latency_ms: of each request, from when it was due. What was never answered counts with the time it had waited.
        lag_ms: how long after its due time the client turned to each request.
        failures: status lines but 200.
        unanswered: requests that the server was too far behind to answer.
    """

    latency_ms: list[float] = field(default_factory=list)
    lag_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unanswered: int = 0


async def load(address: str, requests: list[bytes], rate: float, connections_max: int = 0) -> Load:
    """Ask every request when it is due, and give the server a bounded time to catch up afterwards."""
    connections = await _connect(address, connections_max or _CONNECTIONS)
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)
    found = Load()
    begun = time.perf_counter() + 0.2
    waiting = {number: begun + number / rate for number in range(len(requests))}

    async def ask(number: int, request: bytes) -> None:
        connection = await free.get()
        status = await connection.ask(request)
        found.latency_ms.append((time.perf_counter() - waiting.pop(number)) * 1_000)
        if b" 200 " not in status:
            found.failures.append(status.decode("latin-1"))
        free.put_nowait(connection)

    try:
        async with asyncio.timeout(len(requests) / rate + _BEHIND_SECONDS_MAX), asyncio.TaskGroup() as group:
            for number, request in enumerate(requests):
                await _until(due := begun + number / rate)
                found.lag_ms.append((time.perf_counter() - due) * 1_000)
                group.create_task(ask(number, request))
    except TimeoutError:
        now = time.perf_counter()
        found.unanswered = len(waiting)
        found.latency_ms += [(now - due) * 1_000 for due in waiting.values()]
    for connection in connections:
        connection.close()
    return found


async def ask_in_turn(address: str, requests: list[bytes]) -> list[str]:
    """Ask one request after the other over one connection; return the status lines but 200."""
    host, _, port = address.partition(":")
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
    statuses = [await connection.ask(request) for request in requests]
    connection.close()
    return [status.decode("latin-1") for status in statuses if b" 200 " not in status]


async def _connect(address: str, count: int) -> list[Connection]:
    host, _, port = address.partition(":")
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, host, int(port)))[1] for _ in range(count)]


async def _until(due: float) -> None:
    while (wait := due - time.perf_counter()) > 0:
        await asyncio.sleep(wait if wait > _SPIN_SECONDS else 0)


def main() -> None:
    """Load the API, then write what was found as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=["score", "features", "decide"], required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--cards", type=int, required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    requests = build_requests(given.kind, given.cards, int(given.rate * given.seconds), given.address)
    connections = _CONNECTIONS_THAT_WAIT if given.kind == "decide" else _CONNECTIONS
    done = asyncio.run(load(given.address, requests, given.rate, connections))
    found = {
        "latency_ms": [round(value, 3) for value in done.latency_ms],
        "lag_ms_p99": round(percentile(done.lag_ms, 99), 2),
        "unanswered": done.unanswered,
        "failed": len(done.failures),
        "first_failure": done.failures[0] if done.failures else "",
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
