"""Takes an id out of Redis for good: windows, decisions by id, answers that are given again.

A partial is deleted together with a step of its unit's number of erasures, in one transaction that the unit's position
guards (``infra/redis/unit.py``). So a processor that still has the partial in memory is refused its next write of the
unit, forgets the unit, and reads it again without the partial. Nothing is built again from the log by that.

From a unit's list of known ids the id goes too; bytes without a meaning, as many as it had, are in its place.

All views of a group are gone through, also those by which nobody decides.

**Cost:** every key of the deployment is passed by once, and every decision and kept answer is read once.
Delivery: a run that was broken off is repeated, and finds what is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from weir.infra.redis.client import Client, on_server, primaries, server_of, transient_errors
from weir.infra.redis.known_list import leave_out
from weir.infra.redis.session import open_session, pack
from weir.infra.redis.unit import Unit, UnreadablePosition, format_position, parse_position
from weir.schemas.errors import Transient

_KEYS_A_STEP: Final = 1_000
_TRIES_MAX: Final = 50
"""A busy unit's position moves some tens of times a second, and a try takes a millisecond or two."""
_IN_UNIT: Final = re.compile(rb"(.*?:\{([tl])([0-9]+)\}:)(.*)", re.DOTALL)
_KNOWN: Final = re.compile(rb"known:[0-9]+")


class _UnitKeys(NamedTuple):
    unit: Unit
    prefix: bytes
    partial: bytes
    known: list[bytes]


def each_window_id(client: Client, group_prefix: str) -> Iterator[tuple[str, str]]:
    """Yield entity and id of each partial of a group, some more than once.

    Raises:
        Transient: Redis is unreachable.
    """
    for key in _each_key(client, group_prefix):
        found = _IN_UNIT.fullmatch(key)
        if found is not None and b":" in found[4] and not _KNOWN.fullmatch(found[4]):
            entity, _, entity_id = found[4].partition(b":")
            yield entity.decode(errors="replace"), entity_id.decode(errors="replace")


def erase_windows(client: Client, group_prefix: str, entity: str, entity_id: str) -> int:
    """Delete the partials of an id in every unit of every view of a group; return in how many units it was.

    Args:
        client: from ``connect``.
        group_prefix: what every key of the group begins with, the colon included.
        entity: the kind; in lists of known ids those of any kind count.
        entity_id: of it.

    Raises:
        Transient: Redis is unreachable, or a unit moves all the time; some units may be done.
    """
    wanted = f"{entity}:{entity_id}".encode()
    units: dict[bytes, tuple[Unit, list[bytes]]] = {}
    for key in _each_key(client, group_prefix):
        found = _IN_UNIT.fullmatch(key)
        if found is not None:
            unit = Unit(found[2].decode(), int(found[3]))
            known = units.setdefault(found[1], (unit, []))[1]
            if _KNOWN.fullmatch(found[4]):
                known.append(key)
    entry = len(entity_id.encode()).to_bytes(2, "little") + entity_id.encode()
    parts = [_UnitKeys(unit, prefix, prefix + wanted, sorted(known)) for prefix, (unit, known) in units.items()]
    return sum(_erase_in_unit(client, part, entry) for part in parts)


def erase_values(client: Client, key_prefix: str, is_about: Callable[[bytes], bool]) -> int:
    """Delete keys whose value is about somebody; return how many.

    Args:
        client: from ``connect``.
        key_prefix: of the keys, whose values are texts.
        is_about: looks at a value.

    Raises:
        Transient: Redis is unreachable; some keys may be deleted.
    """
    deleted = 0
    for key, value in each_value(client, key_prefix):
        if is_about(value):
            with transient_errors("erasing"), on_server(client, server_of(client, key.decode())) as server:
                deleted += server.unlink(key)
    return deleted


def each_value(client: Client, key_prefix: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys with a prefix and their values, where these are texts.

    Raises:
        Transient: Redis is unreachable.
    """
    for node in primaries(client):
        for keys in _each_step(client, node, key_prefix):
            with transient_errors("reading values"), on_server(client, node) as server:
                pipeline = server.pipeline(transaction=False)  # of a cluster's keys each has a slot of its own
                for key in keys:
                    pipeline.get(key)
                values = pipeline.execute(raise_on_error=False)
            yield from ((key, value) for key, value in zip(keys, values, strict=True) if isinstance(value, bytes))


def _each_key(client: Client, prefix: str) -> Iterator[bytes]:
    for node in primaries(client):
        for keys in _each_step(client, node, prefix):
            yield from keys


def _each_step(client: Client, node: object, prefix: str) -> Iterator[list[bytes]]:
    pattern, begin, cursor = re.sub(r"([\[*?\\])", r"\\\1", prefix) + "*", prefix.encode(), -1
    while cursor:
        with transient_errors("looking through keys"), on_server(client, node) as server:  # type: ignore[arg-type]
            cursor, keys = server.scan(max(cursor, 0), match=pattern, count=_KEYS_A_STEP)
        yield [key for key in keys if key.startswith(begin)]


def _erase_in_unit(client: Client, part: _UnitKeys, entry: bytes) -> bool:
    """Delete a partial and its entries in the lists of known ids; return whether there was anything.

    Raises:
        Transient: Redis is unreachable, or the unit moves all the time.
    """
    position = part.prefix + b"position"
    for _ in range(_TRIES_MAX):
        with transient_errors("erasing"), open_session(client, position.decode()) as session:
            asked = [pack("WATCH", position), pack("GET", position), pack("EXISTS", part.partial)]
            _, raw, there, *lists = session.ask(*asked, *(pack("GET", key) for key in part.known))
            changed = {
                key: without
                for key, text in zip(part.known, lists, strict=True)
                if text and (without := leave_out(text, entry)) != text
            }
            if not there and not changed:
                session.ask(pack("UNWATCH"))
                return False
            commands = [pack("UNLINK", part.partial), *(pack("SET", key, text) for key, text in changed.items())]
            if session.transact(*commands, *_step(part.unit, position, raw)):
                return True
    raise Transient(f"redis: unit {part.unit.tag} moved each time that an id was about to be erased; run it again")


def _step(unit: Unit, key: bytes, raw: bytes | None) -> Sequence[bytes]:
    """Return the command that counts an erasure; none for a unit without a position, which is built from the log."""
    try:
        found = parse_position(raw, unit)
    except UnreadablePosition:
        return []
    return (
        [] if found is None else [pack("SET", key, format_position(replace(found, erasures=found.erasures + 1), unit))]
    )
