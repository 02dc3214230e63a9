"""The drill: a machine is lost with its home and its brokers, and a new one has cases, keys and audit log again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import create_deployment
from tests.integration.outputs import Follower
from tests.integration.payments import Publisher
from tests.integration.services import Services, log_of
from tests.integration.test_cases_live import decode_labels
from tests.integration.test_gdpr import journey
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.cases.outbox import Outbox
from weir.cases.sender import VERSION
from weir.infra.database.engine import open_database
from weir.infra.embedded.stack import Stack
from weir.infra.settings import Settings, load_settings

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(600)]
SENT, WAITING, NOTED, ERASED = "card-sent", "card-waiting", "card-noted", "card-erased"
DAY_MS = 86_400_000


@contextmanager
def machine(home: Path, logs: Path) -> Iterator[Services]:
    """Servers and services of a machine's own, which end with the block."""
    stack = Stack(home)
    running: Services | None = None
    try:
        stack.start()
        given = {"WEIR_HOME": str(home), "WEIR_API__KEYS": "required", "WEIR_TOPICS__PARTITIONS": "1"}
        settings = load_settings(given)
        create_deployment(settings)
        link_champion(home, write_bundle(home / "models" / "tiny-1"))
        running = Services(settings, logs)
        yield running
    finally:
        if running is not None:
            running.stop()
        stack.stop()


@contextmanager
def served(services: Services, key: str) -> Iterator[httpx.Client]:
    address = log_of(services.start("serve", "--port", "0", ready="serving http")).partition("serving ")[2].split()[0]
    with httpx.Client(base_url=address.rstrip(":"), headers={"x-api-key": key}, timeout=30, trust_env=False) as client:
        yield client


