"""Writes of any length are packed to what the client's own packing in Python says, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis._parsers import Encoder
from redis.connection import PythonRespSerializer

from infra.redis_session import Command, pack_mset

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ORACLE = PythonRespSerializer(6_000, Encoder("utf-8", "strict", decode_responses=False).encode)  # type: ignore[no-untyped-call]


def joined(command: Command) -> bytes:
    return b"".join(command)


@settings(deadline=None)  # the first call loads Arrow's functions
@given(prefix=TEXT, pairs=st.lists(st.tuples(TEXT, st.binary(max_size=300)), min_size=1, max_size=6))
@pytest.mark.parametrize("keys", [1, 999, 1_000, 2_000])
def test_a_packed_write_is_what_the_client_would_send(keys: int, prefix: str, pairs: list[tuple[str, bytes]]) -> None:
    some = [pairs[n % len(pairs)] for n in range(keys)]
    (command,) = pack_mset(prefix, [key for key, _ in some], [value for _, value in some])
    arguments = [part for key, value in some for part in (prefix + key, value)]
    assert joined(command) == b"".join(ORACLE.pack("MSET", *arguments))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("keys", "sizes"), [(0, []), (2_000, [2_000]), (2_001, [2_000, 1]), (4_500, [2_000, 2_000, 500])]
)
def test_a_long_write_is_cut_into_commands(keys: int, sizes: list[int]) -> None:
    names, values = [f"k{n}" for n in range(keys)], [b"%d" % n for n in range(keys)]
    commands = pack_mset("p:", names, values)
    assert [joined(command).split(b"\r\n", 1)[0] for command in commands] == [b"*%d" % (2 * n + 1) for n in sizes]
    assert all(b"\r\n%b\r\n" % value in b"".join(map(joined, commands)) for value in values[:5])
