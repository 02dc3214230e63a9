"""Whatever a client writes, the answer is no 5xx, comes in time, has the one shape, and repeats nothing of it."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.test_http_connections import Child, head, health, status_of
from tests.unit.inference.examples import TRANSACTION

SECRET = "4111111111111111"
PROBLEM = {"type", "title", "status", "detail", "instance", "error"}
METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", "PRI"]
PIECES = [
    "/v1/features/", "/v1/decisions/", "/v1/score", "/docs", "/openapi.json", "card", "device/", "ip/", "%00", "%2F",
    "%2e%2e/", "../", "//", ";", "?publish=true", "?publish=", "&", "#", "%", "%zz", "%ff%fe", "%ED%A0%80",
    "%F0%9F%92%B3", "%0d%0aX: y", "\\", "{entity}", "'\"<script>", "a" * 200, "a" * 9_000, SECRET,
    "http://elsewhere/", "*", "@", ":80", "%1b[31m",
]  # fmt: skip
NAMES = [
    "Host", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "Upgrade",
    "Expect", "X-Request-ID", "Accept", "Range", "If-None-Match", "Cookie", "Authorization", "X-Forwarded-For",
    "Origin", "TE", "Trailer", "X-HTTP-Method-Override", "Sec-WebSocket-Key", "bad name", "", "X\x00",
]  # fmt: skip
WORDS = [
    "", "application/json", "application/json; charset=utf-16", "gzip", "chunked", "identity", "0", "5", "-1",
    "9" * 30, "close", "keep-alive, Upgrade", "h2c", "websocket", "100-continue", "127.0.0.1", "elsewhere", "[::1]",
    "*", "bytes=0-1", SECRET, "a" * 5_000, "\x1b[31m", "\xff\xfe", "a, b, c", "\t",
]  # fmt: skip
SOUND_PATHS = [
    "/v1/score",
    "/v1/score?publish=true",
    "/healthz",
    "/v1/features/card/x",
    "/v1/decisions/x",
    "/docs",
    "/",
]
MILD = ["Content-Type", "Content-Encoding", "Connection", "Upgrade", "Expect", "X-Request-ID", "If-None-Match", "Range"]
PATHS = st.sampled_from(SOUND_PATHS) | st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)
MILD_HEADERS = st.lists(st.tuples(st.sampled_from(MILD), st.sampled_from(WORDS[:16])), max_size=4)
HEADERS = MILD_HEADERS | st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(WORDS) | st.text(max_size=20)), max_size=6
)
BODIES = st.sampled_from([b"", b"{}", json.dumps(TRANSACTION).encode(), b"5\r\nhello\r\n0\r\n\r\n"]) | st.binary(
    max_size=60
)


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    started = Child(tmp_path_factory.mktemp("fuzz"), seconds=0.5)
    yield started
    started.stop()


SEEN: Counter[int] = Counter()


def some(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def check(child: Child, sent: bytes) -> None:
    began = time.monotonic()
    answer = child.ask(sent, half_close=True)
    assert time.monotonic() - began < 10
    for status, at in (
        (status_of(answer[found.start() :]), found.end()) for found in re.finditer(rb"HTTP/1\.1 \d+ ", answer)
    ):
        SEEN[status] += 1
        assert status < 500, (sent, answer)
        body = answer[at:].partition(b"\r\n\r\n")[2]
        if status >= 400 and body.startswith(b"{"):
            assert set(json.JSONDecoder().raw_decode(body.decode())[0]) == PROBLEM
    assert SECRET.encode() not in answer
    assert b"\x1b" not in answer


@some(400)
@given(st.sampled_from(METHODS), PATHS, HEADERS, BODIES)
def test_any_method_path_and_headers(
    child: Child, method: str, path: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name}: {value}" for name, value in headers),
    ]
    check(child, "\r\n".join([*lines, "", ""]).encode("utf-8", "replace") + body)


@some(100)
@given(st.sampled_from(PIECES))
def test_any_id_in_a_path(child: Child, piece: str) -> None:
    for path in (f"/v1/features/card/{piece}", f"/v1/decisions/{piece}", f"/v1/features/{piece}/x"):
        check(child, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())


@some(150)
@given(st.binary(max_size=300))
def test_any_bytes(child: Child, sent: bytes) -> None:
    check(child, sent)


@some(100)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4), st.integers(0, 6))
def test_any_change_to_a_sound_request(child: Child, place: int, added: bytes, cut: int) -> None:
    body = json.dumps(TRANSACTION).encode()
    request = head(more="X-Request-ID: order-7\r\n") + body
    at = place % len(request)
    check(child, request[:at] + added + request[at + cut :])


def test_after_all_of_it_the_server_is_well_and_has_logged_no_error(child: Child) -> None:
    assert min(SEEN[status] for status in (200, 400, 404, 405, 415, 422)) > 0, SEEN  # it reached every part
    assert health(child) == 200
    assert '"level": "error"' not in child.log()
    assert "Traceback" not in child.log()
    assert SECRET not in child.log()
