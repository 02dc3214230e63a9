"""What clients do to a connection: real sockets against the real server, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.forked import Fork
from tests.unit.inference.examples import TRANSACTION
from weir.inference.api.web.load import REQUESTS_LEAST

SECONDS = 2.0
"""What the child gives a client for each part."""
HOST = b"Host: 127.0.0.1\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BODY = json.dumps(TRANSACTION).encode()


class Child:
    """A server process, and its log."""

    def __init__(
        self, folder: Path, *more: str, seconds: float = SECONDS, files: int = 4_096, wait_seconds_max: str = "inf"
    ) -> None:
        self._log, printed = folder / "log", folder / "printed"
        printed.touch()
        arguments = ("tests.integration.http_child", str(seconds), str(files), *more)
        self.process = Fork(arguments, os.environ | {"WAIT_SECONDS_MAX": wait_seconds_max}, printed, self._log)
        await_true(lambda: printed.read_text().endswith("\n") or self.process.poll() is not None, 60)
        self.port = int(printed.read_text() or "0")
        assert self.port, self.log()

    def log(self) -> str:
        return self._log.read_text()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, *parts: bytes, half_close: bool = False) -> bytes:
        """Send, and return all that comes until the server closes."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            return read_all(client)

    def stop(self) -> float:
        """End it; return how long that took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    started = Child(tmp_path_factory.mktemp("http"))
    yield started
    started.stop()


def read_all(client: socket.socket) -> bytes:
    found = b""
    try:
        while part := client.recv(65_536):
            found += part
    except ConnectionError:
        pass
    return found


def read_answer(client: socket.socket) -> bytes:
    """Return the next answer of a connection that lives on."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = client.recv(65_536)
        assert part, found
        found += part
    start, _, body = found.partition(b"\r\n\r\n")
    length = int(start.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65_536)
    return start + b"\r\n\r\n" + body


def ask_on(client: socket.socket, request: bytes) -> bytes:
    """Send a request, and return its answer alone."""
    client.sendall(request)
    return read_answer(client)


def head(path: str = "/v1/score", *, length: int = len(BODY), more: str = "") -> bytes:
    kind = "Content-Type: application/json\r\n"
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}Content-Length: {length}\r\n{more}\r\n".encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def error_of(answer: bytes) -> str:
    code: str = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]
    return code


