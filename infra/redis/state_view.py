"""The view in Redis: one unit of state per input partition, moved forward by compare-and-set and nothing else.

Keys of a unit share a hash tag, so that one transaction (WATCH the position, MULTI, MSET, SET, EXEC) writes a batch's
partials and moves the position atomically, on one server as in a cluster (a script takes three times as long)::

    weir:<cluster>:<group>:<view>:{t03}:position        "applied since target partitions known check"
    weir:<cluster>:<group>:<view>:{t03}:<entity>:<id>   the partial's bytes
    weir:<cluster>:<group>:<view>:{t03}:known:<n>       which partials were ever written, see ``known_list``
    weir:<cluster>:<group>:view:{t03}                   the view that follows the log, see ``follow``
    weir:<cluster>:<group>:suspect:{t03}                why the unit has to be built again, see ``suspect``
    weir:<cluster>:<group>:starts:{t03}                 "offset count", see ``note_start``; no part of the view

``view`` is the hash of declarations and of the topic's id: other declarations, or a topic created again, are another
view next to this one. ``applied`` is the next input offset to be folded. ``since`` is the append time in ms from which
the unit is complete (0: from the log's first record). ``target`` is how far a rebuild has to go before the unit is
complete again. ``partitions`` is under how many partitions of the input every key counted here belongs here, 0 when
some key does not: then a reader of all of a card asks this unit too. ``check`` is a checksum of the others. After an
erasure (``infra/redis/erasing.py``) there is one more number before it: how many there were.

Nothing that is read is trusted: a position without its check is none, a value of another type or an empty one is
handed on as bytes that no partial can be, and the reader that finds either says so (``suspect``).

Delivery: exactly once per input offset range; a repeated apply changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from weir.infra.redis.client import (
    Client,
    ask_servers,
    on_server,
    read_lists,
    server_of,
    transient_errors,
)
from weir.infra.redis.known_list import list_segments, pack_part, read_parts, segment_of
from weir.infra.redis.loaded import Loaded, build_loaded
from weir.infra.redis.session import Session, open_session, pack, pack_mset
from weir.infra.redis.sweep import sweep
from weir.infra.redis.unit import DROPPING, Position, Unit, UnreadablePosition, format_position, parse_position
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments

STOP_MS_MAX = 30 * DAY_MS
"""The longest stop tolerated: a partial expires by so much after it is in no window. That only collects garbage, as
reads forget by event time."""

_DROPPED_KEYS = 500
_STARTS = re.compile(rb"([0-9]{1,19}) ([0-9]{1,9})")
_STARTS_TTL_MS = DAY_MS
_KNOWN_BYTES_MAX = 64_000_000
"""A longer list, of some three million ids, is not read: a start would wait for it."""
_MGET_KEYS = 1_000
"""Keys up to which all units are read by one command: for few keys a command costs the client more than its keys do."""


@dataclass(frozen=True)
class Applied:
    """What the compare-and-set said: ``done`` when the batch is in, else what was found instead."""

    done: bool
    found: str


class StateView:
    """Reads and writes units of one group's view."""

    def __init__(
        self,
        client: Client,
        *,
        cluster: str,
        group: str,
        topic_ids: dict[str, str],
        declarations_hash: str,
        look_back_ms: int = payments.horizon_ms + payments.label_hold_ms,
    ) -> None:
        """Bind to a key space.

        Args:
            client: from ``weir.infra.redis.client.connect``.
            cluster: ``settings.cluster``.
            group: the processor's consumer group.
            topic_ids: unit kind to the id of its input topic.
            declarations_hash: of the deployment, ``settings.declarations_hash``.
            look_back_ms: of the stream, with the hold of its labels: what is older is in no window.
        """
        self._client = client
        self._ttl_ms = look_back_ms + STOP_MS_MAX
        self._group = f"weir:{cluster}:{group}"
        self._prefix = {
            kind: f"{self._group}:{_view_hash(declarations_hash, topic_id)}" for kind, topic_id in topic_ids.items()
        }

    def prefix(self, unit: Unit) -> str:
        """Return what every key of a unit starts with, the colon included."""
        return f"{self._prefix[unit.kind]}:{{{unit.tag}}}:"

    @property
    def group_prefix(self) -> str:
        """What every key of the group starts with, in all of its views, the colon included."""
        return f"{self._group}:"

    def position(self, unit: Unit) -> Position | None:
        """Return the unit's position, or ``None`` when Redis knows none.

        Raises:
            UnreadablePosition: what stands there is no position.
            Transient: Redis is unreachable.
        """
        with transient_errors("reading a position"):
            return parse_position(self._client.get(self.prefix(unit) + "position"), unit)

    def look(self, unit: Unit) -> Loaded:
        """Return where the unit stands and whether it can be believed, without partials.

        Raises:
            Transient: Redis is unreachable.
        """
        return self.load_many([(unit, [])])[unit]

    def suspect(self, unit: Unit, reason: str) -> None:
        """Mark a unit as one to be built again from the log: nobody believes it until its processor has done so.

        Any process may say so, a reader as well; the mark is deleted with the unit.

        Raises:
            Transient: Redis is unreachable.
        """
        key = self._suspect(unit)
        with transient_errors("marking a unit"), on_server(self._client, server_of(self._client, key)) as server:
            server.set(key, f"{self._prefix[unit.kind]} {reason}")

    def _suspect(self, unit: Unit) -> str:
        return f"{self._group}:suspect:{{{unit.tag}}}"

    def claim(self, unit: Unit, position: Position) -> bool:
        """Create the unit's position; False when there is one already, which then stands."""
        value = format_position(position, unit)
        key = self.prefix(unit) + "position"
        with transient_errors("claiming a position"), on_server(self._client, server_of(self._client, key)) as server:
            return bool(server.set(key, value, nx=True))

    def follow(self, unit: Unit) -> None:
        """Say that this view is the one of the group that follows the log from now on in this unit.

        While processors of two declarations share a group, and after it, the other view stays where it was left.
        What still reads it (a processor of the old declarations with other partitions, an API) is told by this.

        Raises:
            Transient: Redis is unreachable.
        """
        key = self._following(unit)
        with transient_errors("naming the view"), on_server(self._client, server_of(self._client, key)) as server:
            server.set(key, self._prefix[unit.kind])

    def _following(self, unit: Unit) -> str:
        return f"{self._group}:view:{{{unit.tag}}}"

    def note_start(self, unit: Unit, offset: int) -> int:
        """Count a process that is about to decide its first records of a unit, from ``offset`` on.

        No part of the state: it is about the group's offset, one for all views, and nothing is folded from it.

        Returns:
            How many there were at this offset, this one included. Lost with Redis or after a day, it begins again.
        """
        key = f"{self._group}:starts:{{{unit.tag}}}"
        with transient_errors("noting a start"), on_server(self._client, server_of(self._client, key)) as server:
            # by MGET: a value of another type counts as none
            known = _STARTS.fullmatch(server.mget([key])[0] or b"")
            starts = int(known[2]) + 1 if known and int(known[1]) == offset else 1
            server.set(key, f"{offset} {starts}", px=_STARTS_TTL_MS)
        return starts

    def clear_starts(self, unit: Unit) -> None:
        """Forget the starts of a unit: what ended processes was none of its records; raises ``Transient``."""
        key = f"{self._group}:starts:{{{unit.tag}}}"
        with transient_errors("clearing starts"), on_server(self._client, server_of(self._client, key)) as server:
            server.delete(key)

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        """Read partials of several units, one atomic command each, in one round trip per server.

        A value of another Redis type reads as absent; ``find_other_types`` tells the two apart.

        Raises:
            Transient: Redis is unreachable.
        """
        found: dict[Unit, Loaded] = {}

        def ask(server: Any, units: list[tuple[Unit, Sequence[str]]]) -> None:
            named = [self._keys(unit, keys) for unit, keys in units]
            # the only server takes keys of all units in one command, where a cluster's wants one per hash slot
            at_once = server is self._client and sum(map(len, named)) <= _MGET_KEYS
            for (unit, _), raw in zip(units, read_lists(server, named, at_once=at_once), strict=True):
                found[unit] = build_loaded(unit, raw, self._prefix[unit.kind])

        with transient_errors("reading partials"):
            ask_servers(self._client, wanted, key_of=lambda part: self.prefix(part[0]), ask=ask)
        return found

    def load_checked(
        self, wanted: Iterable[tuple[Unit, Sequence[str]]], checked: Collection[Unit]
    ) -> dict[Unit, Loaded]:
        """Read partials as ``load_many``, and find values of other types under the keys of some of the units.

        Args:
            wanted: as for ``load_many``.
            checked: units whose absent keys are looked at.

        Raises:
            Transient: Redis is unreachable.
        """
        asked = list(wanted)
        found = self.load_many(asked)
        absent = [
            (unit, [key for key, value in zip(keys, found[unit].partials, strict=True) if not value])
            for unit, keys in asked
            if unit in checked
        ]
        wrong = self.find_other_types(absent)
        return found | {unit: replace(found[unit], other_types=keys) for unit, keys in wrong.items()}

    def find_other_types(self, absent: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, list[str]]:
        """Return which of the keys that read as absent hold a value of another Redis type.

        Raises:
            Transient: Redis is unreachable.
        """
        found: dict[Unit, list[str]] = {}

        def ask(server: Any, units: list[tuple[Unit, Sequence[str]]]) -> None:
            named = [prefix + key for unit, keys in units for prefix in [self.prefix(unit)] for key in keys]
            # as ``load_many``: nearly always none of them is there, and one command of few keys says so
            if server is self._client and len(named) <= _MGET_KEYS and not server.exists(*named):
                return
            pipeline = server.pipeline(transaction=False)
            for unit, keys in units:
                prefix = self.prefix(unit)
                pipeline.exists(*[prefix + key for key in keys])
            for (unit, keys), there in zip(units, pipeline.execute(), strict=True):
                if there:  # hardly ever: one by one says which; a string was written since
                    prefix = self.prefix(unit)
                    wrong = [key for key in keys if server.type(prefix + key) not in {b"none", b"string"}]
                    found.update({unit: wrong} if wrong else {})

        with transient_errors("looking for values of other types"):
            wanted = [(unit, keys) for unit, keys in absent if keys]
            ask_servers(self._client, wanted, key_of=lambda part: self.prefix(part[0]), ask=ask)
        return found

    def _keys(self, unit: Unit, keys: Sequence[str]) -> list[str]:
        prefix = self.prefix(unit)
        return [prefix + "position", self._following(unit), self._suspect(unit), *[prefix + key for key in keys]]

    def apply(
        self,
        unit: Unit,
        *,
        start: int,
        end: int,
        keys: Sequence[str],
        partials: Sequence[bytes],
        known: bytes = b"",
        is_mixed: bool = False,
        erasures: int = 0,
    ) -> Applied:
        """Write partials and move the position from ``start`` to ``end``, if it is at ``start``.

        Args:
            unit: whose.
            start: input offset from which the partials were folded.
            end: the offset after the last one.
            keys: ``entity:id`` of each partial.
            partials: their bytes.
            known: entries that the list of known ids grows by.
            is_mixed: a key was counted that does not belong in this partition.
            erasures: of the position from which the partials were folded; refused where there were more since.

        Raises:
            Transient: no answer; the write may or may not have happened, and asking again tells.
        """
        prefix = self.prefix(unit)
        position = prefix + "position"
        with transient_errors("applying a batch"), self._session(position) as session:
            found = _parse_leniently(session.ask(pack("WATCH", position), pack("GET", position))[1], unit)
            if found is None or (found.applied, found.erasures) != (start, erasures):
                session.ask(pack("UNWATCH"))
                return _judge(found, end)
            listed = pack_part(known)
            moved = replace(found, applied=end, known_bytes=found.known_bytes + len(listed))
            if is_mixed:
                moved = replace(moved, partitions=0)
            grown = [pack("APPEND", prefix + segment_of(found.known_bytes), listed)] if listed else []
            written = [*pack_mset(prefix, keys, partials), *grown, pack("SET", position, format_position(moved, unit))]
            if not session.transact(*written):
                now = _parse_leniently(session.ask(pack("GET", position))[0], unit)
                if now is not None and now.applied == start:
                    raise Transient("redis: applying a batch: the position was written, and is where it was")
                return _judge(now, end)
        return Applied(True, "ok")

    def read_known(self, unit: Unit, position: Position) -> list[bytes] | None:
        """Return the entries of a unit's list of known ids; ``None`` where the list cannot be believed, or is long.

        Raises:
            Transient: Redis is unreachable.
        """
        if not position.known_bytes:
            return []  # a unit of labels, as a rule
        if position.known_bytes > _KNOWN_BYTES_MAX:
            return None
        keys = [self.prefix(unit) + key for key in list_segments(position.known_bytes)]
        with transient_errors("reading ids"), on_server(self._client, server_of(self._client, keys[0])) as server:
            text = b"".join(value for key in keys for value in server.mget([key]) if value)
        return read_parts(text) if len(text) == position.known_bytes else None

    def drop(self, unit: Unit) -> Iterator[int]:
        """Delete a unit in short steps, and with it the mark that it is suspect; yields how many keys a step deleted.

        Its position goes last and is no position meanwhile, so that nobody can claim and rebuild it: a rebuild next to
        the deletion would lose what it has written. Only the one who began last continues: each step is guarded by the
        position, like a write. A drop that was broken off is begun again.

        Raises:
            Transient: Redis is unreachable, or another process drops the unit too.
        """
        prefix = self.prefix(unit)
        position, mine = prefix + "position", b"%s %s" % (DROPPING, secrets.token_hex(8).encode())
        pattern, cursor = prefix.replace("[", "\\[") + "*", 0
        with transient_errors("dropping a unit"), on_server(self._client, server_of(self._client, position)) as server:
            server.set(position, mine)
        while True:
            with transient_errors("dropping a unit"):
                with on_server(self._client, server_of(self._client, position)) as server:
                    cursor, keys = server.scan(cursor, match=pattern, count=_DROPPED_KEYS)
                keys = [key for key in keys if key != position.encode()]
                last = [position.encode(), *self._own_mark(unit)] if cursor == 0 else []
                if keys or last:
                    self._delete(unit, [*keys, *last], mine)
            yield len(keys)
            if cursor == 0:
                return

    def _own_mark(self, unit: Unit) -> list[bytes]:
        """Return the key of the mark that a unit is suspect, unless the mark is about another view of it."""
        key = self._suspect(unit)
        with transient_errors("dropping a unit"), on_server(self._client, server_of(self._client, key)) as server:
            marked = server.mget([key])[0] or b""
        return [] if marked and marked.partition(b" ")[0] != self._prefix[unit.kind].encode() else [key.encode()]

    def _delete(self, unit: Unit, keys: Sequence[bytes], mine: bytes) -> None:
        position = self.prefix(unit) + "position"
        with self._session(position) as session:
            found = session.ask(pack("WATCH", position), pack("GET", position))[1]
            if found != mine or not session.transact(pack("UNLINK", *keys)):
                raise Transient(f"redis: unit {unit.tag} is dropped by another process too; starting over")

    def _session(self, key: str) -> AbstractContextManager[Session]:
        return open_session(self._client, key)

    def sweep(self) -> Iterator[int]:
        """Give partials of the group that have no TTL one; see ``infra/redis/sweep.py``."""
        return sweep(self._client, self._group, self._ttl_ms)


def _parse_leniently(raw: bytes | None, unit: Unit) -> Position | None:
    """Read a position for a write, which a position that is none refuses like an absent one."""
    try:
        return parse_position(raw, unit)
    except UnreadablePosition:
        return None


def _judge(found: Position | None, end: int) -> Applied:
    """Say what a position means for a write up to ``end``: there already (an earlier reply was lost), or refused."""
    if found is None:
        return Applied(False, "absent")
    return Applied(True, "same") if found.applied == end else Applied(False, str(found.applied))


def _view_hash(declarations_hash: str, topic_id: str) -> str:
    return hashlib.sha256(f"{declarations_hash} {topic_id}".encode()).hexdigest()[:10]
