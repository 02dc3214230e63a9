"""One connection to one server, for commands that belong together: a ``WATCH`` and the transaction that it guards.

The client's own pipeline does the same with a round trip for each watched command, and says of a connection that died
what it says of a key that was written: that the transaction did not take place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hiredis
import redis

from weir.infra.redis.client import Client, on_server, server_of

_MSET_KEYS = 2_000
"""Keys per MSET: bounds how long packing one keeps the interpreter from other threads, a millisecond."""

_JOINED_BYTES_MAX = 1_000_000
"""Up to here commands are one write to the socket, as after each the interpreter has to be waited for.

The socket's timeout is for a whole write, so what takes a slow server longer is written command by command.
"""


class Session:
    """A borrowed connection; see ``open_session``."""

    def __init__(self, connection: Any) -> None:
        """Take a connection of ``redis.Redis``'s pool."""
        self._connection = connection

    def ask(self, *commands: bytes) -> list[Any]:
        """Send packed commands at once and return their replies.

        Raises:
            redis.RedisError: no answer, or the first reply that is an error; the session is of no use any more.
        """
        few = sum(map(len, commands)) <= _JOINED_BYTES_MAX
        self._connection.send_packed_command([b"".join(commands)] if few else commands)
        return [self._connection.read_response() for _ in commands]

    def transact(self, *commands: bytes) -> bool:
        """Send commands as one transaction; False when a watched key was written meanwhile, and then none took place.

        Raises:
            redis.RedisError: no answer (it may have taken place), or the server refused a command, and so all. One that
                fails as it is executed leaves those next to it done; ``MSET`` and ``SET`` do not.
        """
        if not self._connection.is_connected:  # sending would connect again, and what was watched is forgotten
            raise redis.ConnectionError("the connection that watched is gone")
        executed = self.ask(pack("MULTI"), *commands, pack("EXEC"))[-1]
        if executed is None:
            return False
        for reply in executed:
            if isinstance(reply, Exception):
                raise reply
        if len(executed) != len(commands):
            raise redis.ResponseError(f"expected {len(commands)} replies in a transaction's, found {len(executed)}")
        return True


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


def pack(*arguments: str | bytes) -> bytes:
    r"""Return a command as it is sent.

    >>> pack("GET", "a")
    b'*2\r\n$3\r\nGET\r\n$1\r\na\r\n'
    """
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type] # its stub knows one argument only
    return packed


def pack_mset(prefix: str, keys: Sequence[str], values: Sequence[bytes]) -> list[bytes]:
    r"""Return the MSETs that set ``prefix + key`` to its value, for every key.

    >>> pack_mset("p:", ["a"], [b"1"])
    [b'*3\r\n$4\r\nMSET\r\n$3\r\np:a\r\n$1\r\n1\r\n']
    """
    pairs: list[str | bytes] = [b""] * (2 * len(keys))  # filled by slices: less than half the cost of a loop
    pairs[::2], pairs[1::2] = [prefix + key for key in keys], values
    step = 2 * _MSET_KEYS
    return [pack("MSET", *pairs[first : first + step]) for first in range(0, len(pairs), step)]
