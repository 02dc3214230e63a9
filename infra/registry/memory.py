"""The in-memory twin of ``infra/registry/client.py``: the same port, held to the same contract suite."""

from __future__ import annotations

import json
import uuid

from weir.infra.registry.client import COMPATIBLE, unknown_guid, unknown_id
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.avro.compatibility import check_level
from weir.schemas.errors import PoisonRecord, Refused


class MemoryRegistry:
    """A registry that lives and dies with the process."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}  # canonical text -> id
        self._subjects: dict[str, list[tuple[int, str]]] = {}  # subject -> (id, text), oldest first
        self._levels: dict[str, str] = {}

    def close(self) -> None:
        """Nothing to close."""

    def wait_ready(self, deadline_s: float) -> None:
        """Return at once, whatever ``deadline_s``: it is always there."""

    def register(self, subject: str, schema_json: str) -> int:
        """See ``SchemaRegistry.register``."""
        try:
            canonical = json.dumps(json.loads(schema_json), sort_keys=True)
            schema_id = self._ids.get(canonical, len(self._ids) + 1)
            versions = self._subjects.get(subject, [])
            if any(known == schema_id for known, _ in versions):
                return schema_id
            reason = check_level(self.level(subject), schema_json, tuple(text for _, text in versions))
        except ValueError as error:
            reason = str(error)
        if reason:
            raise Refused(f"registry: {subject}: {reason}; {COMPATIBLE}")
        self._ids[canonical] = schema_id
        self._subjects.setdefault(subject, []).append((schema_id, schema_json))
        return schema_id

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        """See ``SchemaRegistry.writer_schema``."""
        every = {known: text for versions in self._subjects.values() for known, text in versions}
        if schema_id not in every:
            return unknown_id(schema_id)
        own = any(known == schema_id for known, _ in self._subjects.get(subject, []))
        return WriterSchema(schema_id, own, every[schema_id])

    def id_of_guid(self, guid: uuid.UUID, subject: str) -> int | PoisonRecord:
        """See ``SchemaRegistry.id_of_guid``; it gives none out."""
        del subject
        return unknown_guid(guid)

    def latest_id(self, subject: str) -> int:
        """See ``SchemaRegistry.latest_id``."""
        if subject not in self._subjects:
            raise Refused(f"registry: expected a schema under {subject}, found none; run `weir schemas register`")
        return self._subjects[subject][-1][0]

    def version_texts(self, subject: str) -> list[tuple[int, int, str]]:
        """See ``SchemaRegistry.version_texts``."""
        versions = self._subjects.get(subject, [])
        return [(number, schema_id, text) for number, (schema_id, text) in enumerate(versions, start=1)]

    def level(self, subject: str) -> str:
        """See ``SchemaRegistry.level``."""
        return self._levels.get(subject, "NONE")

    def require_level(self, subject: str, level: str) -> None:
        """See ``SchemaRegistry.require_level``."""
        if subject in self._subjects:
            self._levels[subject] = level
