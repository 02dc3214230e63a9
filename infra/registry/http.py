"""How the registry is asked: one request, one answer, both within bounds, whatever is at the address.

A registry may be away, hang, drip its answer, send a page of a proxy or a redirect, or something that is JSON and not
an answer. None of it is a verdict on a record: before the first good answer it is a wrong address and refused,
afterwards the registry is unreachable.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from weir.infra.settings import RegistrySettings
from weir.schemas.errors import Refused, Transient

ANSWER_BYTES_MAX = 8 << 20
"""Several times the largest schema that registries take; more is no answer."""
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_ABSENT_CODES = frozenset({40401, 40402, 40403, 40404, 40405, 40406, 40407, 40408})
"""No such subject, version, schema or level, deleted softly or not. A page that is not there says 404 or 0."""
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a registry said; ``body`` is ``None`` where that was no JSON.

    Attributes:
        is_trusted: this address has given a good answer before.
    """

    status: int
    path: str
    body: Any
    is_trusted: bool

    @property
    def is_absent(self) -> bool:
        """True when the registry says that there is no such thing; a 404 of a wrong address is not that."""
        return self.status == httpx.codes.NOT_FOUND and self._said("error_code") in map(str, _ABSENT_CODES)

    def explain(self) -> str:
        """Return one line: the status, and the registry's own words if it has some."""
        return f"{self.status} {' '.join(self._said('message').split())[:200]}".rstrip()

    def listed(self) -> list[Any]:
        """Return the answer as a list.

        Raises:
            Refused: it is none, and never was one from here.
            Transient: it is none.
        """
        return self._checked(self.body, list)

    def take(self, name: str, kind: type[T]) -> T:
        """Return a part of the answer.

        Raises:
            Refused: it is not there, and no good answer ever came from here.
            Transient: it is not there.
        """
        return self._checked(self.body.get(name) if isinstance(self.body, dict) else None, kind)

    def _checked(self, found: Any, kind: type[T]) -> T:
        if self.status != httpx.codes.OK or not isinstance(found, kind) or isinstance(found, bool):
            said = self.explain() if self.body is not None else f"{self.status} and another page than JSON"
            raise self._wrong(f"registry: expected an answer from {self.path}, found {said}")
        return found

    def _wrong(self, message: str) -> Exception:
        return Transient(message) if self.is_trusted else Refused(f"{message}; check WEIR_REGISTRY__URL")

    def _said(self, name: str) -> str:
        return str(self.body.get(name, "")) if isinstance(self.body, dict) else ""


class RegistryHttp:
    """A connection to a registry.

    Args:
        settings: where it is and how to be let in.
        monotonic: seconds of a clock that never goes back.
        transport: for tests: answers in place of the network.
    """

    def __init__(
        self, settings: RegistrySettings, monotonic: Callable[[], float], transport: httpx.BaseTransport | None
    ) -> None:
        secret = settings.password.get_secret_value()
        self._url = settings.url.rstrip("/")
        self._seconds_max = settings.timeout_seconds
        self._monotonic = monotonic
        self._is_trusted = False
        self._client = httpx.Client(
            auth=(settings.username, secret) if settings.username else None,
            verify=_build_tls(self._url, settings.ssl_ca_location),
            timeout=settings.timeout_seconds,
            # no compression: a few bytes of it may stand for gigabytes
            headers={"Accept": f"{_CONTENT_TYPE}, application/json", "Accept-Encoding": "identity"},
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Answer:
        """Send a request.

        Raises:
            Transient: the registry is unreachable, failing, slower than its timeout, or its answer is too large.
            Refused: it does not let us in.
        """
        headers = {"Content-Type": _CONTENT_TYPE}
        content = None if body is None else json.dumps(body)
        try:
            with self._client.stream(
                method, self._url + path, params=query, content=content, headers=headers
            ) as response:
                text = self._read(response, method, path)
        except httpx.InvalidURL:
            # not quoted: it may hold a password
            raise Refused("setting WEIR_REGISTRY__URL: expected http://host:port/path, found no such address") from None
        except httpx.RequestError as error:
            raise Transient(f"registry: expected an answer to {method} {path}, found {type(error).__name__}") from None
        answer = Answer(response.status_code, path, _parse(text), self._is_trusted)
        if answer.status >= 500 or answer.status == httpx.codes.TOO_MANY_REQUESTS:
            raise Transient(f"registry: expected an answer to {method} {path}, found {answer.explain()}")
        if answer.status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise Refused(f"registry: not let in ({answer.status}); set WEIR_REGISTRY__USERNAME and __PASSWORD")
        self._is_trusted = self._is_trusted or (answer.status == httpx.codes.OK and answer.body is not None)
        return answer

    def _read(self, response: httpx.Response, method: str, path: str) -> bytes:
        give_up = self._monotonic() + self._seconds_max
        text = bytearray()
        for part in response.iter_bytes():
            text += part
            if len(text) > ANSWER_BYTES_MAX:
                raise Transient(f"registry: expected at most {ANSWER_BYTES_MAX} bytes from {method} {path}, found more")
            if self._monotonic() > give_up:
                raise Transient(f"registry: expected {method} {path} within {self._seconds_max} s, found it unfinished")
        return bytes(text)


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _build_tls(url: str, ca_file: str) -> ssl.SSLContext:
    if url.startswith("http://") and not ca_file:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody: the machine's certificates take time to read
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise Refused(f"registry: expected a CA file, found {error}; check WEIR_REGISTRY__SSL_CA_LOCATION") from None
