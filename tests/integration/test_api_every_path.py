"""Every operation of the API, by its own command on real servers and a real HTTP client: each has a good answer.

A new path is red until ``good_reads.py`` or ``good_changes.py`` has a good request for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import httpx
import pytest

from tests.conftest import create_deployment, settings_for
from tests.integration import good_changes, good_reads  # noqa: F401 - both enter their requests
from tests.integration.good_requests import DEFAULT, GOOD, Asking, Lab
from tests.integration.payments import Publisher, build_payment
from tests.integration.services import Services, log_of
from tests.integration.test_cases_live import CARD, journey
from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.inference.test_api_keys import SCOPES
from weir.infra.publishing_settings import PublishingSettings
from weir.infra.settings import Settings

pytestmark = pytest.mark.server
BY_NAME = f"{DEFAULT}/streams/transactions"
CARDS, LETTERS = 20, 12
ASKED = {"x-request-id": "order-7", "prefer": "wait=10"}
OF_PROCESS = frozenset({"/v1/keys", "/v1/keys/{key_id}/revoke", "/v1/audit"})
OPEN = frozenset({"GET /healthz", "GET /readyz"})


def prefixes_of(label: str) -> tuple[str, ...]:
    """Return under which paths an operation is served."""
    path = label.split()[1]
    return (DEFAULT, BY_NAME) if path.startswith(f"{DEFAULT}/") and path not in OF_PROCESS else (DEFAULT,)


@pytest.fixture(scope="module")
def services(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    home = tmp_path_factory.mktemp("every-path")
    link_champion(home, write_bundle(home / "models" / "tiny-1"))
    settings = settings_for(stack, "every-path")
    create_deployment(settings)
    asked = {
        "home": home,
        "api": settings.api.model_copy(update={"keys": "required"}),
        "publishing": PublishingSettings(four_eyes=("rules", "lists")),
    }
    running = Services(settings.model_copy(update=asked), home / "logs")
    yield running
    running.stop()


def publish(settings: Settings) -> None:
    """Publish a burst of each card, of which a rule asks for a review, and payments that nobody can read."""
    now_ms = int(time.time() * 1_000)
    bursts = journey(now_ms - 600_000)
    for number in range(CARDS):
        for place, payment in enumerate(bursts[:3]):
            bursts.append(payment | {"transaction_id": f"b{number}-{place}", "card_id": f"flies-{number}"})
    wrong = [build_payment(f"w{number}", card_id="card-wrong", currency="EURO") for number in range(LETTERS)]
    Publisher(settings).send_payments([*wrong, *bursts])


@pytest.fixture(scope="module")
def lab(services: Services) -> Iterator[Lab]:
    keys = [services.run("keys", "create", name, "--scopes", "admin").strip() for name in ("lead", "ben")]
    for verb in (("run",), ("index",), ("cases", "follow")):
        services.start(*verb)
    publish(services.settings)
    address = log_of(services.start("serve", "--port", "0", ready="serving http")).partition("serving ")[2].split()[0]
    with ExitStack() as opened:
        client, second = (
            opened.enter_context(
                httpx.Client(base_url=address.rstrip(":"), headers={"x-api-key": key}, timeout=30, trust_env=False)
            )
            for key in keys
        )
        numbers = count()

        def stage() -> str:
            version = f"s{next(numbers)}"
            write_bundle(services.settings.home / "models" / version, version=version)
            services.run("models", "stage", version, "--why", "a test", "--force", "a test")
            return version

        yield Lab(services, client, second, *await_world(services, client), stage, numbers)


def await_world(services: Services, client: httpx.Client) -> tuple[Iterator[str], Iterator[tuple[int, int]]]:
    """Wait until all is decided, in a case or a dead letter, and archive it; return cards and letters."""

    def ask(path: str, **params: Any) -> Any:
        return client.get(path, params=params | {"limit": 200}).json()

    cards = [f"flies-{number}" for number in range(CARDS)]
    services.await_true(
        lambda: {CARD, *cards} <= {each["key"] for each in ask("/v1/cases")["cases"]}, "a case of each card"
    )
    services.await_true(lambda: len(ask("/v1/dead-letters")["letters"]) == LETTERS, "the dead letters")
    decided = client.post("/v1/decide", json=good_reads.build_event(transaction_id="asked"), headers=ASKED)
    assert (decided.status_code, decided.headers["x-request-id"]) == (200, "order-7")
    services.run("archive", "--until-caught-up")
    services.run("quality", "--json")
    letters = [(each["partition"], each["offset"]) for each in ask("/v1/dead-letters")["letters"]]
    return iter(cards), iter(letters)


def test_every_operation_has_a_good_request(lab: Lab) -> None:
    paths = lab.client.get("/openapi.json").json()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    listed = {label.replace(DEFAULT, prefix, 1) for label in GOOD for prefix in prefixes_of(label)}
    assert served - listed == set(), "expected a good request for each, in good_reads.py or good_changes.py"
    undocumented = {"GET /", "GET /docs", "GET /metrics", "GET /openapi.json"}
    assert listed - served == undocumented
    assert {*SCOPES, *OPEN} == set(GOOD), "expected each in SCOPES of test_api_keys.py, which walks over them"


@pytest.mark.parametrize(
    ("label", "prefix"), [(label, prefix) for label in sorted(GOOD) for prefix in prefixes_of(label)]
)
def test_the_operation_is_answered_over_a_real_connection(lab: Lab, label: str, prefix: str) -> None:
    ask = Asking(lab, label, prefix)
    GOOD[label](ask)
    assert label in ask.answered, f"expected a request for {label} with a good answer"