def list_cases(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return each case with its decisions and acts, by its card."""
    states = {"state": ["open", "claimed", "closed"]}
    found = [each["id"] for each in client.get("/v1/cases", params=states).json()["cases"]]
    files = [client.get(f"/v1/cases/{each}").json() for each in found]
    return {file["key"]: file for file in files}


def count_unsent(settings: Settings) -> int:
    engine = open_database(settings)
    try:
        return Outbox(engine, stream=settings.stream.full_name).count()[0]
    finally:
        engine.dispose()


def list_labels(settings: Settings) -> list[tuple[str, bytes]]:
    """Return the event of each label in the topic, and the version of its verdict."""
    with closing(Follower(settings, settings.topics.labels)) as follower:
        follower.poll_to_end()
        versions = [dict(message.headers() or [])[VERSION] for message in follower.messages]
        return list(zip((each["transaction_id"] for each in decode_labels(settings, follower)), versions, strict=True))


def read_calls(services: Services, *arguments: str) -> list[str]:
    return services.run("audit", "calls", "--since", "1d", "--json", *arguments).splitlines()


def work(services: Services, client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Have a case whose label is sent, one whose label waits, one with a note, and one of somebody; return them."""
    settings = services.settings
    follower = services.start("cases", "follow")
    first_ms = int(time.time() * 1_000) - 8 * DAY_MS
    for card in (SENT, WAITING, NOTED, ERASED):
        Publisher(settings).send_payments(journey(card, f"customer of {card}", first_ms, card))
    services.await_true(
        lambda: [case["events"] >= 2 for case in list_cases(client).values()] == [True] * 4, "four cases"
    )
    ids = {card: file["id"] for card, file in list_cases(client).items()}
    verdict = {"verdict": "fraud", "reason": "the customer called"}
    for card in (SENT, WAITING):
        assert client.post(f"/v1/cases/{ids[card]}/claim", json={}).status_code == 200
    assert client.post(f"/v1/cases/{ids[NOTED]}/notes", json={"text": "ask the shop"}).status_code == 200
    assert client.post(f"/v1/cases/{ids[SENT]}/verdict", json=verdict).status_code == 200
    services.await_true(lambda: count_unsent(settings) == 0, "the label to be sent")
    services.end(follower)
    assert client.post(f"/v1/cases/{ids[WAITING]}/verdict", json=verdict).status_code == 200
    assert count_unsent(settings) > 0
    return list_cases(client)


def test_a_machine_is_lost_and_cases_keys_and_the_audit_log_are_not(tmp_path: Path) -> None:
    backups = tmp_path / "elsewhere"
    backups.mkdir()
    with machine(tmp_path / "one", tmp_path / "logs-1") as services:
        services.start("run")
        key, reader = (services.run("keys", "create", each, "--scopes", each).strip() for each in ("admin", "read"))
        with served(services, key) as client:
            cases = work(services, client)
            services.run("archive", "--until-caught-up")
            assert client.get("/v1/models").status_code == 200  # a call that the archive has not
            services.await_true(lambda: '"/v1/models"' in "".join(read_calls(services)), "the call in the log")
        calls, keys = read_calls(services), services.run("keys", "list", "--json")
        about = read_calls(services, "--about", cases[NOTED]["id"])
        assert len(about) >= 2
        assert "archive, topic" in services.run("backup", str(backups))
        services.run("gdpr", "erase", "--entity", f"card={ERASED}", "--why", "asked for", "--apply")
        for name in ("erasures.jsonl", "keys/audit.key"):  # kept apart, as docs/privacy.md says
            shutil.copy(services.settings.home / name, backups)
    shutil.rmtree(tmp_path / "one")

    (backup,) = backups.glob("weir-*.tar.xz")
    with machine(tmp_path / "two", tmp_path / "logs-2") as services:
        home = services.settings.home
        (home / "keys").mkdir(exist_ok=True)
        shutil.copy(backups / "erasures.jsonl", home)
        shutil.copy(backups / "audit.key", home / "keys")
        assert "put back" in services.run("restore", str(backup), "--apply")
        assert json.loads(services.run("keys", "list", "--json")) == json.loads(keys)
        with served(services, key) as client:
            check_keys(client, reader)
            assert list_cases(client) == cases
            assert "of 1 erased ids 1 are erased again" in services.run("gdpr", "again", "--apply")
            assert list_cases(client) == {card: file for card, file in cases.items() if card != ERASED}
            check_labels(services)
        check_calls(services, calls, about, cases[NOTED]["id"])


def check_keys(client: httpx.Client, reader: str) -> None:
    """Each key opens what it did, and none other does."""
    assert client.get("/v1/keys").status_code == 200
    answers = [client.get(path, headers={"x-api-key": reader}).status_code for path in ("/v1/models", "/v1/keys")]
    assert answers == [200, 403]
    assert client.get("/v1/models", headers={"x-api-key": reader[:-1] + "g"}).status_code == 401


def check_labels(services: Services) -> None:
    """The label that waited is sent once; that of before, which these brokers never had, is not sent again."""
    settings = services.settings
    for _ in range(2):
        follower = services.start("cases", "follow")
        services.await_true(lambda: count_unsent(settings) == 0, "the label to be sent")
        services.end(follower)
    found = list_labels(settings)
    assert sorted(found) == sorted(set(found))
    assert {version for _, version in found} == {b"1"}
    assert {event.rpartition("-")[0] for event, _ in found} == {WAITING}


def check_calls(services: Services, calls: list[str], about: list[str], case_id: str) -> None:
    """What was called on the machine that is gone comes first, then what was on this one; ids have their names."""
    services.await_true(lambda: '"/v1/keys"' in "".join(read_calls(services)), "a call of this machine")
    found = read_calls(services)
    assert found[: len(calls)] == calls
    assert len(found) > len(calls)
    assert read_calls(services, "--about", case_id)[: len(about)] == about
    changes = services.run("audit", "changes", "--json")
    assert all(f'"{each}"' in changes for each in ("create", "note", "claimed", "fraud", "erase"))
