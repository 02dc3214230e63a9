"""Two `weir serve` on one address, as a supervisor starts them: keys, rates, repeats and live events are of both.

Both have inherited one listening socket (``--fd``), and whichever is free takes a connection. A connection stays with
the process that took it, so a test asks one of them by stopping the other while it connects.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import create_deployment, settings_for
from tests.integration.forked import Program
from tests.integration.services import Child, Services
from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.inference.examples import TRANSACTION
from weir.inference.api.web.listening import bind
from weir.infra.settings import Settings

pytestmark = pytest.mark.server
BURST = 6
"""Requests of the key with a rate, which does not come back while a test runs."""


class Together:
    """A deployment with two APIs behind one socket."""

    def __init__(self, services: Services, listening: socket.socket, folder: Path) -> None:
        self.services = services
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        descriptor = listening.fileno()
        self._apis = Services(services.settings, folder, child=partial(Program, pass_fds=(descriptor,)))
        start = partial(self._apis.start, "serve", "--fd", str(descriptor), ready="serving http")
        self.children: list[Child] = [start(), start()]

    def make_key(self, name: str, *flags: str) -> dict[str, Any]:
        """Make a key on the command line."""
        made: dict[str, Any] = json.loads(self.services.run("keys", "create", name, *flags, "--json"))
        return made

    @contextmanager
    def connect(self, key: str) -> Iterator[list[httpx.Client]]:
        """Open a connection to each process."""
        with ExitStack() as opened:
            clients = []
            for other in reversed(self.children):
                client = httpx.Client(base_url=self.url, headers={"x-api-key": key}, timeout=30, trust_env=False)
                clients.append(opened.enter_context(client))
                with stopped(other):
                    assert client.get("/healthz").status_code == 200
            yield clients

    def stop(self) -> None:
        """End the processes."""
        self._apis.stop()
        self.services.stop()


@contextmanager
def stopped(child: Child) -> Iterator[None]:
    """Have a process stand still."""
    os.kill(child.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(child.process.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def together(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Together]:
    home = tmp_path_factory.mktemp("together")
    link_champion(home, write_bundle(home / "models" / "tiny-1"))
    settings = settings_for(stack, "together")
    create_deployment(settings)
    api = settings.api.model_copy(update={"keys": "required"})
    services = Services(settings.model_copy(update={"home": home, "api": api}), home / "logs")
    with bind("127.0.0.1", 0) as listening:
        made = Together(services, listening, home / "logs" / "apis")
        yield made
        made.stop()


def statuses(clients: list[httpx.Client], path: str = "/v1/models") -> list[int]:
    return [client.get(path).status_code for client in clients]


def test_a_key_that_is_made_and_revoked_counts_in_both(together: Together) -> None:
    admin = together.make_key("lead", "--scopes", "admin")
    till = together.make_key("till", "--scopes", "read")
    with together.connect(admin["key"]) as ours, together.connect(till["key"]) as theirs:
        together.services.await_true(lambda: statuses([*ours, *theirs]) == [200] * 4, "both keys in both processes")
        revoked = ours[0].post(f"/v1/keys/{till['id']}/revoke", json={})
        assert (revoked.status_code, revoked.json()["valid"]) == (200, False)
        together.services.await_true(lambda: statuses(theirs) == [401, 401], "no process to take the revoked key")
        assert statuses(ours) == [200, 200]
        shown = [{each["id"]: each["valid"] for each in client.get("/v1/keys").json()["keys"]} for client in ours]
        assert shown[0] == shown[1]
        assert shown[0][till["id"]] is False


def test_the_rate_of_a_key_is_of_both(together: Together) -> None:
    made = together.make_key("slow", "--scopes", "read,score", "--rate", "0.001", "--burst", str(BURST))
    with together.connect(made["key"]) as clients:
        # a key that is not known yet is refused before it is counted: one request of each process is
        together.services.await_true(lambda: clients[0].get("/v1/models").status_code == 200, "the key")
        together.services.await_true(lambda: clients[1].get("/v1/models").status_code == 200, "the key in the other")
        answers = [clients[turn % 2].get("/v1/models") for turn in range(BURST)]
        assert [each.status_code for each in answers] == [200] * (BURST - 2) + [429] * 2


def test_a_request_that_is_sent_again_to_the_other_is_done_once(together: Together) -> None:
    made = together.make_key("order", "--scopes", "read,score")
    with together.connect(made["key"]) as clients:
        together.services.await_true(lambda: statuses(clients) == [200, 200], "the key in both")
        event = TRANSACTION | {"transaction_id": "sent-again", "event_time_ms": int(time.time() * 1_000)}
        path, headers = "/v1/score?publish=true", {"idempotency-key": "order-7"}
        answers = [client.post(path, json=event, headers=headers) for client in clients]
        assert [each.status_code for each in answers] == [200, 200]
        assert answers[0].content == answers[1].content
        assert [each.headers.get("idempotency-replayed") for each in answers] == [None, "true"]
        other = clients[1].post(path, json=event | {"amount_minor": 1}, headers=headers)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_a_decision_that_one_answered_with_is_live_in_both(together: Together) -> None:
    made = together.make_key("desk", "--scopes", "read,score")
    together.services.start("run")
    with together.connect(made["key"]) as asking, together.connect(made["key"]) as watching:
        together.services.await_true(lambda: statuses([*asking, *watching]) == [200] * 4, "the key in both")
        seen: list[list[str]] = [[], []]
        ready = [threading.Event(), threading.Event()]
        threads = [
            threading.Thread(target=watch, args=(client, seen[number], ready[number]))
            for number, client in enumerate(watching)
        ]
        for thread, is_ready in zip(threads, ready, strict=True):
            thread.start()
            assert is_ready.wait(60)
        for number, client in enumerate(asking):
            event = TRANSACTION | {"transaction_id": f"live-{number}", "event_time_ms": int(time.time() * 1_000)}
            decided = client.post("/v1/decide", params={"wait_ms": 10_000}, json=event)
            assert (decided.status_code, decided.json()["transaction_id"]) == (200, f"live-{number}")
        for thread in threads:
            thread.join(60)
        assert seen == [["live-0", "live-1"]] * 2


def watch(client: httpx.Client, seen: list[str], ready: threading.Event) -> None:
    """Note the ids of two live decisions."""
    with client.stream("GET", "/v1/decisions/live", params={"card": TRANSACTION["card_id"]}) as answer:
        for line in answer.iter_lines():
            if '"reading":true' in line:
                ready.set()
            if '"transaction_id":"live-' in line:
                seen.append(json.loads(line.removeprefix("data:"))["transaction_id"])
            if len(seen) == 2:
                return