def await_true(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def health(child: Child) -> int:
    close = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    return status_of(child.ask(close))


def test_a_client_that_goes_away_in_the_middle_of_a_body_is_no_error_of_ours(child: Child) -> None:
    for turn in range(300):
        with child.connect() as client:
            client.sendall(head(length=1_000 + turn) + BODY[: turn % len(BODY)])
            if turn % 3 == 0:  # a reset, as from a client that was killed
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif turn % 3 == 1:
                client.shutdown(socket.SHUT_WR)
    assert health(child) == 200
    assert "xception" not in child.log()
    assert '"level": "error"' not in child.log()
    gone = 'weir_http_request_seconds_count{route="/v1/score",status="499"}'
    await_true(lambda: gone in child.ask(b"GET /metrics HTTP/1.0\r\n" + HOST + b"\r\n").decode())


@pytest.mark.parametrize(
    ("sent", "cause"),
    [(HEALTH[:-2], "headers"), (head() + BODY[:10], "body"), (HEALTH[:9], "headers")],
    ids=["half a head", "half a body", "half a line"],
)
def test_a_half_sent_request_is_answered_408_in_time(child: Child, sent: bytes, cause: str) -> None:
    began = time.monotonic()
    answer = child.ask(sent)
    assert (status_of(answer), error_of(answer)) == (408, "too_slow")
    assert f"the whole {cause} of a request".encode() in answer
    assert time.monotonic() - began < SECONDS + 3


def test_a_client_that_sends_a_byte_now_and_then_gets_no_more_time(child: Child) -> None:
    began = time.monotonic()
    with child.connect() as client:
        client.settimeout(0.2)
        client.sendall(head())
        answer = b""
        while not answer and time.monotonic() - began < 20:
            try:
                client.sendall(b" ")
                answer = client.recv(65_536)
            except TimeoutError:
                pass
    assert status_of(answer) == 408
    assert time.monotonic() - began < SECONDS + 3


@pytest.mark.parametrize("before", [b"", HEALTH, HEALTH + b"\r\n"], ids=["nothing", "a request", "a stray line break"])
def test_a_connection_without_a_request_is_closed_in_time(child: Child, before: bytes) -> None:
    began = time.monotonic()
    assert status_of(child.ask(before)) == (200 if before else 0)
    assert time.monotonic() - began < SECONDS + 3


def test_a_client_that_does_not_read_its_answers_is_let_go(child: Child) -> None:
    with child.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.sendall((b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n" + HOST + b"\r\n") * 20)
        unread = 'weir_http_connections_closed_total{cause="unread_answer"}'
        await_true(lambda: unread in child.ask(b"GET /metrics HTTP/1.0\r\n" + HOST + b"\r\n").decode())


def test_with_1500_half_sent_bodies_open_health_and_scores_are_answered(child: Child) -> None:
    with ExitStack() as opened:
        for _ in range(1_500):
            opened.enter_context(child.connect()).sendall(head() + BODY[:20])
        assert health(child) == 200
        answer = child.ask(head(more="Connection: close\r\n"), BODY)
        assert status_of(answer) == 200


def test_with_few_open_files_too(tmp_path: Path) -> None:
    few = Child(tmp_path, seconds=60, files=160)
    try:
        with ExitStack() as opened:
            clients = []
            for _ in range(1_500):
                clients.append(opened.enter_context(few.connect()))
                clients[-1].sendall(head() + BODY[:20])
            assert [health(few) for _ in range(20)] == [200] * 20
            assert status_of(few.ask(head(more="Connection: close\r\n"), BODY)) == 200
            oldest = read_all(clients[0])
            assert (status_of(oldest), error_of(oldest)) == (503, "busy")
            assert b"retry-after: 1" in oldest
        assert '"few_open_files"' in few.log()
    finally:
        assert few.stop() < 8
    assert '"level": "error"' not in few.log()


def test_a_limit_on_open_files_that_is_too_low_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ulimit -n"):
        Child(tmp_path, files=100)


def test_while_all_places_are_being_answered_health_still_is_and_others_get_503(tmp_path: Path) -> None:
    few = Child(tmp_path, seconds=60, files=160)  # 48 places
    held = json.dumps(TRANSACTION | {"transaction_id": "held"}).encode()
    try:
        with ExitStack() as opened:
            for _ in range(60):
                client = opened.enter_context(few.connect())
                client.sendall(head("/v1/score?publish=true", length=len(held)) + held)
            models = b"GET /v1/models HTTP/1.0\r\n" + HOST + b"\r\n"
            await_true(lambda: status_of(few.ask(models)) == 503)
            assert [health(few) for _ in range(5)] == [200] * 5
            few.process.send_signal(signal.SIGUSR1)
            await_true(lambda: status_of(few.ask(models)) == 200)
    finally:
        few.stop()


def test_a_stop_does_not_wait_for_half_sent_requests(tmp_path: Path) -> None:
    other = Child(tmp_path, seconds=60)
    with other.connect() as client, other.connect() as asked:
        client.sendall(head() + BODY[:9])
        asked.sendall(HEALTH)
        assert status_of(asked.recv(65_536)) == 200
        assert other.stop() < 8
    assert other.process.returncode is not None


NO_HTTP = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": bytes(range(256)),
    "connect": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "two lengths": b"POST /v1/score HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunks": b"POST /v1/score HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no number as length": b"POST /v1/score HTTP/1.1\r\n" + HOST + b"Content-Length: abc\r\n\r\n",
    "bytes in a path": b"GET /v1/features/card/\xff\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a chunk that is none": b"POST /v1/score HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP)
def test_bytes_that_are_no_http_get_an_error_of_the_one_shape(child: Child, sent: bytes) -> None:
    answer = child.ask(sent)
    assert (status_of(answer), error_of(answer)) == (400, "no_http")
    assert b"x-request-id: " in answer
    assert "Invalid HTTP request" not in child.log()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\r\n" * 10_000 + b"\r\n",
        b"GET /healthz?" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
    ids=["a header", "many headers", "a path"],
)
def test_headers_have_a_bound(child: Child, sent: bytes) -> None:
    assert error_of(child.ask(sent)) == "headers_too_large"


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
@pytest.mark.parametrize("split", [False, True])
def test_an_offer_of_another_protocol_is_ignored_and_the_body_is_read(
    child: Child, upgrade: str, *, split: bool
) -> None:
    asking = head(more=f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABk\r\n")
    with child.connect() as client:
        client.sendall(asking if split else asking + BODY)
        if split:
            time.sleep(0.1)  # a packet of its own
            client.sendall(BODY)
        client.sendall(HEALTH[:-2] + b"Connection: close\r\n\r\n")
        answers = read_all(client)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert b'"decision"' in answers
    assert answers.endswith(b'{"alive":true}')
    assert "upgrade" not in child.log()


def test_a_client_that_half_closes_gets_the_answer_that_takes_time(child: Child) -> None:
    slow = json.dumps(TRANSACTION | {"transaction_id": "slow"}).encode()
    answer = child.ask(head("/v1/score?publish=true", length=len(slow)), slow, half_close=True)
    assert status_of(answer) == 200


def test_pipelined_requests_are_answered_in_order(child: Child) -> None:
    last = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    answer = child.ask(head() + BODY + HEALTH * 50 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 52
    assert answer.index(b'"decision"') < answer.index(b'{"alive":true}')


def test_an_error_of_ours_is_logged_once_under_the_id_that_the_answer_carries(tmp_path: Path) -> None:
    other = Child(tmp_path)
    broken = json.dumps(TRANSACTION | {"transaction_id": "broken"}).encode()
    try:
        more = "X-Request-ID: order-7\r\nConnection: close\r\n"
        answer = other.ask(head("/v1/score?publish=true", length=len(broken), more=more), broken)
        assert (status_of(answer), error_of(answer)) == (500, "internal")
        assert b"x-request-id: order-7" in answer
        assert b"a bug" not in answer
        lines = [json.loads(line) for line in other.log().splitlines()]
        assert [line["request_id"] for line in lines if "exception" in line] == ["order-7"]
    finally:
        other.stop()


def test_one_request_too_many_is_refused_at_once_and_its_connection_lives_on(tmp_path: Path) -> None:
    held = json.dumps(TRANSACTION | {"transaction_id": "held"}).encode()
    with ExitStack() as stack:
        loaded = Child(tmp_path, seconds=20, wait_seconds_max="0")
        stack.callback(loaded.stop)
        client = stack.enter_context(loaded.connect())
        for _ in range(2 * REQUESTS_LEAST):  # so that it is known what one costs
            assert status_of(ask_on(client, HEALTH)) == 200
        waiting = [stack.enter_context(loaded.connect()) for _ in range(REQUESTS_LEAST)]
        for each in waiting:
            each.sendall(head("/v1/score?publish=true", length=len(held), more="Expect: 100-continue\r\n"))
            assert each.recv(65_536) == CONTINUE, "it is under way"
            each.sendall(held)
        answer = ask_on(client, head() + BODY)
        assert (status_of(answer), error_of(answer)) == (503, "busy")
        assert b"\r\nretry-after: 1\r\n" in answer
        assert status_of(ask_on(client, HEALTH)) == 200, "who watches a process is answered all the same"
        os.kill(loaded.process.pid, signal.SIGUSR1)
        assert {status_of(read_answer(each)) for each in waiting} == {200}
        assert status_of(ask_on(client, head() + BODY)) == 200
