"""The schema registry, by the Confluent REST API (Confluent's, Redpanda's or Apicurio's ``ccompat``).

The port ``SchemaRegistry`` and the real client; its in-memory twin is in ``infra/registry_memory.py`` and both pass
one contract suite. A registry that is away raises ``Transient``: retrying is the caller's. An id that the registry
does not know is an answer, not a failure.

**Delivery:** registering is idempotent; the same text under the same subject gives the same id.
"""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import httpx

from infra.settings import RegistrySettings
from schemas.codec import WriterSchema
from schemas.errors import PoisonRecord, Refused, Transient

UNKNOWN_SECONDS = 30.0
"""How long an id is remembered as unknown: a schema that is registered late is seen after that."""
UNKNOWN_MAX = 1024
"""Unknown ids remembered at once. When that many are new in 30 s the bytes are noise, and the rest are not asked."""
ID_MAX = (1 << 31) - 1
"""Registries count in signed 32 bits; asked for more, some fail instead of answering."""
COMPATIBLE = "make the schema read, and be read by, the versions that the subject's level names"
POLL_SECONDS = 0.1
_ABSENT_CODES = frozenset({"40401", "40402", "40403", "40404", "40405", "40406", "40407", "40408"})
"""No such subject, version, schema or level, deleted softly or not. A page that is not there says 404 or 0."""
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


class SchemaRegistry(Protocol):
    """What the project asks of a registry."""

    def register(self, subject: str, schema_json: str) -> int:
        """Register a schema under a subject and return its id; the same schema again gives the same id.

        Raises:
            Refused: the registry finds it incompatible with the subject's newest, or invalid.
            Transient: the registry is away.
        """

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        """Return the schema of an id and whether it belongs to the subject, or why there is none.

        Raises:
            Transient: the registry is away.
        """

    def latest_id(self, subject: str) -> int:
        """Return the id of a subject's newest version.

        Raises:
            Refused: the subject has none; the message names the mend.
            Transient: the registry is away.
        """

    def version_texts(self, subject: str) -> list[tuple[int, int, str]]:
        """Return ``(version, id, schema text)`` of a subject, oldest first; empty when there are none.

        Raises:
            Transient: the registry is away.
        """

    def level(self, subject: str) -> str:
        """Return the compatibility level that a subject's next version is held to, its own or the registry's.

        Raises:
            Transient: the registry is away.
        """

    def require_level(self, subject: str, level: str) -> None:
        """Set a subject's compatibility level, one of ``schemas.compatibility.LEVELS``.

        Some registries keep it only for a subject that has a version.

        Raises:
            Transient: the registry is away.
        """


def unknown_id(schema_id: int, found: str = "one the registry does not have") -> PoisonRecord:
    """Build the error of an id that no schema has."""
    return PoisonRecord("unknown_schema_id", f"expected a registered schema id, found {schema_id}, {found}, at $[1:5]")


