"""The schema registry, by the Confluent REST API (Confluent's, Redpanda's or Apicurio's ``ccompat``).

The port ``SchemaRegistry`` and the real client; its in-memory twin is in ``infra/registry/memory.py`` and both pass
one contract suite. An unreachable registry raises ``Transient``: retrying is the caller's. An id that the registry
does not know is an answer, not a failure. How one request is made and bounded is in ``infra/registry/http.py``.

**Delivery:** registering is idempotent; the same text under the same subject gives the same id.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import httpx

from weir.infra.registry.cache import UNKNOWN_MAX, UNKNOWN_SECONDS, KeptSchemas, UnknownIds
from weir.infra.registry.http import Answer, RegistryHttp
from weir.infra.settings import RegistrySettings
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.avro.references import merge_references
from weir.schemas.errors import PoisonRecord, Refused, Transient

ID_MAX = (1 << 31) - 1
"""Registries count in signed 32 bits; asked for more, some fail instead of answering."""
COMPATIBLE = "make the schema read, and be read by, the versions that the subject's level names"
POLL_SECONDS = 0.1
REFERENCES_MAX = 64
"""Schemas that one schema may need, over all levels."""


class SchemaRegistry(Protocol):
    """What the project asks of a registry."""

    def register(self, subject: str, schema_json: str) -> int:
        """Register a schema under a subject and return its id; the same schema again gives the same id.

        Raises:
            Refused: the registry finds it incompatible with the subject's newest, or invalid.
            Transient: the registry is unreachable.
        """

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        """Return the schema of an id and whether it belongs to the subject, or why there is none.

        Raises:
            Transient: the registry is unreachable.
        """

    def id_of_guid(self, guid: uuid.UUID, subject: str) -> int | PoisonRecord:
        """Return the id of the schema that a GUID stands for, or why there is none.

        Raises:
            Transient: the registry is unreachable.
        """

    def latest_id(self, subject: str) -> int:
        """Return the id of a subject's newest version.

        Raises:
            Refused: the subject has none; the message names the fix.
            Transient: the registry is unreachable.
        """

    def version_texts(self, subject: str) -> list[tuple[int, int, str]]:
        """Return ``(version, id, schema text)`` of a subject, oldest first; empty when there are none.

        Raises:
            Transient: the registry is unreachable.
        """

    def level(self, subject: str) -> str:
        """Return the compatibility level that a subject's next version is held to, its own or the registry's.

        Raises:
            Transient: the registry is unreachable.
        """

    def require_level(self, subject: str, level: str) -> None:
        """Set a subject's compatibility level, one of ``schemas.compatibility.LEVELS``.

        Some registries keep it only for a subject that has a version.

        Raises:
            Transient: the registry is unreachable.
        """


def unknown_id(schema_id: int, found: str = "one the registry does not have") -> PoisonRecord:
    """Build the error of an id that no schema has."""
    return PoisonRecord("unknown_schema_id", f"expected a registered schema id, found {schema_id}, {found}, at $[1:5]")


class Registry:
    """A client of a registry that speaks Confluent's API. One per process; close it at the end.

    **Cost:** one or two requests for an id that is seen for the first time, then none; memory is a schema per id, up
    to ``KEPT_BYTES_MAX`` together.

    Args:
        settings: where it is and how to be let in.
        monotonic: seconds of a clock that never goes back.
        transport: for tests: answers in place of the network.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._http = RegistryHttp(settings, monotonic, transport)
        self._kept = KeptSchemas()
        self._unknown = UnknownIds(monotonic)
        self._guids: OrderedDict[tuple[uuid.UUID, str], int] = OrderedDict()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def register(self, subject: str, schema_json: str) -> int:
        """See ``SchemaRegistry.register``."""
        answer = self._http.ask("POST", f"/subjects/{subject}/versions", {"schema": schema_json, "schemaType": "AVRO"})
        if answer.status in {409, 422}:
            raise Refused(f"registry: {subject}: {answer.explain()}; {COMPATIBLE}")
        return _take_id(answer)

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        """See ``SchemaRegistry.writer_schema``. Ids of the subject are kept, others for ``UNKNOWN_SECONDS``."""
        key = (schema_id, subject)
        kept = self._kept.get(key)
        if kept is not None and kept.subject_ok:
            return kept
        if self._unknown.remembers(*key):
            return kept or unknown_id(schema_id)
        if schema_id > ID_MAX:
            return unknown_id(schema_id)
        if self._unknown.is_full():
            return unknown_id(schema_id, f"after {UNKNOWN_MAX} unknown ones within {UNKNOWN_SECONDS:.0f} s")
        return self._look_up(schema_id, subject)

    def id_of_guid(self, guid: uuid.UUID, subject: str) -> int | PoisonRecord:
        """See ``SchemaRegistry.id_of_guid``. A GUID that is found is kept, another for ``UNKNOWN_SECONDS``."""
        key = (guid, subject)
        if key in self._guids:
            return self._guids[key]
        if self._unknown.remembers(*key) or self._unknown.is_full():
            return unknown_guid(guid)
        began = self._monotonic()
        found = self._ask_guid(guid, subject)
        if isinstance(found, PoisonRecord):
            self._unknown.add(*key, self._monotonic() - began)
            return found
        self._guids[key] = found
        if len(self._guids) > UNKNOWN_MAX:
            self._guids.popitem(last=False)
        return found

    def latest_id(self, subject: str) -> int:
        """See ``SchemaRegistry.latest_id``."""
        answer = self._http.ask("GET", f"/subjects/{subject}/versions/latest")
        if answer.is_absent:
            raise Refused(f"registry: expected a schema under {subject}, found none; run `weir schemas register`")
        return _take_id(answer)

    def version_texts(self, subject: str) -> list[tuple[int, int, str]]:
        """See ``SchemaRegistry.version_texts``."""
        answer = self._http.ask("GET", f"/subjects/{subject}/versions")
        if answer.is_absent:
            return []
        found: list[tuple[int, int, str]] = []
        for version in sorted(number for number in answer.listed() if isinstance(number, int)):
            details = self._http.ask("GET", f"/subjects/{subject}/versions/{version}")
            text = self._merge(details)
            # one whose references are broken is shown as it is: it does not parse, and is reported so
            text = details.take("schema", str) if isinstance(text, PoisonRecord) else text
            found.append((version, _take_id(details), text))
        return found

    def level(self, subject: str) -> str:
        """See ``SchemaRegistry.level``."""
        answer = self._http.ask("GET", f"/config/{subject}", defaultToGlobal="true")
        if answer.is_absent:
            answer = self._http.ask("GET", "/config")
        return answer.take("compatibilityLevel", str)

    def require_level(self, subject: str, level: str) -> None:
        """See ``SchemaRegistry.require_level``."""
        self._http.ask("PUT", f"/config/{subject}", {"compatibility": level}).take("compatibility", str)

    def wait_ready(self, deadline_s: float) -> None:
        """Wait until the registry answers.

        Args:
            deadline_s: how long to wait at most, in seconds.

        Raises:
            Transient: it did not answer in time.
        """
        give_up = self._monotonic() + deadline_s
        while True:
            try:
                self._http.ask("GET", "/subjects").listed()
            except Transient:
                if self._monotonic() >= give_up:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return

    def _look_up(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        key, began = (schema_id, subject), self._monotonic()
        found = self._ask(schema_id, subject)
        if isinstance(found, WriterSchema):
            self._kept.put(key, found)
        else:
            self._kept.drop(key)
        if isinstance(found, PoisonRecord) or not found.subject_ok:
            self._unknown.add(*key, self._monotonic() - began)
        return found

    def _ask(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        answer = self._http.ask("GET", f"/schemas/ids/{schema_id}")
        if answer.is_absent:
            return unknown_id(schema_id)
        own, schema = answer.take("schema", str), self._merge(answer)
        if isinstance(schema, PoisonRecord):
            return schema
        return WriterSchema(schema_id, self._is_of_subject(schema_id, subject, own, answer), schema)

    def _is_of_subject(self, schema_id: int, subject: str, schema: str, details: Answer) -> bool:
        # a version that was deleted softly still wrote the records that are in the log
        answer = self._http.ask("GET", f"/schemas/ids/{schema_id}/versions", deleted="true")
        if answer.status in {404, 405}:  # registries without that endpoint: is this very text under the subject?
            return self._find_id(subject, schema, details) == schema_id
        return any(isinstance(version, dict) and version.get("subject") == subject for version in answer.listed())

    def _find_id(self, subject: str, schema: str, details: Answer) -> int | None:
        """Return the id that a schema has under a subject, or ``None`` when it is not there."""
        body = {"schema": schema, "schemaType": "AVRO", "references": _references(details)}
        answer = self._http.ask("POST", f"/subjects/{subject}", body)
        return None if answer.is_absent else _take_id(answer)

    def _ask_guid(self, guid: uuid.UUID, subject: str) -> int | PoisonRecord:
        answer = self._http.ask("GET", f"/schemas/guids/{guid}")
        if answer.is_absent:
            return unknown_guid(guid)
        if answer.status in {404, 405}:
            message = (
                "expected a schema id of 4 bytes in the header, found a GUID, and this registry finds no schema by one"
            )
            return PoisonRecord("unsupported_schema_guid", message)
        schema_id = self._find_id(subject, answer.take("schema", str), answer)
        if schema_id is None:
            message = f"expected a schema of this topic's subject, found GUID {guid} of another in the header"
            return PoisonRecord("foreign_schema_id", message)
        return schema_id

    def _merge(self, details: Answer) -> str | PoisonRecord:
        """Return the schema of an answer with the types of its references in it, or why that is no schema of ours."""
        kind = details.body.get("schemaType") or "AVRO" if isinstance(details.body, dict) else "AVRO"
        if kind != "AVRO":
            return PoisonRecord("incompatible_schema", f"expected an Avro schema, found one of type {kind}")
        schema = details.take("schema", str)
        referenced: dict[tuple[str, int], str] = {}
        try:
            self._fetch_references(details, referenced, ())
            return merge_references(schema, tuple(referenced.values())) if referenced else schema
        except ValueError as error:
            return PoisonRecord("incompatible_schema", f"expected a schema whose references resolve: {error}")

    def _fetch_references(
        self, details: Answer, found: dict[tuple[str, int], str], inside: tuple[tuple[str, int], ...]
    ) -> None:
        """Fetch what a schema refers to, those first that the others need.

        Raises:
            ValueError: a reference is broken, one of a circle, or one too many.
        """
        for reference in _references(details):
            key = _parse_reference(reference)
            if key in inside:
                raise ValueError(f"found {key[0]} v{key[1]} in a circle")
            if key in found:
                continue
            if len(found) + len(inside) >= REFERENCES_MAX:
                raise ValueError(f"expected at most {REFERENCES_MAX}, found more")
            answer = self._http.ask("GET", f"/subjects/{key[0]}/versions/{key[1]}", deleted="true")
            if answer.is_absent:
                raise ValueError(f"found no {key[0]} v{key[1]}")
            text = answer.take("schema", str)
            self._fetch_references(answer, found, (*inside, key))
            found[key] = text


def unknown_guid(guid: uuid.UUID) -> PoisonRecord:
    """Build the error of a GUID that no schema has."""
    return PoisonRecord("unknown_schema_id", f"expected a registered schema, found GUID {guid} in the header, of none")


def _references(details: Answer) -> list[Any]:
    found = details.body.get("references") if isinstance(details.body, dict) else None
    return found if isinstance(found, list) else []


def _parse_reference(reference: Any) -> tuple[str, int]:
    if isinstance(reference, dict):
        subject, version = reference.get("subject"), reference.get("version")
        if isinstance(subject, str) and isinstance(version, int) and "/" not in subject:
            return subject, version
    raise ValueError("found one without subject and version")


def _take_id(answer: Answer) -> int:
    schema_id = answer.take("id", int)
    if not 0 <= schema_id <= ID_MAX:
        raise Transient(f"registry: expected an id of 31 bits from {answer.path}, found another number")
    return schema_id
