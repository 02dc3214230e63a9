"""The only place that connects to Redis. Retries are ours (a lost reply has a meaning), so the client has none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from infra.settings import RedisSettings
from schemas.errors import Refused, Transient

Client = Any
"""``redis.Redis`` or ``RedisCluster``: the same commands, typed too differently to share a useful type."""


def connect(settings: RedisSettings) -> Client:
    """Return a client that serves several threads. One of a single server sends nothing until its first command.

    Raises:
        Transient: no node of a cluster answered.
    """
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
        with transient_errors("finding the cluster's nodes"):
            return RedisCluster.from_url(settings.url, **options)
    return redis.Redis.from_url(settings.url, **options)


@contextmanager
def transient_errors(what: str) -> Iterator[None]:
    """Turn what Redis says when it is away, busy, full or failing over into ``Transient``."""
    try:
        yield
    except (redis.RedisError, RedisClusterException, OSError) as error:  # the latter two are no RedisError
        raise Transient(f"redis: {what}: {error}") from error


def check_eviction_policy(client: Client) -> None:
    """Refuse a server that may drop keys on its own: positions would stay while the state they stand for is gone.

    Raises:
        Refused: ``maxmemory-policy`` is not ``noeviction``.
        Transient: the server cannot be reached.
    """
    with transient_errors("reading maxmemory-policy"):
        found = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    if found != "noeviction":
        raise Refused(
            f"expected redis maxmemory-policy noeviction, found {found}: evicted state cannot be told from no state; "
            "run `redis-cli config set maxmemory-policy noeviction` and set it in the server's file"
        )
