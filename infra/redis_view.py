"""The view in Redis: one unit of state per input partition, moved forward by compare-and-set and nothing else.

Keys of a unit share a hash tag, so that one transaction (WATCH the position, MULTI, MSET, SET, EXEC) writes a batch's
partials and moves the position atomically, on one server as in a cluster. A server-side script does the same at
three times the server's time per key (``docs/adr/0003``)::

    weir:<cluster>:<group>:<view>:{t03}:position        "applied since target"
    weir:<cluster>:<group>:<view>:{t03}:<entity>:<id>   the partial's bytes
    weir:<cluster>:<group>:view:{t03}                   the view that follows the log, see ``follow``
    weir:<cluster>:<group>:starts:{t03}                 "offset count", see ``note_start``; no part of the view

``view`` is the hash of the declarations and of the topic's id: other declarations, or a topic created anew, are another
view beside this one. ``applied`` is the next input offset to be folded. ``since`` is the append time in ms from which
the unit is complete (0: from the log's first record). ``target`` is how far a rebuild has to go before the unit is
complete again.

Delivery: exactly once per input offset range; a repeated apply changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

from infra.redis_client import Client, ask_servers, on_server, primaries, server_of, transient_errors
from infra.redis_session import Session, open_session, pack, pack_mset
from schemas.errors import Refused, Transient
from schemas.features import DAY_MS, DECLARATIONS_HASH, HORIZON_MS, LABEL_HOLD_MS

PARTIAL_TTL_MS = HORIZON_MS + LABEL_HOLD_MS + 30 * DAY_MS
"""Look-back with hold, plus the longest stop tolerated. It only collects garbage: reads forget by event time."""

_SWEEP_KEYS = 500
_DROPPING = b"dropping"
_POSITION = re.compile(rb"([0-9]{1,19}) ([0-9]{1,19}) ([0-9]{1,19})")
_STARTS = re.compile(rb"([0-9]{1,19}) ([0-9]{1,9})")
_STARTS_TTL_MS = DAY_MS
_MGET_KEYS = 1_000
"""Keys up to which all units are read by one command: for few keys a command costs the client more than its keys do."""


class Unit(NamedTuple):
    """One input partition as a unit of atomicity.

    Attributes:
        kind: ``t`` for transactions, ``l`` for labels.
        partition: of the input topic.
    """

    kind: str
    partition: int

    @property
    def tag(self) -> str:
        """Return the hash tag's content.

        >>> Unit("t", 3).tag
        't03'
        """
        return f"{self.kind}{self.partition:02d}"


@dataclass(frozen=True)
class Position:
    """How far a unit has been folded, and from when it is complete."""

    applied: int
    since_ms: int = 0
    target: int = 0

    @property
    def rebuilding(self) -> bool:
        """True while a rebuild has not yet reached what was there before."""
        return self.applied < self.target

    def is_complete(self, from_ms: int) -> bool:
        """True when everything after ``from_ms`` (append time) is in the unit."""
        return not self.rebuilding and self.since_ms <= from_ms


def parse_position(raw: bytes | None, unit: Unit) -> Position | None:
    """Read a unit's position value; ``None`` where there is none, or none any more.

    Raises:
        Refused: it is no position. Somebody else wrote it, so what stands beside it is not to be trusted either, and
            to take it for absent would be a guess.

    >>> parse_position(b"12 0 0", Unit("t", 3))
    Position(applied=12, since_ms=0, target=0)
    """
    if raw is None or raw == _DROPPING:
        return None
    if (found := _POSITION.fullmatch(raw)) is None:
        raise Refused(
            f"redis: expected the position of unit {unit.tag} as three numbers, found {raw[:40]!r}: not written by us; "
            f"`weir offsets drop-view --partition {unit.partition} --apply` deletes the unit, and the next start "
            "rebuilds it from the log"
        )
    applied, since_ms, target = map(int, found.groups())
    return Position(applied, since_ms, target)


@dataclass(frozen=True)
class Loaded:
    """Partials read together with their unit's position.

    Attributes:
        moved_on: another view of the group is the one that follows the log now, so this one lacks what came since.
    """

    position: Position | None
    partials: list[bytes]
    moved_on: bool = False


@dataclass(frozen=True)
class Applied:
    """What the compare-and-set said: ``done`` when the batch is in, else what was found instead."""

    done: bool
    found: str


class StateView:
    """Reads and writes units of one group's view."""

    def __init__(self, client: Client, *, cluster: str, group: str, topic_ids: dict[str, str]) -> None:
        """Bind to a key space.

        Args:
            client: from ``infra.redis_client.connect``.
            cluster: ``settings.cluster``.
            group: the processor's consumer group.
            topic_ids: unit kind to the id of its input topic.
        """
        self._client = client
        self._group = f"weir:{cluster}:{group}"
        self._everything = f"{self._group}:*"
        self._prefix = {kind: f"weir:{cluster}:{group}:{_view_hash(topic_id)}" for kind, topic_id in topic_ids.items()}

    def prefix(self, unit: Unit) -> str:
        """Return what every key of a unit starts with, the colon included."""
        return f"{self._prefix[unit.kind]}:{{{unit.tag}}}:"

    def position(self, unit: Unit) -> Position | None:
        """Return the unit's position, or ``None`` when Redis knows none.

        Raises:
            Refused: what stands there is no position.
            Transient: Redis is away.
        """
        with transient_errors("reading a position"):
            return parse_position(self._client.get(self.prefix(unit) + "position"), unit)

    def claim(self, unit: Unit, position: Position) -> bool:
        """Create the unit's position; False when there is one already, which then stands."""
        value = f"{position.applied} {position.since_ms} {position.target}"
        key = self.prefix(unit) + "position"
        with transient_errors("claiming a position"), on_server(self._client, server_of(self._client, key)) as server:
            return bool(server.set(key, value, nx=True))

    def follow(self, unit: Unit) -> None:
        """Say that this view is the one of the group that follows the log from now on in this unit.

        While processors of two declarations share a group, and after it, the other view stays where it was left.
        Whoever still reads it (a processor of the old declarations with other partitions, an API) is told by this.

        Raises:
            Transient: Redis is away.
        """
        key = self._following(unit)
        with transient_errors("naming the view"), on_server(self._client, server_of(self._client, key)) as server:
            server.set(key, self._prefix[unit.kind])

    def _following(self, unit: Unit) -> str:
        return f"{self._group}:view:{{{unit.tag}}}"

    def note_start(self, unit: Unit, offset: int) -> int:
        """Count a process that is about to decide its first records of a unit, from ``offset`` on.

        A note of what was tried, and no part of the state: it lies beside the view and is about the group's offset, so
        it is one for all views of the group, it follows the partition to other machines, and nothing is folded from it.

        Returns:
            How many there were at this offset, this one included. Lost with Redis or after a day, it begins again.

        Raises:
            Transient: Redis is away.
        """
        key = f"{self._group}:starts:{{{unit.tag}}}"
        with transient_errors("noting a start"), on_server(self._client, server_of(self._client, key)) as server:
            known = _STARTS.fullmatch(server.get(key) or b"")
            starts = int(known[2]) + 1 if known and int(known[1]) == offset else 1
            server.set(key, f"{offset} {starts}", px=_STARTS_TTL_MS)
        return starts

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        """Read partials of several units, one atomic command each, in one round trip per server."""
        found: dict[Unit, Loaded] = {}

        def ask(server: Any, units: list[tuple[Unit, Sequence[str]]]) -> None:
            named = [self._keys(unit, keys) for unit, keys in units]
            # the only server takes keys of all units in one command, where a cluster's wants one per hash slot
            at_once = server is self._client and sum(map(len, named)) <= _MGET_KEYS
            read = _read_at_once if at_once else _read_one_by_one
            for (unit, _), raw in zip(units, read(server, named), strict=True):
                found[unit] = self._loaded(unit, raw)

        with transient_errors("reading partials"):
            ask_servers(self._client, wanted, key_of=lambda part: self.prefix(part[0]), ask=ask)
        return found

    def _keys(self, unit: Unit, keys: Sequence[str]) -> list[str]:
        prefix = self.prefix(unit)
        return [prefix + "position", self._following(unit), *[prefix + key for key in keys]]

    def _loaded(self, unit: Unit, raw: list[bytes | None]) -> Loaded:
        """Make something of a position, the view that follows the log, and partials."""
        moved_on = raw[1] not in {None, self._prefix[unit.kind].encode()}
        return Loaded(parse_position(raw[0], unit), [value or b"" for value in raw[2:]], moved_on)

    def apply(self, unit: Unit, *, start: int, end: int, keys: Sequence[str], partials: Sequence[bytes]) -> Applied:
        """Write partials and move the position from ``start`` to ``end``, if it is at ``start``.

        Raises:
            Transient: no answer; the write may or may not have happened, and asking again tells.
        """
        prefix = self.prefix(unit)
        position = prefix + "position"
        with transient_errors("applying a batch"), self._session(position) as session:
            found = parse_position(session.ask(pack("WATCH", position), pack("GET", position))[1], unit)
            if found is None or found.applied != start:
                session.ask(pack("UNWATCH"))
                return _judge(found, end)
            moved = pack("SET", position, f"{end} {found.since_ms} {found.target}")
            if not session.transact(*pack_mset(prefix, keys, partials), moved):
                now = parse_position(session.ask(pack("GET", position))[0], unit)
                if now is not None and now.applied == start:
                    raise Transient("redis: applying a batch: the position was written, and is where it was")
                return _judge(now, end)
        return Applied(True, "ok")

    def drop(self, unit: Unit) -> None:
        """Delete a unit. Its position goes last and is no position meanwhile, so that nobody can claim and rebuild it.

        A rebuild beside the deletion would lose what it has written already. A drop that was broken off is done again.

        Raises:
            Transient: Redis is away.
        """
        prefix = self.prefix(unit)
        position = prefix + "position"
        with transient_errors("dropping a unit"):
            self._client.set(position, _DROPPING)
            for key in self._client.scan_iter(match=prefix.replace("[", "\\[") + "*", count=_SWEEP_KEYS):
                if key != position.encode():
                    self._client.delete(key)
            self._client.delete(position)

    def _session(self, key: str) -> AbstractContextManager[Session]:
        return open_session(self._client, key)

    def sweep(self) -> Iterator[int]:
        """Give partials of the group that have no TTL one, in short steps; yields how many keys a step looked at.

        A write drops the TTL of what it writes (MSET; see ``docs/adr/0003``). Setting it on a slow round keeps it off
        the writes' path, and an entity that is never written again is collected all the same, as is another view's.

        Raises:
            Transient: Redis is away.
        """
        lasting = f"{self._group}:view:".encode()
        for node in primaries(self._client):
            cursor = 0
            while True:
                with transient_errors("sweeping"), on_server(self._client, node) as server:
                    cursor, keys = server.scan(cursor, match=self._everything, count=_SWEEP_KEYS)
                    pipeline = server.pipeline(transaction=False)
                    for key in keys:
                        if not key.endswith(b":position") and not key.startswith(lasting):  # these never expire
                            pipeline.pexpire(key, PARTIAL_TTL_MS, nx=True)
                    pipeline.execute()
                yield len(keys)
                if cursor == 0:
                    break


def _read_one_by_one(server: Any, wanted: list[list[str]]) -> list[list[bytes | None]]:
    pipeline = server.pipeline(transaction=False)
    for keys in wanted:
        pipeline.mget(keys)
    values: list[list[bytes | None]] = pipeline.execute()
    return values


def _read_at_once(server: Any, wanted: list[list[str]]) -> list[list[bytes | None]]:
    values = iter(server.mget(list(chain.from_iterable(wanted))))
    return [list(islice(values, len(keys))) for keys in wanted]


def _judge(found: Position | None, end: int) -> Applied:
    """Say what a position means for a write up to ``end``: there already (an earlier reply was lost), or refused."""
    if found is None:
        return Applied(False, "absent")
    return Applied(True, "same") if found.applied == end else Applied(False, str(found.applied))


def _view_hash(topic_id: str) -> str:
    return hashlib.sha256(f"{DECLARATIONS_HASH} {topic_id}".encode()).hexdigest()[:10]
