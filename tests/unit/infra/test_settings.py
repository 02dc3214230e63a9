"""Settings that are malformed, misspelt or contradict each other are refused by name, before anything is connected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from weir.infra.home import stack_env_path
from weir.infra.setting_names import declared_names
from weir.infra.settings import ProcessorSettings, Settings, load_settings
from weir.schemas.errors import Refused
from weir.schemas.stream import Namespace
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.schemas.streams.sessions import sessions

SEVERAL = "redis://user:pass,word@one:6379,two:6379/0"
SECRET = "hunter2"
NOT_NUMBERS = ("many", "1.5x", "nan", "inf", "-inf", "-1", "9" * 5_000, "0x10", "1e999", " ", "1 2")
MALFORMED: dict[str, tuple[str, ...]] = {
    "WEIR_KAFKA__BOOTSTRAP_SERVERS": (
        *("host:port", "host:", ":9092", "host:0", "host:99999", "a:1,,b:2", "a:1,", "http://host:9092", "host:1:2"),
        *("ho st:9092", "host:-1", "user:pass@host:9092", " ", "[::1:9092", "host:" + "9" * 5_000),
    ),
    "WEIR_REGISTRY__URL": (
        *("host:8081", "ftp://host", "http://", "http://host:port", "http://host:0", "http://host:99999", "//host"),
        *("http://ho st", "http://[::1", "http://host?x=1", " http://host", "http://host:8081#x", "http://:8081"),
        f"htp://user:{SECRET}@host",
    ),
    "WEIR_ARCHIVE__ROOT": (" s3://bucket", "s3://", "://bucket", "S 3://bucket", "a\nb"),
    "WEIR_REDIS__URL": (
        *("host:6379", "http://host:6379", "redis://", "redis://host:port", "redis://host:0", "redis://host:99999"),
        *("redis://host/abc", "redis://host/1/2", "redis://host/-1", "redis://host?db=x", "redis://host?foo=bar"),
        *("redis://[::1", "redis:host", "redis://ho st", " redis://host", f"redis://user:{SECRET}@host:port/0"),
    ),
    "WEIR_TOPICS__TRANSACTIONS": ("a b", "a/b", ".", "..", "x" * 250, "ü", "features"),
    "WEIR_PROCESSOR__GROUP": ("a b", "a{b}", "x" * 201, "a\nb"),
    "WEIR_CLUSTER": ("a b", "{a}"),
    "WEIR_KAFKA__SSL_CA_LOCATION": ("/nowhere/ca.pem", "x" * 5_000),
    "WEIR_REDIS__SSL_CA_LOCATION": ("/nowhere/ca.pem",),
    "WEIR_REGISTRY__SSL_CA_LOCATION": ("/nowhere/ca.pem",),
    "WEIR_MONITORING__METRICS_HOST": ("http://host", "a b", "host:80"),
    "WEIR_API__HOST": ("http://host", "a b"),
}


def _fields(section: Any, prefix: str = "WEIR_") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from _fields(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", field


def _kind(field: FieldInfo) -> Any:
    kind = field.annotation
    return next(k for k in get_args(kind) if k is not NoneType) if isinstance(kind, UnionType) else kind


def _malformed() -> Iterator[tuple[str, str]]:
    for name, field in _fields(Settings):
        kind = _kind(field)
        values = NOT_NUMBERS if kind in (int, float) else ("perhaps",) if kind is bool else ()
        if get_origin(kind) is Literal:
            values = ("SOMETHING",)
        yield from ((name, value) for value in (*values, *MALFORMED.get(name, ())))


def _refusal(environ: dict[str, str]) -> str:
    with pytest.raises(Refused) as refused:
        load_settings({"WEIR_HOME": "nowhere", **environ})
    text = str(refused.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize(("name", "value"), list(_malformed()), ids=lambda text: text[:40])
def test_a_malformed_value_is_refused_in_one_line_that_names_the_setting(name: str, value: str) -> None:
    text = _refusal({name: value})
    assert name.rpartition("__")[0] in text
    assert SECRET not in text


def test_a_setting_of_free_text_is_checked_by_something_or_known_to_take_anything() -> None:
    anything = {"USERNAME", "SASL_USERNAME", "DLQ_HEADER_PREFIX"}
    free = {name for name, field in _fields(Settings) if _kind(field) is str and not field.metadata}
    assert {name.rpartition("__")[2] for name in free} == anything


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            ("WEIR_KAFKA__BOOTSTRAP_SERVERS", text)
            for text in ("a", "a:1, b:2", "[::1]:9092", "SASL_SSL://b-1.x.y:9096")
        ],
        *[("WEIR_REGISTRY__URL", text) for text in ("https://u:p@host/apis/ccompat/v7", "http://[::1]:8081/")],
        *[
            ("WEIR_REDIS__URL", text)
            for text in ("redis://host", "rediss://u:p%40@host:1/15", "unix:///tmp/redis.sock")
        ],
        *[("WEIR_MONITORING__METRICS_HOST", text) for text in ("::1", "0.0.0.0", "localhost")],
        ("WEIR_REDIS__URL", "redis://:secret@host:6379/0?ssl_cert_reqs=none"),
    ],
)
def test_what_a_client_takes_is_taken(name: str, value: str) -> None:
    load_settings({"WEIR_HOME": "nowhere", name: value})


def test_several_hosts_are_refused_where_there_is_no_cluster() -> None:
    with pytest.raises(Refused, match="several hosts in url"):
        load_settings({"WEIR_HOME": "nowhere", "WEIR_REDIS__URL": SEVERAL})


def test_several_hosts_are_nodes_of_a_cluster() -> None:
    settings = load_settings({"WEIR_HOME": "nowhere", "WEIR_REDIS__URL": SEVERAL, "WEIR_REDIS__CLUSTER": "true"})
    assert settings.redis.url == SEVERAL


def test_a_comma_in_the_password_is_no_second_host() -> None:
    url = "redis://user:pass,word@one:6379/0"
    assert load_settings({"WEIR_HOME": "nowhere", "WEIR_REDIS__URL": url}).redis.url == url


SERVICES = ("WEIR", "WEIR_REDIS", "WEIR_KAFKA_BROKERS", "WEIR_API")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_the_names_that_an_orchestrator_sets_for_a_service_are_no_settings(service: str, protocol: str) -> None:
    port = f"{service}_PORT_8000_{protocol}"
    address = f"{protocol.lower()}://10.0.0.1:8000"
    links = {
        f"{service}_SERVICE_HOST": "10.0.0.1",
        f"{service}_SERVICE_PORT": "8000",
        f"{service}_SERVICE_PORT_HTTP_ADMIN": "8000",
        f"{service}_PORT": address,
        port: address,
        f"{port}_PROTO": protocol.lower(),
        f"{port}_PORT": "8000",
        f"{port}_ADDR": "10.0.0.1",
    }
    assert load_settings({"WEIR_HOME": "nowhere", **links}) == load_settings({"WEIR_HOME": "nowhere"})


@pytest.mark.parametrize("name", sorted(declared_names(Settings)))
def test_a_misspelt_setting_is_refused_with_the_nearest_name(name: str) -> None:
    """One letter doubled, one lost, and one underscore between levels: what people type."""
    letter = len("WEIR_") + 1
    spellings = {name[:letter] + name[letter - 1 :], name[:-1], name.replace("__", "_")} - set(declared_names(Settings))
    for misspelt in spellings:
        assert f"did you mean {name}?" in _refusal({misspelt: "8000"})
        assert f"did you mean {name}?" in _refusal({misspelt: ""})


def test_a_name_like_no_setting_is_refused_without_a_guess() -> None:
    text = _refusal({"WEIR_ZZZZZZZZ": "1"})
    assert "WEIR_ZZZZZZZZ is not known" in text
    assert "did you mean" not in text


@pytest.mark.parametrize("content", [b"half a li", b"\xff\xfe=1\n", b"A=1\n?\n"])
def test_addresses_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    stack_env_path(tmp_path).write_bytes(content)
    with pytest.raises(Refused, match="`weir up` writes the file again"):
        load_settings({"WEIR_HOME": str(tmp_path)})


def test_a_group_that_is_too_long_with_its_stream_is_refused() -> None:
    own = replace(clicks, namespace=Namespace("n" * 64, ""), name="s" * 64)
    settings = Settings(processor=ProcessorSettings(group="g" * 100))
    assert len(settings.of_stream(own).processor.group) == 230
    with pytest.raises(Refused, match=r"expected a group of at most 100 characters for nnn.*, found one of 101"):
        Settings(processor=ProcessorSettings(group="g" * 101)).of_stream(own)


def test_settings_of_one_stream_are_not_made_those_of_another() -> None:
    settings = Settings().of_stream(clicks)
    assert settings.of_stream(clicks) is settings
    for other in (sessions, payments, replace(clicks, name="others")):
        with pytest.raises(ValueError, match=f"to make those of {other.name} of; found those of clicks"):
            settings.of_stream(other)
    assert Settings().of_stream(payments).of_stream(clicks).topics == settings.topics
