"""What is sent to Redis, what a transaction's reply means, and what becomes of a connection after an error."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis._parsers import Encoder
from redis.connection import PythonRespSerializer

from weir.infra.redis import session as redis_session
from weir.infra.redis.session import Session, open_session, pack, pack_mset

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ORACLE = PythonRespSerializer(6_000, Encoder("utf-8", "strict", decode_responses=False).encode)


class Connection:
    """One that answers what it is told to."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.sent = b""
        self.writes = 0
        self.is_connected = True

    def send_packed_command(self, pieces: Sequence[bytes]) -> None:
        self.sent += b"".join(pieces)
        self.writes += len(pieces)

    def read_response(self) -> Any:
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def disconnect(self) -> None:
        self.is_connected = False


@given(prefix=TEXT, pairs=st.lists(st.tuples(TEXT, st.binary(max_size=300)), min_size=1, max_size=6))
def test_a_packed_write_is_what_the_client_would_send(prefix: str, pairs: list[tuple[str, bytes]]) -> None:
    packed = pack_mset(prefix, [key for key, _ in pairs], [value for _, value in pairs])
    arguments = [part for key, value in pairs for part in (prefix + key, value)]
    assert packed == [b"".join(ORACLE.pack("MSET", *arguments))]


@pytest.mark.parametrize(
    ("keys", "sizes"), [(0, []), (2_000, [2_000]), (2_001, [2_000, 1]), (4_500, [2_000, 2_000, 500])]
)
def test_a_long_write_is_cut_into_commands(keys: int, sizes: list[int]) -> None:
    names, values = [f"k{n}" for n in range(keys)], [b"v%d" % n for n in range(keys)]
    commands = pack_mset("p:", names, values)
    assert [command.split(b"\r\n", 1)[0] for command in commands] == [b"*%d" % (2 * size + 1) for size in sizes]
    assert [part for part in b"".join(commands).split(b"\r\n") if part.startswith(b"v")] == values


@pytest.mark.parametrize("values", [[], [b"1", b"2"]])
def test_keys_and_values_that_are_not_aligned_are_refused(values: list[bytes]) -> None:
    with pytest.raises(ValueError, match="slice"):
        pack_mset("p:", ["a"], values)


def test_a_transaction_goes_out_whole_and_its_reply_says_whether_it_took_place() -> None:
    connection = Connection(b"OK", b"QUEUED", [b"OK"], b"OK", b"QUEUED", None)
    session = Session(connection)
    assert session.transact(pack("SET", "a", b"1"))
    assert connection.sent == pack("MULTI") + pack("SET", "a", b"1") + pack("EXEC")
    assert not session.transact(pack("SET", "a", b"1"))
    assert connection.replies == []


@pytest.mark.parametrize(("size", "writes"), [(10, 1), (600_000, 2)])
def test_what_is_long_is_written_command_by_command_each_within_the_timeout(size: int, writes: int) -> None:
    connection = Connection(b"OK", b"OK")
    commands = [pack("SET", key, b"v" * size) for key in "ab"]
    assert Session(connection).ask(*commands) == [b"OK", b"OK"]
    assert (connection.sent, connection.writes) == (b"".join(commands), writes)


@pytest.mark.parametrize(
    "replies",
    [
        [b"OK", redis.ResponseError("OOM"), redis.exceptions.ExecAbortError("discarded")],
        [b"OK", b"QUEUED", redis.exceptions.ExecAbortError("discarded")],
        [b"OK", b"QUEUED", [redis.ResponseError("wrong")]],
        [b"OK", b"QUEUED", []],
        [redis.ConnectionError("gone")],
    ],
)
def test_a_transaction_without_a_whole_answer_is_an_error(replies: list[Any]) -> None:
    with pytest.raises(redis.RedisError):
        Session(Connection(*replies)).transact(pack("SET", "a", b"1"))


def test_a_transaction_is_not_sent_without_the_connection_that_watched() -> None:
    connection = Connection()
    connection.is_connected = False
    with pytest.raises(redis.ConnectionError):
        Session(connection).transact(pack("SET", "a", b"1"))
    assert connection.sent == b""


@pytest.mark.parametrize("error", [None, RuntimeError(), KeyboardInterrupt()])
def test_a_connection_goes_back_and_after_an_error_it_goes_back_closed(
    monkeypatch: pytest.MonkeyPatch, error: BaseException | None
) -> None:
    connection, released = Connection(), list[Connection]()
    pool = SimpleNamespace(get_connection=lambda: connection, release=released.append)
    monkeypatch.setattr(redis_session, "server_of", lambda *_: None)
    monkeypatch.setattr(redis_session, "on_server", lambda *_: nullcontext(SimpleNamespace(connection_pool=pool)))
    with pytest.raises(type(error)) if error else nullcontext(), open_session(None, "a"):
        if error:
            raise error
    assert released == [connection]
    assert connection.is_connected is (error is None)
