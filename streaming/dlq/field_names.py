"""Which fields ``--set`` may name: a mistyped one must not look as if there were nothing to do."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import closing

from weir.infra.arguments import nearest
from weir.infra.settings import Settings
from weir.schemas.contracts import event_schemas, features_schema, label_schemas
from weir.schemas.errors import PoisonRecord, Refused
from weir.streaming.dlq.letter import DeadLetter
from weir.streaming.dlq.log import DeadLetterLog, Selection
from weir.streaming.dlq.repair import SchemaSource, decode_letter


def refuse_unknown_fields(
    names: Collection[str], settings: Settings, log: DeadLetterLog, selection: Selection, schemas: SchemaSource
) -> None:
    """Refuse a field that neither the stream's schemas nor any of the chosen letters has, settled ones included.

    Args:
        names: of the fields to be set.
        settings: of the stream.
        log: of the letters.
        selection: which of them are meant; they are read only where a name is not the stream's own.
        schemas: where writer schemas come from.

    Raises:
        Refused: there is no such field.
        Transient: the brokers or the registry did not answer in time.
    """
    known = _own_fields(settings, log.topic)
    if not set(names) <= known:
        with closing(log.scan(selection, log.ends())) as letters:
            known |= _fields_of(letters, schemas)
    unknown = sorted(set(names) - known)
    if unknown:
        hint = nearest(unknown[0], sorted(known)) or f"; there are {', '.join(sorted(known)) or 'none'}"
        raise Refused(f"--set: expected a field of the records of {log.topic}, found {unknown[0]!r}{hint}")


def _own_fields(settings: Settings, topic: str) -> set[str]:
    topics, stream = settings.topics, settings.stream
    versions: Iterable[str] = ()
    if topic == topics.dlq:
        versions = event_schemas(stream)
    elif topic == topics.labels_dlq:
        versions = label_schemas(stream)
    elif topic == topics.features_dlq:
        versions = (features_schema(stream),)
    return {str(field["name"]) for version in versions for field in json.loads(version)["fields"]}


def _fields_of(letters: Iterable[DeadLetter], schemas: SchemaSource) -> set[str]:
    found: set[str] = set()
    for letter in letters:
        try:
            found |= set(decode_letter(letter, schemas)[0])
        except PoisonRecord:
            continue  # what cannot be decoded has no fields to set
    return found
