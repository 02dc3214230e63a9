"""A deployment of its own under a steady stream: servers, processes, a generator, and somebody who looks things up."""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.soak.probe import Sample, read_machine, read_redis, read_usage
from weir.inference.inspect.lag import read_lag
from weir.infra.children import Child, Children
from weir.infra.embedded.stack import Stack
from weir.infra.kafka.topics import ensure_topics
from weir.infra.redis.client import connect
from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import WeirError

_STEP_SECONDS_MAX = 600.0
_LOOK_UPS_AT_ONCE = 5
_SHOWN_MAX = 200
_CACHE_MB = 64
"""So little that the processor's cache is full within minutes: partials grow for a day, and so does what has room."""
VERBS = {"processor": "process", "scorer": "score", "index": "index", "api": "serve"}


class World:
    """Started by ``start``, ended by ``close``; the history is in the windows before the stream begins."""

    def __init__(self, home: Path, *, cards: int, history_cards: int, days: int) -> None:
        """Choose ports; nothing runs yet.

        Args:
            home: of everything.
            cards: that pay in the stream. A card's partial holds a day's transaction ids: with few cards at a high rate
                it grows all day to a size that no card in the world has.
            history_cards: that paid in the days before; the model is trained on them.
            days: of history.
        """
        self._stack = Stack(home)
        self._api_port = _free_port()
        self._environment = {
            "WEIR_HOME": str(home),
            **self._stack.environment(),
            "WEIR_API__PORT": str(self._api_port),
            "WEIR_PROCESSOR__CACHE_MB_MAX": str(_CACHE_MB),
        }
        self._children = Children(home / "logs", self._environment)
        self._services: dict[str, Child] = {}
        self._cards, self._history_cards, self._days, self._history = cards, history_cards, days, home / "history"
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self._api_port}", timeout=10)
        self._rng = random.Random(1)
        self.settings: Settings = load_settings(self._environment)
        self.looked_up = 0
        self.look_up_errors: list[str] = []

    def start(self) -> None:
        """Start servers and processes, and work a small history through them.

        Raises:
            WeirError: something died or did not get ready in time.
        """
        self._stack.start()
        self._redis = connect(self.settings.redis)
        ensure_topics(self.settings)
        self._verb("schemas", "register")
        days, cards = ("--days", str(self._days)), ("--cards", str(self._history_cards))
        self._verb("generate", "--to", "parquet", "--out", str(self._history), *days, *cards)
        self._verb("train", "--history", str(self._history), "--quick", "--promote", "--no-track")
        for name, verb in VERBS.items():
            self._services[name] = self._children.start(name, _weir(verb))
        self._verb("generate", "--from-parquet", str(self._history), "--history-speed", "max")
        self._await(lambda: sum(self._read_lag().values()) < 100, "the history to be worked off")
        self._await(self._is_ready, "the API")

    def begin(self, *, rate: int, seconds: int) -> Child:
        """Start the stream."""
        flags = ("--rate", str(rate), "--seconds", str(seconds), "--json", "--cards", str(self._cards))
        return self._children.start("generator", _weir("generate", *flags))

    def end(self, generator: Child) -> int:
        """Wait for the stream's end; return how many records it sent."""
        if generator.process.wait(_STEP_SECONDS_MAX) != 0:
            raise WeirError(f"the generator failed:\n{generator.log_file.read_text()[-2_000:]}")
        self._children.running.remove(generator)
        line = next(line for line in generator.log_file.read_text().splitlines() if line.startswith("{"))
        return int(json.loads(line)["records"])

    def sample(self, seconds: float) -> Sample:
        """Look at everything.

        Raises:
            WeirError: a process died.
        """
        self._children.check()
        pids = {name: child.process.pid for name, child in self._services.items()}
        for name in ("kafka", "redis"):
            running = self._stack.processes[name].find_running()
            if running is None:
                raise WeirError(f"{name} died")
            pids[name] = running.pid
        usage = {name: read_usage(pid) for name, pid in pids.items()}
        return Sample(seconds, usage, read_redis(self._redis), self._read_lag(), read_machine())

    def look_up(self) -> None:
        """Ask the API for a few cards, as somebody at a desk would."""
        for _ in range(_LOOK_UPS_AT_ONCE):
            answer = self._http.get(f"/v1/features/card/card_{self._rng.randrange(self._cards):06}")
            self.looked_up += 1
            if answer.status_code != 200:
                self.look_up_errors.append(f"{answer.status_code} {answer.text[:_SHOWN_MAX]}")

    def close(self) -> None:
        """End every process and server."""
        self._http.close()
        self._children.stop()
        self._stack.stop()

    def _read_lag(self) -> dict[str, int]:
        lag = dict.fromkeys(("process", "score", "index"), 0)
        for row in read_lag(self.settings):
            lag[row.stage] += row.lag_records
        return lag

    def _is_ready(self) -> bool:
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _STEP_SECONDS_MAX
        while not condition():
            self._children.check()
            if time.monotonic() > deadline:
                raise WeirError(f"expected {what} within {_STEP_SECONDS_MAX:.0f} s")
            time.sleep(1)

    def _verb(self, verb: str, *flags: str) -> None:
        child = self._children.start(verb, _weir(verb, *flags))
        code = child.process.wait(_STEP_SECONDS_MAX)
        self._children.running.remove(child)
        if code != 0:
            raise WeirError(f"`weir {verb}` failed with exit code {code}:\n{child.log_file.read_text()[-2_000:]}")


def _weir(verb: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", "weir", verb, *flags]


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
