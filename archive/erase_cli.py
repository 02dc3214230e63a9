"""``weir archive erase``: shows which rows of an entity there are, and with ``--apply`` erases them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weir.archive.erasing import Found, erase, find_holding, read_clock_ms
from weir.archive.holding import Wanted
from weir.archive.in_force.redacting import find_texts, redact
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.run import list_followed
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import key_path, load_key
from weir.archive.table import find_table, no_step
from weir.infra.arguments import nearest
from weir.infra.settings import Settings
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.errors import Refused
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream


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
    kind, _, entity_id = entity.partition("=")
    _check(streams, kind, entity_id)
    found = list(_find(settings, root, streams, kind, entity_id))
    objects = Objects(root)
    texts = find_texts(objects, [settings.topics.of(stream).published for stream in streams], entity_id)
    counts = [(each.table.topic, len(each.rows), len(each.paths)) for each, _ in found]
    print_tables([build_table(("topic", "rows", "files"), counts, title=f"rows of this {kind} in {root.uri}")])
    print_line(f"kept texts of lists with this id: {len(texts)}")
    if not apply:
        print_line("nothing was changed; --apply erases these for good, and deletes older versions of the tables")
        return 0
    chain, key = Chain(root), load_key(key_path(settings.home))
    for each, wanted in found:
        erase(each, wanted, chain=chain, key=key, at_ms=read_clock_ms(), why=why, on_step=no_step)
    redact(texts, objects, chain, key, at_ms=read_clock_ms())
    print_line(f"erased {sum(rows for _, rows, _ in counts)} rows; the topics keep their records until they expire")
    return 0


def _find(
    settings: Settings, root: Place, streams: Sequence[Stream], kind: str, entity_id: str
) -> Iterator[tuple[Found, Wanted]]:
    for each in list_followed(settings, streams):
        table = find_table(root.below(each.topic))
        field = each.stream.id_field_of.get(kind)
        if table is not None and field is not None:
            wanted = Wanted(entity_id, field, is_key=kind == each.stream.key.name)
            yield find_holding(table, wanted), wanted


def _check(streams: Sequence[Stream], kind: str, entity_id: str) -> None:
    kinds = sorted({name for stream in streams for name in stream.id_field_of})
    if kind not in kinds:
        hint = nearest(kind, kinds) or f"; there are {', '.join(kinds)}"
        raise Refused(f"--entity: expected KIND=ID with a kind of entity, found {kind!r:.40}{hint}")
    if not 0 < len(entity_id.encode(errors="ignore")) <= ID_BYTES_MAX:
        raise Refused(f"--entity: expected an id of 1 to {ID_BYTES_MAX} bytes after {kind}=")
