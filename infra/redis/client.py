"""The only place that connects to Redis. Retries are ours (a lost reply has a meaning), so the client has none.

On a Redis Cluster a unit of state, or one decision, lies on one server, and is asked for there by that server's plain
client: the cluster's own client can neither watch nor send a transaction, and its pipeline asks again command by
command when a server is unreachable, one timeout for each. What such a client leaves out is done in ``on_server``:
after a failure the cluster is asked again which server holds what, so that the next attempt goes to the promoted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import HiredisRespSerializer
from redis.exceptions import MovedError, ReadOnlyError, RedisClusterException
from redis.retry import Retry

from weir.infra.redis.errors import explain, find_cause
from weir.infra.settings import RedisSettings
from weir.schemas.errors import Refused, Transient

Client = Any
"""``redis.Redis`` or ``RedisCluster``: the same commands, typed too differently to share a useful type."""

Node = ClusterNode | None
"""One server: a cluster's node, or ``None`` for the only one."""

_PORT = 6379
_ERRORS = (redis.RedisError, RedisClusterException, OSError)
"""What a client raises when a server is unreachable, busy, full or failing over; the last two are no ``RedisError``."""

T = TypeVar("T")


class Packer(HiredisRespSerializer):
    r"""Packs MGET, of thousands of strings, without the client's look at the type of each argument.

    That look is two fifths of what packing costs.

    >>> Packer().pack("MGET", "a")
    [b'*2\r\n$4\r\nMGET\r\n$1\r\na\r\n']
    """

    def pack(self, *args: Any) -> list[bytes]:
        """Return a command as it is sent."""
        packed: list[bytes] = [hiredis.pack_command(args)] if args[0] == "MGET" else super().pack(*args)
        return packed


def connect(settings: RedisSettings) -> Client:
    """Return a client that serves several threads. One of a single server sends nothing until its first command.

    Raises:
        Refused: the URL cannot be read; what it holds is not quoted, for it may hold a password.
        Transient: no node of a cluster answered.
    """
    try:
        return _connect(settings)
    except ValueError:
        raise Refused(
            "setting WEIR_REDIS__URL: expected redis://host:port/db, rediss:// or unix://, found one that cannot be "
            "read; a password with other characters than letters and digits goes into WEIR_REDIS__PASSWORD"
        ) from None


def _connect(settings: RedisSettings) -> Client:
    options: dict[str, Any] = {
        "socket_timeout": settings.timeout_seconds,
        "socket_connect_timeout": settings.timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }
    if settings.username:
        options["username"] = settings.username
    if settings.password.get_secret_value():
        options["password"] = settings.password.get_secret_value()
    if settings.ssl_ca_location:
        options["ssl_ca_certs"] = settings.ssl_ca_location
    if settings.cluster:
        url, others = _split_hosts(settings.url)
        with transient_errors("finding the cluster's nodes"):
            return RedisCluster.from_url(url, startup_nodes=others, **options)  # it takes no packer
    return redis.Redis.from_url(settings.url, command_packer=Packer(), **options)


def _split_hosts(url: str) -> tuple[str, list[ClusterNode]]:
    """Return the URL of the first host, and the others: a start must not hang on one server of a cluster.

    >>> _split_hosts("redis://u:p@a:1,b:2/0")
    ('redis://u:p@a:1/0', [[host=b,port=2,name=b:2,server_type=None,redis_connection=None]])
    """
    scheme, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    user, at, hosts = place.rpartition("@")
    first, *others = hosts.split(",")
    found = [urlsplit(f"//{host}") for host in others]
    nodes = [ClusterNode(host.hostname, host.port or _PORT) for host in found]  # type: ignore[no-untyped-call]
    return f"{scheme}{separator}{user}{at}{first}{slash}{path}", nodes


@contextmanager
def transient_errors(what: str) -> Iterator[None]:
    """Turn an unreachable, busy or full Redis, or one that fails over, into ``Transient``, with the cause named."""
    try:
        yield
    except _ERRORS as error:
        raise Transient(f"redis: {what}: {explain(error)}", cause=find_cause(error)) from error


def _is_cluster(client: Client) -> bool:
    return isinstance(client, RedisCluster)


def is_single(client: Client) -> bool:
    """Return whether one server has all keys, so that a command takes any of them."""
    return not _is_cluster(client)


def primaries(client: Client) -> list[Node]:
    """Return every server that holds keys of its own."""
    return list(client.get_primaries()) if _is_cluster(client) else [None]


def replicas(client: Client) -> list[Node]:
    """Return a cluster's replicas: each brings its own configuration when it is promoted."""
    return list(client.get_replicas()) if _is_cluster(client) else []


@contextmanager
def on_server(client: Client, node: Node) -> Iterator[Any]:
    """Lend the plain client of one server; when that fails, find out for the next time who does its work now."""
    try:
        yield client if node is None else client.get_redis_connection(node)
    except ReadOnlyError:
        if node is None:
            # demoted: its address may lead to the promoted one by now, but a connection that stands does not
            client.connection_pool.disconnect(inuse_connections=False)
        raise
    except _ERRORS as error:
        if node is not None:
            _find_servers_again(client, node, error)
        raise


def _find_servers_again(client: RedisCluster, node: ClusterNode, error: Exception) -> None:
    with suppress(*_ERRORS):  # nobody knows yet: the next failure asks again
        if isinstance(error, MovedError):
            client.nodes_manager.move_slot(error)
        else:
            client.nodes_manager.initialize(last_failed_node_name=node.name)


def server_of(client: Client, key: str) -> Node:
    """Return the server that holds a key.

    Raises:
        RedisClusterException: the cluster does not know.
    """
    node: Node = client.get_node_from_key(key) if _is_cluster(client) else None
    return node


def ask_servers(
    client: Client, items: Iterable[T], *, key_of: Callable[[T], str], ask: Callable[[Any, list[T]], None]
) -> None:
    """Hand each server's plain client those items whose keys it holds: one call, and so one round trip, per server."""
    parts: dict[Node, list[T]] = {}
    for item in items:
        parts.setdefault(server_of(client, key_of(item)), []).append(item)
    for node, part in parts.items():
        with on_server(client, node) as server:
            ask(server, part)


def read_lists(server: Any, wanted: list[list[str]], *, at_once: bool) -> list[list[bytes | None]]:
    """Return the values of lists of keys, in one round trip: by one command for all of them, or by one for each."""
    if at_once:
        values = iter(server.mget(list(chain.from_iterable(wanted))))
        return [list(islice(values, len(keys))) for keys in wanted]
    pipeline = server.pipeline(transaction=False)
    for keys in wanted:
        pipeline.mget(keys)
    found: list[list[bytes | None]] = pipeline.execute()
    return found


def ping(client: Client) -> None:
    """Ask every server that holds keys for a sign of life; a replica that is unreachable keeps nobody from working.

    Raises:
        Transient: one is unreachable.
    """
    for node in primaries(client):
        with transient_errors("ping"), on_server(client, node) as server:
            server.ping()
