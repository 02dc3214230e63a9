"""What the API answers when more is asked than it can: ``python -m tests.bench.overload``.

First as fast as it can over a few connections, which is its capacity; then on a schedule at multiples of that, over
many connections, whatever comes back. The client is a process of its own on the same cores, with callbacks alone: it
has to ask three times as fast as the server answers. Latency is from when a request was due; a request that finds no
free connection waits, and its wait counts. One line of JSON per multiple; with ``--p99-ms-max``
the exit code is 1 where accepted requests took longer at the 99th percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import uvloop

from tests.bench.figures import percentile
from tests.bench.load_client import build_requests
from tests.conftest import create_deployment, running_stack, settings_for
from tests.integration.forked import Program
from tests.integration.services import Services, log_of
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.settings import load_settings

CARDS = 20_000
CAPACITY_CONNECTIONS, CONNECTIONS = 32, 800
WARM_SECONDS = 3.0
_TICK_SECONDS = 0.001
_REQUESTS = 20_000
"""Built once, and asked again and again."""
_AFTER_SECONDS = 5.0


class Client:
    """Asks on a schedule, or, without a rate, again as soon as an answer comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, requests: list[bytes], rate: float, seconds: float) -> None:
        self._loop = loop
        self._requests = requests
        self._rate = rate
        self._seconds = seconds
        self.free: deque[Connection] = deque()  # used in turn: one that rests is closed by the server
        self._backlog: deque[float] = deque()
        self._asked = self._answered = 0
        self.answers: dict[int, list[float]] = {}
        self.lag_ms: list[float] = []
        self.done: asyncio.Future[None] = loop.create_future()

    def start(self) -> None:
        self._began = self._loop.time()
        if self._rate:
            self._tick()
        else:
            for connection in list(self.free):
                self._ask(connection, self._began)
            self.free.clear()

    def answered(self, connection: Connection, status: int) -> None:
        now = self._loop.time()
        self._answered += 1
        self.answers.setdefault(status, []).append((now - connection.due) * 1_000)
        if self._backlog:
            self._ask(connection, self._backlog.popleft())
        elif self._rate or now - self._began >= self._seconds:
            self.free.append(connection)
        else:
            self._ask(connection, now)
        if now - self._began >= self._seconds and self._answered == self._asked and not self.done.done():
            self.done.set_result(None)

    @property
    def unanswered(self) -> int:
        return self._asked + len(self._backlog) - self._answered

    def _tick(self) -> None:
        now = self._loop.time()
        due_until = min(now - self._began, self._seconds) * self._rate
        number = self._asked + len(self._backlog)
        if number < due_until:
            self.lag_ms.append((now - self._began - number / self._rate) * 1_000)
        while number < due_until:
            due = self._began + number / self._rate
            if self.free:
                self._ask(self.free.popleft(), due)
            else:
                self._backlog.append(due)
            number += 1
        if now - self._began < self._seconds:
            self._loop.call_later(_TICK_SECONDS, self._tick)

    def _ask(self, connection: Connection, due: float) -> None:
        connection.ask(self._requests[self._asked % len(self._requests)], due)
        self._asked += 1


class Connection(asyncio.Protocol):
    """One request at a time, the least of HTTP."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.due = 0.0
        self._left = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is one by its methods alone
        self._client.free.append(self)

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._left + data if self._left else data
        head = data.find(b"\r\n\r\n")
        at = data.find(b"content-length: ")
        if head < 0 or len(data) < head + 4 + int(data[at + 16 : data.find(b"\r", at)]):
            self._left = data
            return
        self._left = b""
        self._client.answered(self, int(data[9:12]))


async def ask(address: str, connections: int, rate: float, seconds: float) -> dict[str, object]:
    """Ask, and return what came back; times in ms."""
    loop = asyncio.get_running_loop()
    host, _, port = address.partition(":")
    client = Client(loop, build_requests("score", CARDS, _REQUESTS, address), rate, seconds)
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(client), host, int(port))
    client.start()
    with suppress(TimeoutError):
        await asyncio.wait_for(client.done, seconds + _AFTER_SECONDS)
    answers = {
        status: {"per_second": round(len(taken) / seconds, 1)}
        | {f"p{share}_ms": round(percentile(taken, share), 1) for share in (50, 99)}
        for status, taken in sorted(client.answers.items())
    }
    lag_ms = round(percentile(client.lag_ms, 99), 1) if client.lag_ms else 0.0
    return {"answers": answers, "unanswered": client.unanswered, "client_lag_ms_p99": lag_ms}


def main() -> int:
    """Measure, and write one line of JSON per multiple; or be the client."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--times", type=float, nargs="+", default=[0.7, 1.5, 3.0], help="of the capacity")
    parser.add_argument("--p99-ms-max", type=float, help="of accepted requests, at each multiple")
    parser.add_argument("--client", nargs=3, metavar=("ADDRESS", "CONNECTIONS", "RATE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        address, connections, rate = given.client
        found = uvloop.run(ask(address, int(connections), float(rate), given.seconds))
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    with running_stack() as stack:
        settings = settings_for(load_settings({"WEIR_HOME": str(stack.home)}), "overload")
        create_deployment(settings)
        home = Path(settings.home) / "api"
        link_champion(home, write_bundle(home / "models" / "tiny-1"))
        services = Services(settings.model_copy(update={"home": home}), home / "logs", child=Program)
        try:
            api = services.start("serve", "--port", "0", ready="serving http")
            address = log_of(api).partition("serving http://")[2].split()[0]
            slowest_ms = measure(address, given.times, given.seconds)
        finally:
            services.stop()
    return int(given.p99_ms_max is not None and slowest_ms > given.p99_ms_max)


def measure(address: str, times: list[float], seconds: float) -> float:
    """Find the capacity, then ask for multiples of it; return the largest p99 of accepted requests, in ms."""
    slowest_ms = 0.0
    _run_client(address, CAPACITY_CONNECTIONS, 0, WARM_SECONDS)
    found = _run_client(address, CAPACITY_CONNECTIONS, 0, seconds)
    capacity = found["answers"]["200"]["per_second"]
    sys.stdout.write(json.dumps({"capacity_per_second": capacity} | found) + "\n")
    for each in times:
        found = _run_client(address, CONNECTIONS, each * capacity, seconds)
        sys.stdout.write(json.dumps({"times": each, "asked_per_second": round(each * capacity)} | found) + "\n")
        sys.stdout.flush()
        slowest_ms = max(slowest_ms, found["answers"]["200"]["p99_ms"])
        time.sleep(2.0)
    return slowest_ms


def _run_client(address: str, connections: int, rate: float, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.overload", "--seconds", str(seconds)]
    command += ["--client", address, str(connections), str(rate)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
