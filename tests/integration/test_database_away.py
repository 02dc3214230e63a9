"""The database of keys and cases dies while an API serves: decisions are made, asked for and looked up all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from tests.integration.database import running_postgresql
from tests.integration.good_reads import build_event
from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher, build_payment
from tests.integration.services import Services, log_of
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.database.engine import open_database
from weir.infra.settings import DatabaseSettings, Settings
from weir.schemas.errors import Transient

pytestmark = [pytest.mark.server, pytest.mark.long]


@pytest.fixture
def database() -> Iterator[str]:
    """URL of a PostgreSQL server of the test's own."""
    with running_postgresql() as url:
        yield url


@pytest.fixture
def services(deployment: Settings, tmp_path: Path, database: str) -> Iterator[Services]:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    given = {
        "home": tmp_path,
        "database": DatabaseSettings(url=SecretStr(database)),
        "api": deployment.api.model_copy(update={"keys": "required"}),
    }
    running = Services(deployment.model_copy(update=given), tmp_path / "logs")
    yield running
    running.stop()


def kill(database: str) -> None:
    """End the server at once, with every connection to it."""
    folder = Path(database.partition("host=")[2])
    os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)


def test_no_decision_waits_for_the_database_of_keys_and_cases(services: Services, database: str) -> None:
    settings = services.settings
    key = services.run("keys", "create", "anna", "--scopes", "read,score,review").strip()
    services.start("run")
    services.start("index")
    address = log_of(services.start("serve", "--port", "0", ready="serving http")).partition("serving ")[2].split()[0]
    headers = {"x-api-key": key, "prefer": "wait=10"}
    with (
        httpx.Client(base_url=address.rstrip(":"), headers=headers, timeout=30, trust_env=False) as client,
        closing(Outputs(settings)) as outputs,
    ):
        assert client.post("/v1/decide", json=build_event(transaction_id="before")).status_code == 200
        assert client.get("/v1/cases").status_code == 200
        kill(database)
        services.await_true(lambda: client.get("/v1/cases").status_code == 503, "cases that say so")
        with pytest.raises(Transient):
            open_database(settings)

        decided = client.post("/v1/decide", json=build_event(transaction_id="after"))
        assert (decided.status_code, decided.json()["decision"] is not None) == (200, True)
        assert client.post("/v1/score", json=build_event(transaction_id="asked")).status_code == 200
        Publisher(settings).send_payments([build_payment(f"t{number}", card_id="card-t") for number in range(20)])
        wanted = {"before", "after", *(f"t{number}" for number in range(20))}
        services.await_true(
            lambda: {each["transaction_id"] for each in outputs.decisions()} >= wanted, "every decision"
        )
        services.await_true(lambda: client.get("/v1/decisions/after").status_code == 200, "the decision in the index")
        opened = client.post("/v1/cases", json={"transaction_id": "after", "reason": "called"})
        assert (opened.status_code, "database" in opened.json()["error"]["message"]) == (503, True)
