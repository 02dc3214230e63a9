"""The form of a dead letter: which headers it carries, how it is cut to size, how it is read back. Pure, no I/O.

A dead letter is the source record's raw key and value and, as headers, first ours and then the original ones::

    <prefix>topic .partition .offset          the source coordinate
    <prefix>group .stage                      who refused it
    <prefix>exception.class.name .exception.message .reason .timestamp
    <prefix>schema.id                         when the value names one
    <prefix>origin                            first source coordinate, when it has been replayed before
    <prefix>truncated .value.length .value.sha256 .key.length .key.sha256    when it did not fit
    <prefix>replay.count
    <prefix>app.version                       always ours and always the last of ours

``app.version`` ends our block: a record may arrive with headers under our prefix, and a reader that took the last of
a name would believe the publisher. ``topic`` begins it, so the prefix is read off the block itself: letters are
verdicts, and stay readable when the setting is changed. Always read through ``read_dead_letter``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from confluent_kafka import Message

from weir.infra.kafka.clients import read_headers
from weir.monitoring.logs import mask_card_numbers

Header = tuple[str, bytes | None]

TOPIC, PARTITION, OFFSET, GROUP, STAGE = "topic", "partition", "offset", "group", "stage"
EXCEPTION_CLASS, EXCEPTION_MESSAGE = "exception.class.name", "exception.message"
TIMESTAMP, REASON, SCHEMA_ID, ORIGIN = "timestamp", "reason", "schema.id", "origin"
TRUNCATED, REPLAY_COUNT, APP_VERSION = "truncated", "replay.count", "app.version"

FORWARDED = "forwarded"
"""Reason of a label that was copied to the partition that counted the first label of its transaction."""
COORDINATES_ONLY = frozenset({"duplicate", FORWARDED})
"""Reasons whose dead letter holds no bytes: the first copy was counted, or one is elsewhere: nothing to keep or replay.
"""
DECODER_DIED = "decoder_died"
"""Reason of a record that ended the process that decoded it; nothing that has a promise to keep decodes it again."""
NOT_EXAMINED = "not_examined"
"""Reason of a record at which processes ended, when none could be started to find out whether it was the cause."""
UNDECODED = frozenset({DECODER_DIED, NOT_EXAMINED})
"""Reasons whose record is decoded by nothing that shows or changes letters."""
HEALABLE = frozenset({"unknown_schema_id"})
"""Reasons that can go away by themselves, because the registry may learn the id later."""

MESSAGE_CHARACTERS_MAX = 1_000  # a message is for people; the record itself is next to it
TRUNCATED_KEPT_BYTES = 65_536  # enough to see what it was
_RECORD_OVERHEAD_BYTES = 512  # batch and record framing, generous


@dataclass(frozen=True, order=True)
class Coordinate:
    """Where a record is. Written ``transactions-3-10452``."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True)
class DeadLetter:
    """A message of a dead letter topic, understood as far as possible.

    ``source`` is ``None`` where the headers are missing or unreadable; such a message was not written by us and is
    shown, never replayed. ``appended_ms`` is the broker's time of the dead letter, ``failed_ms`` the writer's.
    """

    at: Coordinate
    source: Coordinate | None
    origin: Coordinate | None
    key: bytes | None
    value: bytes | None
    original_headers: tuple[Header, ...]
    group: str
    stage: str
    exception_class: str
    message: str
    reason: str
    failed_ms: int | None
    appended_ms: int
    app_version: str
    replay_count: int
    schema_id: int | None
    truncated: str

    @property
    def obstacle(self) -> str:
        """Say why it cannot be replayed as it is, or return an empty string."""
        if self.source is None:
            return "no source coordinate in its headers"
        if self.reason in COORDINATES_ONLY:
            return "holds coordinates only; its first copy was counted"
        return f"{self.truncated} truncated" if self.truncated else ""


@dataclass(frozen=True)
class FittedRecord:
    """A dead letter that its topic accepts; ``truncated`` names the parts that were cut, such as ``value,key``."""

    key: bytes | None
    value: bytes | None
    headers: list[Header]
    truncated: str


def parse_coordinate(text: str) -> Coordinate | None:
    """Read ``topic-partition-offset``; ``None`` when it is not one."""
    topic, _, rest = text.rpartition("-")
    topic, _, partition = topic.rpartition("-")
    if not topic or not _is_count(partition) or not _is_count(rest):
        return None
    return Coordinate(topic, int(partition), int(rest))


