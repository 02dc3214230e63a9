"""What the text of a setting must look like: addresses, names and files, judged before anything is connected.

A client library that is handed a malformed address says so late, in words of its own, or not at all (a database number
that is none is read as 0). No message repeats the value: an address may hold a password.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\]")
_PLACE = re.compile(rf"(?P<host>{_HOST.pattern})(:(?P<port>[0-9]+))?")
_KAFKA_SCHEMES = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_NAME = re.compile(r"[^\s{}\x00-\x1f\x7f]{1,200}")
_SCHEME = re.compile(r"[a-z][a-z0-9+]{0,15}")
_REDIS_OPTIONS = {"db", "ssl_cert_reqs", "ssl_check_hostname", "client_name"}
"""Of a Redis URL's query. What else the client takes there is a setting of its own or would break a promise."""
_REDIS_DATABASES = re.compile(r"/?|/[0-9]{1,5}")


def check_host(text: str) -> str:
    """Return a host name or an IP address as it is."""
    if not (_HOST.fullmatch(text) or re.fullmatch(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:.%]*", text)):
        raise ValueError("expected a host name or an IP address")
    return text


def check_bootstrap_servers(text: str) -> str:
    """Return the list of brokers without blanks."""
    servers = [server.strip() for server in text.split(",")]
    for number, server in enumerate(servers, start=1):
        scheme, separator, place = server.rpartition("://")
        if separator and scheme.upper() not in _KAFKA_SCHEMES:
            raise ValueError(f"expected host:port in place {number}, found another scheme than Kafka's")
        _check_place(place, f"place {number}")
    return ",".join(servers)


def check_registry_url(text: str) -> str:
    """Return the URL as it is."""
    url = _split(text, ("http", "https"), "http://host:port")
    if url.query or url.fragment:
        raise ValueError("expected no query after the path")
    _check_place(url.netloc.rpartition("@")[2], "the URL")
    return text


def check_redis_url(text: str) -> str:
    """Return the URL as it is; it may name several hosts."""
    url = _split(text, ("redis", "rediss", "unix"), "redis://host:port/0")
    unknown = sorted({name for name, _ in parse_qsl(url.query, keep_blank_values=True)} - _REDIS_OPTIONS)
    if unknown:
        raise ValueError(f"expected of the query {', '.join(sorted(_REDIS_OPTIONS))}, found something else")
    if any(name == "db" and not value.isdecimal() for name, value in parse_qsl(url.query, keep_blank_values=True)):
        raise ValueError("expected the number of a database in db")
    if url.scheme == "unix":
        return text
    for host in url.netloc.rpartition("@")[2].split(","):
        _check_place(host, "the URL")
    if not _REDIS_DATABASES.fullmatch(url.path):
        raise ValueError("expected the number of a database after the last slash")
    return text


def check_topic(text: str) -> str:
    """Return a topic's name as it is."""
    if not _TOPIC.fullmatch(text) or text in {".", ".."}:
        raise ValueError("expected a topic's name: at most 249 letters, digits, dots, dashes and underscores")
    return text


def check_name(text: str) -> str:
    """Return the name of a group or a cluster as it is; both are parts of Redis keys."""
    if not _NAME.fullmatch(text):
        raise ValueError("expected a name of at most 200 characters without blanks and braces")
    return text


def check_file(text: str) -> str:
    """Return the path of a certificate or a key as it is; empty is none."""
    try:
        found = not text or text == "probe" or Path(text).exists()
    except OSError:
        found = False
    if not found:
        raise ValueError("expected a file that is there and can be read")
    return text


def check_root(text: str) -> str:
    """Return a folder or the URL of an object store as it is; empty is the default.

    >>> check_root("s3://bucket/archive")
    's3://bucket/archive'
    """
    scheme, separator, rest = text.partition("://")
    if text != text.strip() or not text.isprintable() or (separator and not (_SCHEME.fullmatch(scheme) and rest)):
        raise ValueError("expected a folder, or a URL such as s3://bucket/archive")
    return text


def parse_ids(given: object) -> tuple[str, ...]:
    """Return the ids, or other names, of a JSON list."""
    try:
        ids = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        ids = None
    if not isinstance(ids, list | tuple) or not all(isinstance(each, str) and each.strip() for each in ids):
        raise ValueError('expected a JSON list of texts, such as ["pos-default", "9999"]')
    return tuple(ids)


def _split(text: str, schemes: tuple[str, ...], expected: str) -> SplitResult:
    try:
        url = urlsplit(text)
    except ValueError:
        raise ValueError(f"expected {expected}") from None
    if url.scheme not in schemes or text != text.strip():
        raise ValueError(f"expected {expected}, of scheme {' or '.join(schemes)}")
    return url


def _check_place(text: str, where: str) -> None:
    match = _PLACE.fullmatch(text)
    if not match:
        raise ValueError(f"expected host:port in {where}")
    if match["port"] and not 0 < int(match["port"][:6]) <= 65_535:
        raise ValueError(f"expected a port from 1 to 65535 in {where}")


Host = Annotated[str, AfterValidator(check_host)]
BootstrapServers = Annotated[str, AfterValidator(check_bootstrap_servers)]
RegistryUrl = Annotated[str, AfterValidator(check_registry_url)]
RedisUrl = Annotated[str, AfterValidator(check_redis_url)]
Topic = Annotated[str, AfterValidator(check_topic)]
Name = Annotated[str, AfterValidator(check_name)]
FourEyes = Annotated[tuple[Literal["rules", "allow", "lists"], ...], BeforeValidator(parse_ids)]
Ids = Annotated[tuple[str, ...], BeforeValidator(parse_ids)]
File = Annotated[str, AfterValidator(check_file)]
Root = Annotated[str, AfterValidator(check_root)]
Days = Annotated[int, Field(ge=0, le=36_500)]
