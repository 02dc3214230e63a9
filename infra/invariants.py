"""Everything that the promises rely on while we run, as one list.

A start refuses on it, ``/readyz`` and ``weir doctor`` say how it stands, and the alerts are about it.

| looked at | must be | where |
|---|---|---|
| Redis | ``noeviction``, room below ``maxmemory``, saves, replicas in sync | ``infra/redis/watch.py`` |
| topics | there, append time, retention, not compacted, dead letters' partitions | ``infra/kafka/topics.py`` |
| clocks | ours and the broker's within a minute | ``infra/host.py`` |
| registry | our contracts are there, and what stands there can be read | ``infra/registry/cli.py`` |
| this machine | room on disk, file descriptors | ``infra/host.py`` |
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from weir.infra.findings import Finding, worst
from weir.infra.host import examine_host, judge_clock
from weir.infra.kafka.positions import Positions
from weir.infra.kafka.topics import examine_topics
from weir.infra.redis.client import connect
from weir.infra.redis.watch import examine_redis
from weir.infra.registry.cli import check_registered
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.errors import Refused, Transient
from weir.schemas.stream import Stream


@dataclass(frozen=True)
class Invariant:
    """Something to look at.

    Attributes:
        name: what is looked at; a dependency's is that of ``weir_dependency_up``.
        examine: returns how it stands; raises ``Transient`` when it is unreachable, ``Refused`` when it lets nobody in.
        at_start: whether a process that decides refuses to start on a ``fail``.
        per_stream: whether each stream has one of its own.
    """

    name: str
    examine: Callable[[Settings], list[Finding]]
    at_start: bool = False
    per_stream: bool = False


def _redis(settings: Settings) -> list[Finding]:
    with closing(connect(settings.redis)) as client:
        return examine_redis(client)


def examine_registry(settings: Settings) -> list[Finding]:
    """Return every subject that is not as we need it, or the one finding that there is none.

    Raises:
        Transient: the registry is unreachable.
        Refused: it does not let us in.
    """
    with closing(Registry(settings.registry)) as registry:
        found = list(check_registered(registry, settings.topics, streams=(settings.stream,)))
    faults = [
        Finding("schemas", "fail", f"{each.subject}: {each.problem}", "see `weir schemas check`")
        for each in found
        if each.problem
    ]
    return faults or [Finding("schemas", "ok", "every contract is registered, and what is registered can be read")]


def examine_clock(settings: Settings) -> list[Finding]:
    """Return whether our clock is behind the broker's; that it is ahead shows as records are appended (``watch``).

    Raises:
        Transient: the brokers did not answer in time.
    """
    newest = Positions(settings.kafka).read_newest((settings.topics.transactions,))
    appended_ms = max((appended for _, appended in newest.values()), default=None)
    now_ms = int(time.time() * 1_000)
    return [judge_clock(looked_ms=appended_ms or now_ms, now_ms=now_ms, appended_ms=appended_ms)]


INVARIANTS: tuple[Invariant, ...] = (
    Invariant("kafka", examine_topics, at_start=True, per_stream=True),
    Invariant("redis", _redis, at_start=True),
    Invariant("kafka", examine_clock, per_stream=True),
    Invariant("registry", examine_registry, per_stream=True),
    Invariant("host", lambda settings: examine_host(settings.home)),
)
"""In the order in which a start asks."""


def examine_start(settings: Settings) -> list[Finding]:
    """Return what a start has to know, up to the first that it refuses.

    Raises:
        Transient: a dependency is unreachable.
    """
    found: list[Finding] = []
    for invariant in INVARIANTS:
        if invariant.at_start:
            found += invariant.examine(settings)
    return found


def examine_all(
    settings: Settings, streams: Sequence[Stream] = (), *, without: Collection[str] = ()
) -> Iterator[Finding]:
    """Look at everything once, one finding for each check; what is unreachable is a finding too.

    Args:
        settings: of this deployment.
        streams: those that it has; by default the one of the settings.
        without: names of what need not be asked, being known to be away.
    """
    each = [settings.of_stream(stream) for stream in streams] or [settings]
    for invariant in INVARIANTS:
        if invariant.name in without:
            continue
        try:
            of = each if invariant.per_stream else each[:1]
            found = [finding for one in of for finding in invariant.examine(one)]
        except (Transient, Refused) as error:
            without = {*without, invariant.name}
            yield Finding(invariant.name, "fail", str(error), "see `weir status`, and its address among the settings")
        else:
            yield from _fold(found)


def _fold(findings: list[Finding]) -> Iterator[Finding]:
    """Yield the worst finding of each check, and how many more are bad."""
    for check in dict.fromkeys(finding.check for finding in findings):
        part = [finding for finding in findings if finding.check == check]
        level = worst(part)
        first, *more = [finding for finding in part if finding.level == level]
        tail = f" (and {len(more)} more)" if more and not first.well else ""
        yield Finding(check, level, first.found + tail, first.fix)