class UnknownIds:
    """Remembers unknown ids for a bounded time, so that a flood of them is not a flood on the registry.

    Args:
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._expiry: OrderedDict[tuple[int, str], float] = OrderedDict()  # in order of expiry

    def add(self, schema_id: int, subject: str) -> None:
        """Remember that an id was asked for in vain."""
        self._expiry[(schema_id, subject)] = self._monotonic() + UNKNOWN_SECONDS

    def remembers(self, schema_id: int, subject: str) -> bool:
        """True while the id need not be asked again."""
        self._forget_expired()
        return (schema_id, subject) in self._expiry

    def is_full(self) -> bool:
        """True when no further id can be remembered, so that none may be asked."""
        self._forget_expired()
        return len(self._expiry) >= UNKNOWN_MAX

    def _forget_expired(self) -> None:
        now = self._monotonic()
        while self._expiry and next(iter(self._expiry.values())) <= now:
            self._expiry.popitem(last=False)


class Registry:
    """A client of a registry that speaks Confluent's API. One per process; close it at the end.

    **Cost:** one or two requests for an id that is seen for the first time, then none; memory is a schema per id.

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
        secret = settings.password.get_secret_value()
        self._url = settings.url.rstrip("/")
        self._monotonic = monotonic
        self._client = httpx.Client(
            auth=(settings.username, secret) if settings.username else None,
            verify=_build_tls(settings.ssl_ca_location),
            timeout=settings.timeout_seconds,
            headers={"Accept": f"{_CONTENT_TYPE}, application/json", "Content-Type": _CONTENT_TYPE},
            transport=transport,
        )
        self._known: dict[tuple[int, str], WriterSchema] = {}
        self._unknown = UnknownIds(monotonic)
        self._foreign: dict[tuple[int, str], WriterSchema] = {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def register(self, subject: str, schema_json: str) -> int:
        """See ``SchemaRegistry.register``."""
        body = {"schema": schema_json, "schemaType": "AVRO"}
        response = self._request("POST", f"/subjects/{subject}/versions", json=body)
        if response.status_code in {409, 422}:
            raise Refused(f"registry: {subject}: {_explain(response)}; {COMPATIBLE}")
        return int(_answer(response)["id"])

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        """See ``SchemaRegistry.writer_schema``. Known ids are kept for ever, others for ``UNKNOWN_SECONDS``."""
        key = (schema_id, subject)
        if key in self._known:
            return self._known[key]
        if self._unknown.remembers(*key):
            return self._foreign.get(key) or unknown_id(schema_id)
        if schema_id > ID_MAX:
            return unknown_id(schema_id)
        if self._unknown.is_full():
            return unknown_id(schema_id, f"after {UNKNOWN_MAX} unknown ones within {UNKNOWN_SECONDS:.0f} s")
        found = self._ask(schema_id, subject)
        if isinstance(found, WriterSchema) and found.subject_ok:
            self._known[key] = found
        else:
            self._remember(key, found)
        return found

    def latest_id(self, subject: str) -> int:
        """See ``SchemaRegistry.latest_id``."""
        response = self._request("GET", f"/subjects/{subject}/versions/latest")
        if _is_absent(response):
            raise Refused(f"registry: expected a schema under {subject}, found none; run `weir schemas register`")
        return int(_answer(response)["id"])

    def version_texts(self, subject: str) -> list[tuple[int, int, str]]:
        """See ``SchemaRegistry.version_texts``."""
        response = self._request("GET", f"/subjects/{subject}/versions")
        if _is_absent(response):
            return []
        found = []
        for version in sorted(_answer(response)):
            details = _answer(self._request("GET", f"/subjects/{subject}/versions/{version}"))
            found.append((int(version), int(details["id"]), str(details["schema"])))
        return found

    def level(self, subject: str) -> str:
        """See ``SchemaRegistry.level``."""
        response = self._request("GET", f"/config/{subject}", params={"defaultToGlobal": "true"})
        if _is_absent(response):
            response = self._request("GET", "/config")
        return str(_answer(response)["compatibilityLevel"])

    def require_level(self, subject: str, level: str) -> None:
        """See ``SchemaRegistry.require_level``."""
        _answer(self._request("PUT", f"/config/{subject}", json={"compatibility": level}))

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
                _answer(self._request("GET", "/subjects"))
            except Transient:
                if self._monotonic() >= give_up:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return

    def _ask(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        response = self._request("GET", f"/schemas/ids/{schema_id}")
        if _is_absent(response):
            return unknown_id(schema_id)
        schema = str(_answer(response)["schema"])
        return WriterSchema(schema_id, self._is_of_subject(schema_id, subject, schema), schema)

    def _is_of_subject(self, schema_id: int, subject: str, schema: str) -> bool:
        # a version that was deleted softly still wrote the records that are in the log
        response = self._request("GET", f"/schemas/ids/{schema_id}/versions", params={"deleted": "true"})
        if response.status_code in {404, 405}:  # registries without that endpoint: is this very text under the subject?
            response = self._request("POST", f"/subjects/{subject}", json={"schema": schema, "schemaType": "AVRO"})
            return not _is_absent(response) and int(_answer(response)["id"]) == schema_id
        return any(version["subject"] == subject for version in _answer(response))

    def _remember(self, key: tuple[int, str], found: WriterSchema | PoisonRecord) -> None:
        self._unknown.add(*key)
        self._foreign = {old: schema for old, schema in self._foreign.items() if self._unknown.remembers(*old)}
        if isinstance(found, WriterSchema):
            self._foreign[key] = found

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._client.request(method, self._url + path, **options)
        except httpx.TransportError as error:
            raise Transient(f"registry: expected an answer to {method} {path}, found {type(error).__name__}") from None
        if response.status_code >= 500 or response.status_code == 429:
            raise Transient(f"registry: expected an answer to {method} {path}, found {_explain(response)}")
        if response.status_code in {401, 403}:
            raise Refused(f"registry: not let in ({response.status_code}); set WEIR_REGISTRY__USERNAME and __PASSWORD")
        return response


def _build_tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise Refused(f"registry: expected a CA file, found {error}; check WEIR_REGISTRY__SSL_CA_LOCATION") from None


def _answer(response: httpx.Response) -> Any:
    if response.status_code >= 400:
        path = response.request.url.path
        raise Refused(f"registry: expected 200 from {path}, found {_explain(response)}; check WEIR_REGISTRY__URL")
    try:
        return response.json()
    except ValueError:
        raise Refused("registry: expected JSON, found another page; check WEIR_REGISTRY__URL") from None


def _is_absent(response: httpx.Response) -> bool:
    """True when the registry says that there is no such thing; a 404 of a wrong address is not that."""
    return response.status_code == 404 and _field(response, "error_code") in _ABSENT_CODES


def _explain(response: httpx.Response) -> str:
    """One line: the status, and the registry's own words if it has some."""
    return f"{response.status_code} {' '.join(_field(response, 'message').split())[:200]}".rstrip()


def _field(response: httpx.Response, name: str) -> str:
    try:
        return str(response.json().get(name, ""))
    except (ValueError, AttributeError):
        return ""