def dead_letter_headers(  # noqa: PLR0913 - one argument per header
    prefix: str,
    *,
    topic: str,
    partition: int,
    offset: int,
    group: str,
    stage: str,
    exception_class: str,
    message: str,
    timestamp_ms: int,
    reason: str,
    schema_id: int | None = None,
    replay_count: int | None = None,
    original_headers: Iterable[Header] | None = None,
) -> list[Header]:
    """Build the headers of a dead letter, ours before the original ones.

    Args:
        prefix: what our names start with, such as ``__dlq.errors.``.
        topic: the source topic, with ``partition`` and ``offset`` the coordinate of the record.
        partition: the source partition; the dead letter goes to the partition of that number.
        offset: the source offset.
        group: consumer group that refused the record.
        stage: step that refused it, such as ``decode``.
        exception_class: name of the error class.
        message: what was expected and found; card numbers in it are masked, 1,000 characters are kept.
        timestamp_ms: when it was refused, UTC epoch ms.
        reason: stable code of the refusal.
        schema_id: writer schema that the value names, if it does.
        replay_count: earlier replays; read from ``original_headers`` when ``None``.
        original_headers: headers of the source record; the marks of an earlier replay among them become ours.
    """
    originals = list(original_headers or [])
    marks = {prefix + REPLAY_COUNT, prefix + ORIGIN}
    ours = {
        TOPIC: topic,
        PARTITION: str(partition),
        OFFSET: str(offset),
        GROUP: group,
        STAGE: stage,
        EXCEPTION_CLASS: exception_class,
        EXCEPTION_MESSAGE: mask_card_numbers(message)[:MESSAGE_CHARACTERS_MAX],
        TIMESTAMP: str(timestamp_ms),
        REASON: reason,
        SCHEMA_ID: "" if schema_id is None else str(schema_id),
        ORIGIN: _last_text(originals, prefix + ORIGIN),
        REPLAY_COUNT: str(replay_count_of(prefix, originals) if replay_count is None else replay_count),
        APP_VERSION: app_version(),
    }
    built: list[Header] = [(prefix + name, _utf8(text)) for name, text in ours.items() if text]
    return built + [header for header in originals if header[0] not in marks]


def replay_count_of(prefix: str, headers: Iterable[Header] | None) -> int:
    """Return how often a source record has been replayed: 0 unless a replay marked it."""
    text = _last_text(list(headers or []), prefix + REPLAY_COUNT)
    return int(text) if _is_count(text) else 0


def replay_headers(prefix: str, letter: DeadLetter, attempt: int) -> list[Header]:
    """Return the original headers with the marks that let a second failure be counted and traced."""
    origin = letter.origin or letter.source
    marks: list[Header] = [(prefix + REPLAY_COUNT, str(attempt).encode()), (prefix + ORIGIN, str(origin).encode())]
    return [*letter.original_headers, *marks]


