"""One connection to one server, for commands that belong together: a ``WATCH`` and the transaction that it guards.

The client's own pipeline takes a round trip for each watched command and packs a write's thousands of arguments one by
one, under the interpreter's lock. Here what can go together goes in one trip, and Arrow packs long writes off the lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hiredis
import pyarrow as pa
import pyarrow.compute as pc

from infra.redis_client import Client, on_server, server_of

Command = list[bytes | memoryview]
"""A packed command, in pieces."""

_MSET_KEYS = 2_000
"""Keys per MSET: bounds what one command holds in memory, here and in the server."""
_ARROW_KEYS_MIN = 1_000
"""For fewer, Arrow's calls cost more than packing argument by argument."""
_JOINED_BYTES_MAX = 65_536
"""Up to here pieces are copied into one write to the socket."""


class Session:
    """A borrowed connection; see ``open_session``."""

    def __init__(self, connection: Any) -> None:
        """Take a connection of ``redis.Redis``'s pool."""
        self._connection = connection

    def ask(self, *commands: Command) -> list[Any]:
        """Send commands in one go and return their replies.

        Raises:
            redis.RedisError: no answer, or the first reply that is an error; the session is of no use any more.
        """
        pieces = [piece for command in commands for piece in command]
        if sum(map(len, pieces)) <= _JOINED_BYTES_MAX:
            pieces = [b"".join(pieces)]
        self._connection.send_packed_command(pieces)
        return [self._connection.read_response() for _ in commands]

    def transact(self, *commands: Command) -> bool:
        """Send commands as one transaction; False when a watched key was written meanwhile, and then none took place.

        Raises:
            redis.RedisError: no answer (it may have taken place), or the server took one of the commands for wrong.
        """
        executed = self.ask(pack("MULTI"), *commands, pack("EXEC"))[-1]
        for reply in executed or ():
            if isinstance(reply, Exception):
                raise reply
        return executed is not None


@contextmanager
def open_session(client: Client, key: str) -> Iterator[Session]:
    """Lend a connection to the server that holds a key; after an error it is closed, and with it what it watched."""
    with on_server(client, server_of(client, key)) as server:
        pool = server.connection_pool
        connection = pool.get_connection()
        try:
            yield Session(connection)
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)


def pack(*arguments: str | bytes | int) -> Command:
    r"""Return a command as it is sent.

    >>> pack("GET", "a")
    [b'*2\r\n$3\r\nGET\r\n$1\r\na\r\n']
    """
    return [hiredis.pack_command(arguments)]  # type: ignore[arg-type] # its stub knows one argument only


def pack_mset(prefix: str, keys: Sequence[str], values: Sequence[bytes]) -> list[Command]:
    r"""Return the MSETs that set ``prefix + key`` to its value, for every key.

    >>> pack_mset("p:", ["a"], [b"1"])
    [[b'*3\r\n$4\r\nMSET\r\n$3\r\np:a\r\n$1\r\n1\r\n']]
    """
    commands = []
    for first in range(0, len(keys), _MSET_KEYS):
        some = slice(first, first + _MSET_KEYS)
        few = len(keys) - first < _ARROW_KEYS_MIN
        commands.append((_pack_few if few else _pack_many)(prefix, keys[some], values[some]))
    return commands


def _pack_few(prefix: str, keys: Sequence[str], values: Sequence[bytes]) -> Command:
    pairs: list[str | bytes] = [b""] * (2 * len(keys))  # filled by slices: less than half the cost of a loop
    pairs[::2], pairs[1::2] = [prefix + key for key in keys], values
    return pack("MSET", *pairs)


def _pack_many(prefix: str, keys: Sequence[str], values: Sequence[bytes]) -> Command:
    """Write the protocol's ``$<bytes>`` and the text of all arguments as columns, joined row by row into one buffer."""
    head = prefix.encode()
    names, partials = pa.array(keys, pa.string()).cast(pa.binary()), pa.array(values, pa.binary())
    name_bytes, partial_bytes = pc.add(pc.binary_length(names), len(head)), pc.binary_length(partials)
    # the last argument is the separator
    columns = [b"$", _digits(name_bytes), b"\r\n" + head, names, b"\r\n$", _digits(partial_bytes), b"\r\n", partials]
    body = pc.binary_join_element_wise(*columns, b"\r\n", b"")
    return [b"*%d\r\n$4\r\nMSET\r\n" % (2 * len(keys) + 1), memoryview(body.buffers()[2])]


def _digits(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.string()).cast(pa.binary())
