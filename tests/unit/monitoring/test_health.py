"""The health pages: from memory, with old looks and hanging loops told."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from weir.monitoring.health import LOOK_SECONDS_MAX, TURN_SECONDS_MAX, Health
from weir.monitoring.server import serve_metrics


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
def port(health: Health) -> Iterator[int]:
    server = serve_metrics("127.0.0.1", 0, health)
    yield server.port
    server.close()


def get(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_process_that_has_not_looked_yet_is_not_ready(port: int) -> None:
    assert get(port, "/readyz") == (503, {"ready": False, "checks": {}})
    assert get(port, "/healthz") == (200, {"alive": True, "hanging": []})


def test_a_process_is_ready_when_nothing_fails_and_says_what_warns(health: Health, port: int) -> None:
    health.note("kafka", "ok")
    health.note("redis", "warn", "redis is nearly full")
    assert get(port, "/readyz") == (200, {"ready": True, "checks": {"kafka": "ok", "redis": "redis is nearly full"}})
    health.note("redis", "fail", "redis is full")
    assert get(port, "/readyz") == (503, {"ready": False, "checks": {"kafka": "ok", "redis": "redis is full"}})


def test_a_look_that_is_old_fails(health: Health, clock: Clock) -> None:
    health.note("kafka", "ok")
    clock.now += LOOK_SECONDS_MAX + 1
    assert not health.is_ready()
    assert "found none for" in health.checks()["kafka"][1]


def test_a_loop_that_does_not_turn_is_not_alive(health: Health, clock: Clock, port: int) -> None:
    health.turn("process")
    health.turn("index")
    clock.now += TURN_SECONDS_MAX + 1
    health.turn("index")
    assert get(port, "/healthz") == (503, {"alive": False, "hanging": ["process"]})


def test_a_page_that_is_not_there_is_404(port: int) -> None:
    assert get(port, "/secrets")[0] == 404


def test_half_a_request_keeps_nobody_else_waiting(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert get(port, "/healthz")[0] == 200