def fit_dead_letter(
    prefix: str, *, key: bytes | None, value: bytes | None, headers: Sequence[Header], limit_bytes: int
) -> FittedRecord:
    """Cut a dead letter to the size its topic accepts: first the value, then the key, then the original headers.

    A cut part keeps its first bytes; its length and sha256 go into our headers, and ``truncated`` names it.

    Args:
        prefix: what our header names start with.
        key: raw key of the source record.
        value: raw value of the source record.
        headers: result of ``dead_letter_headers``.
        limit_bytes: largest record the topic and the producer accept, uncompressed.
    """
    _, ours, originals = split_headers(headers)
    cut: list[str] = []
    notes: list[Header] = []
    parts = {"value": value, "key": key}
    for name, part in parts.items():
        if part is not None and _size(parts.values(), [*ours, *notes, *originals]) > limit_bytes:
            kept = min(len(part), TRUNCATED_KEPT_BYTES, limit_bytes // 4)
            parts[name] = part[:kept]
            cut.append(name)
            notes += _digest_headers(f"{prefix}{name}", part)
    if originals and _size(parts.values(), [*ours, *notes, *originals]) > limit_bytes:
        originals = []
        cut.append("headers")
    if cut:
        notes.insert(0, (prefix + TRUNCATED, ",".join(cut).encode()))
        # the last of ours ends our block, so the notes go before it
        ours = [*ours[:-1], *notes, *ours[-1:]]
    return FittedRecord(parts["key"], parts["value"], [*ours, *originals], ",".join(cut))


def split_headers(headers: Iterable[Header] | None) -> tuple[str, list[Header], list[Header]]:
    """Split a dead letter's headers into our block, its prefix before it, and the original ones after it.

    No block of ours gives an empty prefix and an empty block.

    >>> split_headers([("a.topic", b"t"), ("a.app.version", b"1"), ("trace", b"x")])
    ('a.', [('a.topic', b't'), ('a.app.version', b'1')], [('trace', b'x')])
    """
    listed = list(headers or [])
    if not listed or not listed[0][0].endswith(TOPIC):
        return "", [], listed
    prefix = listed[0][0].removesuffix(TOPIC)
    for position, (name, _) in enumerate(listed):
        if name == prefix + APP_VERSION:
            return prefix, listed[: position + 1], listed[position + 1 :]
        if not name.startswith(prefix):
            break
    return "", [], listed


def is_truncated(headers: Iterable[Header] | None) -> bool:
    """True when our block says that a part of the record was cut."""
    prefix, ours, _ = split_headers(headers)
    return any(name == prefix + TRUNCATED for name, _ in ours)


def read_dead_letter(message: Message) -> DeadLetter:
    """Read a message of a dead letter topic as the client returned it. Never refuses."""
    return parse_dead_letter(
        at=Coordinate(message.topic(), message.partition(), message.offset()),
        key=message.key(),
        value=message.value(),
        headers=read_headers(message),
        appended_ms=message.timestamp()[1],
    )


def parse_dead_letter(
    *,
    at: Coordinate,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[Header] | None,
    appended_ms: int,
) -> DeadLetter:
    """Read a message of a dead letter topic. Never refuses: what is missing is empty or ``None``."""
    prefix, ours, originals = split_headers(headers)
    found = {name.removeprefix(prefix): _text(raw) for name, raw in ours}
    return DeadLetter(
        at=at,
        source=_find_source(found),
        origin=parse_coordinate(found.get(ORIGIN, "")),
        key=key,
        value=value,
        original_headers=tuple(originals),
        group=found.get(GROUP, ""),
        stage=found.get(STAGE, ""),
        exception_class=found.get(EXCEPTION_CLASS, ""),
        message=found.get(EXCEPTION_MESSAGE, ""),
        reason=found.get(REASON, "unknown"),
        failed_ms=_count(found.get(TIMESTAMP, "")),
        appended_ms=appended_ms,
        app_version=found.get(APP_VERSION, ""),
        replay_count=_count(found.get(REPLAY_COUNT, "")) or 0,
        schema_id=_count(found.get(SCHEMA_ID, "")),
        truncated=found.get(TRUNCATED, ""),
    )


def schema_id_of(value: bytes | None) -> int | None:
    """Return the schema id in the Confluent frame of a value, or ``None`` where there is no frame."""
    if value is None or len(value) < 5 or value[0] != 0:
        return None
    return int.from_bytes(value[1:5], "big")


@cache
def app_version() -> str:
    """Return the installed version, or ``source`` when run from a checkout."""
    try:
        return version("weir")
    except PackageNotFoundError:
        return "source"


def _find_source(found: dict[str, str]) -> Coordinate | None:
    partition, offset = found.get(PARTITION, ""), found.get(OFFSET, "")
    if not found.get(TOPIC) or not _is_count(partition) or not _is_count(offset):
        return None
    return Coordinate(found[TOPIC], int(partition), int(offset))


def _digest_headers(prefix: str, part: bytes) -> list[Header]:
    digest = hashlib.sha256(part).hexdigest().encode()
    return [(f"{prefix}.length", str(len(part)).encode()), (f"{prefix}.sha256", digest)]


def _size(parts: Iterable[bytes | None], headers: Iterable[Header]) -> int:
    body = sum(len(part or b"") for part in parts)
    # a header costs its name, its value and two lengths
    return body + _RECORD_OVERHEAD_BYTES + sum(len(name.encode()) + len(raw or b"") + 10 for name, raw in headers)


def _last_text(headers: Sequence[Header], name: str) -> str:
    return next((_text(value) for key, value in reversed(headers) if key == name), "")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19


def _count(text: str) -> int | None:
    return int(text) if _is_count(text) else None
