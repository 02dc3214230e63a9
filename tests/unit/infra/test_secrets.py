"""No secret of the settings gets into a message, whatever is wrong with what holds it."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from weir.infra.kafka.clients import build_admin, build_consumer, build_producer
from weir.infra.redis.client import connect
from weir.infra.redis.watch import examine_redis
from weir.infra.registry.client import Registry
from weir.infra.settings import KafkaSettings, RedisSettings, RegistrySettings, Settings, load_settings
from weir.schemas.errors import Refused, WeirError

SECRET = "hunter2"
KAFKA = KafkaSettings(
    bootstrap_servers="127.0.0.1:1",
    security_protocol="SASL_SSL",
    sasl_username="u",
    sasl_password=SecretStr(SECRET),
    ssl_ca_location=__file__,  # it is there, and no certificate
    ssl_key_location=__file__,
    ssl_key_password=SecretStr(SECRET),
)
REDIS_URLS = [
    f"redis://u:{SECRET}@127.0.0.1:x/0",
    f"redis://u:{SECRET}#5@127.0.0.1:6379/0",
    f"redis://u:5#{SECRET}@127.0.0.1:6379/0",
    f"redis://u:{SECRET}/5@127.0.0.1:6379/0",
    f"foo://u:{SECRET}@h:1",
    f"redis://u:{SECRET}@[h:1",
    f"redis://u:{SECRET}@127.0.0.1:1/0",
    f"rediss://u:{SECRET}@127.0.0.1:1/0",
]
REGISTRY_URLS = [
    f"http://u:{SECRET}@127.0.0.1:1",
    f"http://u:{SECRET}@127.0.0.1:x",
    f"http://u:{SECRET}#x@127.0.0.1:1",
    f"foo://u:{SECRET}@127.0.0.1:1",
    f"http://u:{SECRET}@[h",
]


def what_is_raised(act: Callable[[], object]) -> str:
    """Return everything that a log could show of an error, its causes and traceback included."""
    try:
        act()
    except WeirError as error:
        return "".join(traceback.format_exception(error)) + repr(error)
    return ""


def without_source(text: str) -> str:
    """Leave out the lines of this very file, which name what they hide."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


@pytest.mark.parametrize("build", [build_admin, build_producer, lambda kafka: build_consumer(kafka, group="g")])
def test_a_kafka_client_that_cannot_be_made_shows_no_secret(build: Callable[[KafkaSettings], object]) -> None:
    raised = what_is_raised(lambda: build(KAFKA))
    assert raised
    assert SECRET not in without_source(raised)


def redis_of(url: str) -> RedisSettings:
    return load_settings({"WEIR_REDIS__URL": url, "WEIR_REDIS__PASSWORD": SECRET}).redis


def redis_unchecked(url: str) -> RedisSettings:
    return RedisSettings.model_construct(url=url, password=SecretStr(SECRET))


@pytest.mark.parametrize("url", REDIS_URLS)
@pytest.mark.parametrize("settings", [redis_of, redis_unchecked])
def test_a_redis_that_cannot_be_reached_shows_no_secret(url: str, settings: Callable[[str], RedisSettings]) -> None:
    """Most of these URLs are refused with the settings; the client must hide what gets past them as well."""
    raised = what_is_raised(lambda: examine_redis(connect(settings(url))))
    assert raised
    assert SECRET not in without_source(raised)


def registry_of(url: str) -> RegistrySettings:
    return load_settings({"WEIR_REGISTRY__URL": url, "WEIR_REGISTRY__PASSWORD": SECRET}).registry


def registry_unchecked(url: str) -> RegistrySettings:
    return RegistrySettings.model_construct(url=url, username="u", password=SecretStr(SECRET))


@pytest.mark.parametrize("url", REGISTRY_URLS)
@pytest.mark.parametrize("settings", [registry_of, registry_unchecked])
def test_a_registry_that_cannot_be_reached_shows_no_secret(
    url: str, settings: Callable[[str], RegistrySettings]
) -> None:
    raised = what_is_raised(lambda: Registry(settings(url)).latest_id("x-value"))
    assert raised
    assert SECRET not in without_source(raised)


@pytest.mark.parametrize(
    "name",
    ["WEIR_KAFKA__SASL_PASSWORD", "WEIR_KAFKA__SSL_KEY_PASSWORD", "WEIR_REGISTRY__PASSWORD", "WEIR_REDIS__PASSWORD"],
)
def test_settings_show_no_secret(name: str) -> None:
    settings = load_settings({name: SECRET})
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"
    with pytest.raises(Refused) as caught:
        load_settings({name: SECRET, "WEIR_KAFKA__SESSION_TIMEOUT_MS": SECRET})
    assert SECRET not in str(caught.value)
    assert settings != Settings()
