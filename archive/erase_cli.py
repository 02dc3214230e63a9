"""``weir archive erase``: shows which rows of an entity there are, and with ``--apply`` erases them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from weir.archive.erasing import Found, erase, find_holding, read_clock_ms
from weir.archive.holding import Wanted
from weir.archive.in_force.redacting import find_texts, redact
from weir.archive.in_force.versions import list_topics
from weir.archive.objects import Objects, Redacted
from weir.archive.place import Place
from weir.archive.reader import MS_MAX
from weir.archive.run import list_followed
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import key_path, load_key
from weir.archive.table import find_table, no_step
from weir.infra.arguments import nearest
from weir.infra.settings import Settings
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.errors import Refused
from weir.schemas.project import load_streams
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream


@dataclass(frozen=True)
class Erasure:
    """What there is of an entity in an archive, about to be erased.

    Attributes:
        found: rows by table, and by what they were found.
        texts: kept texts of lists with the id, as they are without it.
    """

    found: Sequence[tuple[Found, Wanted]]
    texts: Sequence[Redacted]

    @property
    def counts(self) -> list[tuple[str, int, int]]:
        """Topic, rows and files of each table."""
        return [(each.table.topic, len(each.rows), len(each.paths)) for each, _ in self.found]

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return sum(rows for _, rows, _ in self.counts)

    def apply(self, settings: Settings, root: Place, why: str) -> None:
        """Erase it.

        Raises:
            Refused: the reason holds the id.
            Transient: the store cannot be used now; finding and erasing again finishes.
        """
        chain, key = Chain(root), load_key(key_path(settings.home))
        for each, wanted in self.found:
            erase(each, wanted, chain=chain, key=key, at_ms=read_clock_ms(), why=why, on_step=no_step)
        redact(self.texts, Objects(root), chain, key, at_ms=read_clock_ms())


def find_erasure(
    settings: Settings, root: Place, streams: Sequence[Stream], entity: str, until_ms: int = MS_MAX
) -> Erasure:
    """Return what there is of an entity in an archive.

    Args:
        settings: of this deployment.
        root: of the archive.
        streams: whose tables and kept lists are looked through; the lists also under names that were theirs.
        entity: ``KIND=ID``, such as ``card=card-000017``.
        until_ms: newest append time of the rows, UTC epoch milliseconds.

    Raises:
        Refused: no stream has such an entity.
        Transient: the store cannot be read.
    """
    kind, _, entity_id = entity.partition("=")
    check_entity(streams, kind, entity_id)
    found = list(_find(settings, root, streams, kind, entity_id, until_ms))
    objects = Objects(root)
    return Erasure(found, find_texts(objects, _list_published(settings, objects, streams), entity_id))


def run_erase(settings: Settings, root: Place, streams: Sequence[Stream], *, entity: str, why: str, apply: bool) -> int:
    """Erase an entity's rows from every table of some streams, or say which there are.

    Args:
        settings: of this deployment.
        root: of the archive.
        streams: whose tables are looked through.
        entity: ``KIND=ID``, such as ``card=card-000017``.
        why: for the record, without the id.
        apply: erase; else only show.

    Raises:
        Refused: no stream has such an entity, or the reason holds the id.
        Transient: the store cannot be used now; running it again finishes.
    """
    erasure = find_erasure(settings, root, streams, entity)
    title = f"rows of this {entity.partition('=')[0]} in {root.uri}"
    print_tables([build_table(("topic", "rows", "files"), erasure.counts, title=title)])
    print_line(f"kept texts of lists with this id: {len(erasure.texts)}")
    if not apply:
        print_line("nothing was changed; --apply erases these for good, and deletes older versions of the tables")
        return 0
    erasure.apply(settings, root, why)
    print_line(f"erased {erasure.rows} rows; the topics keep their records until they expire")
    return 0


def _find(
    settings: Settings, root: Place, streams: Sequence[Stream], kind: str, entity_id: str, until_ms: int
) -> Iterator[tuple[Found, Wanted]]:
    for each in list_followed(settings, streams):
        assert each.stream is not None
        table = find_table(root.below(each.topic))
        field = each.stream.id_field_of.get(kind)
        if table is not None and field is not None:
            wanted = Wanted(entity_id, field, is_key=kind == each.stream.key.name, until_ms=until_ms)
            yield find_holding(table, wanted), wanted


def _list_published(settings: Settings, objects: Objects, streams: Sequence[Stream]) -> list[str]:
    """Return the topics whose kept lists are looked through: the streams' own, and those that no stream has any more.

    Such a one was left for another name, so that its lists with erased ids could go; the archive's copies stayed.
    """
    own = {settings.topics.of(stream).published for stream in streams}
    declared, _ = load_streams(Path.cwd())
    others = {settings.topics.of(stream).published for stream in declared.values()} - own
    return sorted((own | list_topics(objects)) - others)


def check_entity(streams: Sequence[Stream], kind: str, entity_id: str) -> None:
    """Refuse a kind that no stream has, and an id that none of its records can have.

    Raises:
        Refused: naming what is expected.
    """
    kinds = sorted({name for stream in streams for name in stream.id_field_of})
    if kind not in kinds:
        hint = nearest(kind, kinds) or f"; there are {', '.join(kinds)}"
        raise Refused(f"--entity: expected KIND=ID with a kind of entity, found {kind!r:.40}{hint}")
    if not 0 < len(entity_id.encode(errors="ignore")) <= ID_BYTES_MAX:
        raise Refused(f"--entity: expected an id of 1 to {ID_BYTES_MAX} bytes after {kind}=")
