"""A decision of the running stream is answered for from its archive, once every server is gone from the picture."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher
from tests.integration.services import Services, log_of
from tests.integration.streams import build_stream, publish
from tests.integration.test_exactly_once import deploy
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.archive.place import Place
from weir.archive.seals.chain import Chain
from weir.archive.seals.seal import ROWS, read_seal
from weir.infra.settings import Settings

pytestmark = pytest.mark.server
RECORDS = 300
SCRIPT = Path(__file__).parents[2] / "archive" / "verify_proof.py"


@pytest.fixture
def services(stack: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    """Two partitions, a model, and an archive of small batches."""
    settings = deploy(stack, request.node.name, batch_records_max=40).model_copy(update={"home": tmp_path / "home"})
    archive = settings.archive.model_copy(update={"root": str(tmp_path / "archive"), "commit_rows_max": 50})
    link_champion(settings.home, write_bundle(settings.home / "models" / "tiny-1"))
    running = Services(settings.model_copy(update={"archive": archive}), tmp_path / "logs")
    yield running
    running.stop()


def test_a_decision_is_made_again_and_proved_on_a_machine_that_has_the_archive_alone(
    services: Services, tmp_path: Path
) -> None:
    versions = _publish(services, tmp_path)
    decided = _decide(services)
    services.run("archive", "--until-caught-up")
    assert _search(services) == sorted(decided, key=lambda each: each["transaction_id"])
    _move_elsewhere(services, tmp_path)
    ids = {each["decision"]: each["transaction_id"] for each in decided}
    assert len(ids) > 1
    for decision in (each for each in decided if each["transaction_id"] in ids.values()):
        text = services.run("evidence", decision["transaction_id"], "--json")
        answer = json.loads(text)
        assert answer["decision"]["is_same"] is True, answer["decision"]
        assert answer["decision"]["recorded"]["score"] == decision["score"]
        in_force = answer["decision"]["in_force"]
        assert (in_force["lists_version"], in_force["thresholds"]["version"]) == versions
        assert [each["topic"] for each in answer["coordinates"]] == list(_topics(services.settings))
        (tmp_path / "proof.json").write_text(text)
        command = [sys.executable, "-I", "-S", str(SCRIPT), str(tmp_path / "proof.json")]
        checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (checked.returncode, checked.stdout.count("as it was sealed")) == (0, 3)
    assert services.run("evidence", "verify").splitlines()[-1] == "in order"


def _publish(services: Services, folder: Path) -> tuple[str, str]:
    """Publish lists and thresholds, and return what decisions call them."""
    texts = {"lists": '{"block": {"card": ["nobody"]}}', "thresholds": '{"review": 0.5, "decline": 0.875}'}
    found = []
    for kind, text in texts.items():
        path = folder / f"{kind}.json"
        path.write_text(text)
        said = services.run(kind, "publish", str(path), "--who", "ada", "--why", "a test", "--json")
        found.append(json.loads(said.splitlines()[0])["version"])
    return found[0], found[1]


def _search(services: Services) -> list[dict[str, Any]]:
    """Return all decisions as the API finds them in the archive, page by page."""
    said = log_of(services.start("serve", "--port", "0", ready="serving http"))
    found: list[dict[str, Any]] = []
    with httpx.Client(base_url=said.partition("serving ")[2].split()[0].rstrip(":"), timeout=60.0) as client:
        # its process starts with the first question, which may take longer than one may
        services.await_true(lambda: client.get("/v1/metrics/daily").status_code == 200, "an answer")
        days = client.get("/v1/metrics/daily").json()["days"]
        query: dict[str, Any] = {"limit": 120}
        while query:
            page = client.get("/v1/decisions", params=query).json()
            found += page["decisions"]
            query = {"limit": 120, "after": page["next"]} if page["next"] else {}
        of_card = client.get("/v1/decisions", params={"card": found[0]["card_id"], "limit": 200}).json()["decisions"]
    assert of_card == [each for each in found if each["card_id"] == found[0]["card_id"]]
    assert sum(day["number"] for day in days) == len(found)
    return sorted(found, key=lambda each: str(each["transaction_id"]))


def _move_elsewhere(services: Services, folder: Path) -> None:
    """Give commands a copy of the archive, another home, and servers that do not answer."""
    settings = services.settings
    copy = shutil.copytree(settings.archive.root, folder / "copy")
    shutil.rmtree(settings.home)
    away = {"bootstrap_servers": "127.0.0.1:9"}
    changed = {
        "home": folder / "elsewhere",
        "archive": settings.archive.model_copy(update={"root": str(copy)}),
        "kafka": settings.kafka.model_copy(update=away),
        "registry": settings.registry.model_copy(update={"url": "http://127.0.0.1:9"}),
        "redis": settings.redis.model_copy(update={"url": "redis://127.0.0.1:9/0"}),
    }
    services.stop()
    services.change(settings.model_copy(update=changed))


def test_two_archivers_that_share_the_partitions_write_one_chain(services: Services) -> None:
    _decide(services)
    for partition in ("0", "1"):
        services.start("archive", "--partitions", partition)
    place = Place(services.settings.archive.root)
    services.await_true(lambda: len(_sealed(place)) >= 4, "seals of several tables")
    services.stop()
    services.run("archive", "--until-caught-up")
    seals = _sealed(place)
    assert [seal.sequence for seal in seals] == list(range(1, len(seals) + 1))
    rows = [(seal.table, seal.batch) for seal in seals if seal.kind == ROWS]
    assert len(set(rows)) == len(rows)
    assert services.run("evidence", "verify").splitlines()[-1] == "in order"


def _sealed(place: Place) -> list[Any]:
    return [read_seal(stored.text) for stored in Chain(place).read()]


def _decide(services: Services) -> list[dict[str, Any]]:
    services.start("run")
    log = publish(Publisher(services.settings), build_stream(seed=17, count=RECORDS))
    with closing(Outputs(services.settings)) as outputs:
        outputs.await_settled(len(log), services.await_true)
        services.await_true(lambda: len(outputs.decisions()) >= len(outputs.rows()) > 0, "a decision for each row")
        return outputs.decisions()


def _topics(settings: Settings) -> tuple[str, str, str]:
    return settings.topics.transactions, settings.topics.features, settings.topics.decisions
