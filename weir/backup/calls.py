"""The calls of the audit log that a backup takes, each once: where three places have them, from the oldest of these.

Those that were put back before come first, then those of the archive, then what the topic has and the archive not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weir.access.audit.kept import IsElsewhere, list_kept, read_kept
from weir.access.audit.read import read_lows, read_placed
from weir.infra.archive_store import locate_archive
from weir.infra.kafka.topics import describe_states
from weir.infra.settings import Settings
from weir.schemas.audit import Placed

if TYPE_CHECKING:
    from weir.archive.audit import ArchivedLog

ALL, ARCHIVE, NONE = "all", "archive", "none"
CALLS = (ALL, ARCHIVE, NONE)


@dataclass(frozen=True)
class Wanted:
    """Which calls of the audit log are wanted.

    Attributes:
        calls: ``all``, those of the ``archive``, which needs no brokers, or ``none``.
        since_ms: the first append time, UTC epoch ms.
    """

    calls: str = ALL
    since_ms: int = 0


def each_call(settings: Settings, wanted: Wanted, note: Callable[[str], object]) -> Iterator[Placed]:
    """Yield the calls that a backup takes.

    Args:
        settings: of this deployment.
        wanted: which.
        note: told each place that calls are taken from, when that is begun with.

    Raises:
        Transient: the brokers, the registry or the archive do not answer.
    """
    if wanted.calls == NONE:
        return
    archived = _open_archived(settings, wanted.since_ms)
    has_topic = wanted.calls == ALL and settings.topics.audit in describe_states(settings, [])
    if list_kept(settings.home):
        note("put back before")
        elsewhere = [*([_is_archived(archived)] if archived else []), *([find_in_topic(settings)] if has_topic else [])]
        yield from read_kept(settings.home, wanted.since_ms, lambda *where: any(each(*where) for each in elsewhere))
    if archived is not None:
        note("archive")
        yield from archived.calls
    if has_topic:
        note("topic")
        yield from _read_topic(settings, wanted.since_ms, archived)


def find_in_topic(settings: Settings) -> IsElsewhere:
    """Return what says whether the topic still has the record at a place.

    Raises:
        Refused: there is no such topic.
        Transient: the brokers did not answer in time.
    """
    topic_id, lows = read_lows(settings)
    return lambda of, partition, offset: of == topic_id and offset >= lows.get(partition, 0)


def find_in_archive(settings: Settings, root: str = "") -> IsElsewhere:
    """Return what says whether the archive has, or had, the record at a place.

    Args:
        settings: of this deployment.
        root: of the archive, instead of what they say.

    Raises:
        Transient: the store cannot be read.
    """
    from weir.archive.audit import open_archived_log  # noqa: PLC0415 - delta-rs, which only this needs
    from weir.archive.run import find_root  # noqa: PLC0415

    found = open_archived_log(find_root(settings, root), settings.topics.audit)
    return _is_archived(found) if found else lambda *_: False


def _is_archived(archived: ArchivedLog) -> IsElsewhere:
    return lambda of, partition, offset: of == archived.topic_id and offset < archived.end_of(partition)


def _open_archived(settings: Settings, since_ms: int) -> ArchivedLog | None:
    uri, _ = locate_archive(settings)
    if "://" not in uri and not (Path(uri) / settings.topics.audit).is_dir():
        return None
    from weir.archive.audit import open_archived_log  # noqa: PLC0415 - delta-rs, where there is an archive alone
    from weir.archive.run import find_root  # noqa: PLC0415

    return open_archived_log(find_root(settings), settings.topics.audit, since_ms)


def _read_topic(settings: Settings, since_ms: int, archived: ArchivedLog | None) -> Iterator[Placed]:
    """Yield what the topic has and the archive not; of a topic that was made again the archive has nothing."""
    is_same = archived is not None and archived.topic_id == read_lows(settings)[0]
    start_of = archived.end_of if archived is not None and is_same else lambda _: 0
    yield from read_placed(settings, since_ms, lambda: None, start_of=start_of)
