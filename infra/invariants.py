"""Everything that the promises rely on while we run, as one list.

A start refuses on it, ``/readyz`` and ``weir doctor`` say how it stands, and the alerts are about it.

| looked at | must be | where |
|---|---|---|
| Redis | ``noeviction``, room below ``maxmemory``, saves, replicas in sync | ``infra/redis_watch.py`` |
| topics | there, append time, retention, not compacted, dead letters' partitions | ``infra/topics.py`` |
| clocks | ours and the broker's within a minute | ``infra/host.py`` |
| registry | our contracts are there, and what stands there can be read | ``infra/schemas_cli.py`` |
| this machine | room on disk, file descriptors | ``infra/host.py`` |
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from infra.findings import Finding
from infra.host import examine_host
from infra.redis_client import connect
from infra.redis_watch import examine_redis
from infra.registry import Registry
from infra.schemas_cli import check_registered
from infra.settings import Settings
from infra.topics import examine_topics


@dataclass(frozen=True)
class Invariant:
    """Something to look at.

    Attributes:
        name: what is looked at; a dependency's is that of ``weir_dependency_up``.
        examine: returns how it stands; raises ``Transient`` while it is away, ``Refused`` when it lets nobody in.
        at_start: whether a process that decides refuses to start on a ``fail``.
    """

    name: str
    examine: Callable[[Settings], list[Finding]]
    at_start: bool = False


def _redis(settings: Settings) -> list[Finding]:
    with closing(connect(settings.redis)) as client:
        return examine_redis(client)


def examine_registry(settings: Settings) -> list[Finding]:
    """Return every subject that is not as we need it, or the one finding that there is none.

    Raises:
        Transient: the registry is away.
        Refused: it does not let us in.
    """
    with closing(Registry(settings.registry)) as registry:
        found = list(check_registered(registry, settings.topics))
    faults = [
        Finding("schemas", "fail", f"{each.subject}: {each.problem}", "see `weir schemas check`")
        for each in found
        if each.problem
    ]
    return faults or [Finding("schemas", "ok", "every contract is registered, and what is registered can be read")]


INVARIANTS: tuple[Invariant, ...] = (
    Invariant("kafka", examine_topics, at_start=True),
    Invariant("redis", _redis, at_start=True),
    Invariant("registry", examine_registry),
    Invariant("host", lambda settings: examine_host(settings.home)),
)
"""In the order in which a start asks."""


def examine_start(settings: Settings) -> list[Finding]:
    """Return what a start has to know, up to the first that it refuses.

    Raises:
        Transient: a dependency is away.
    """
    found: list[Finding] = []
    for invariant in INVARIANTS:
        if invariant.at_start:
            found += invariant.examine(settings)
    return found
