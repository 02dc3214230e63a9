"""One API over the streams of a project, on real servers: each answers for itself, and no other project's is seen."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import settings_for
from tests.integration.decided import await_true
from tests.integration.running import running
from tests.unit.inference.bundles import link_to, write_bundle
from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.twins import Client
from weir.inference.api.app import build_api
from weir.inference.api.examples import build_event
from weir.inference.api.serve import STAGES, build_parts
from weir.inference.cli import run_scorer
from weir.infra.kafka.topics import ensure_topics
from weir.infra.registry.cli import register_contracts
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.init import build_project
from weir.monitoring.health import Health
from weir.schemas.project import ServedStreams, find_streams
from weir.schemas.stream import Stream
from weir.schemas.streams.clicks import clicks
from weir.streaming.cli import run_processor
from weir.streaming.health.checks import start_watch

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(900)]
COMPILED_SECONDS = 600.0
CLICK = build_event(clicks) | {"click_id": "same-1"}
ORDER = TRANSACTION | {"transaction_id": "same-1"}


def make_project(folder: Path, name: str) -> ServedStreams:
    """Make a project of two streams: orders, declared as payments are, and clicks."""
    (folder / "streams").mkdir(parents=True)
    (folder / "weir.toml").write_text(f'name = "{name}"\n')
    for like in ("payments", "clicks"):
        for path, text in build_project(name, like).items():
            if path.startswith("streams/"):
                (folder / path).write_text(re.sub('name="transactions"', 'name="orders"', text))
    served = find_streams(folder)
    assert [stream.name for stream in served.streams] == ["clicks", "orders"]
    return served


@contextmanager
def serving(settings: Settings, served: ServedStreams) -> Iterator[Client]:
    """Serve with topics that are made and schemas that are registered."""
    ensure_topics(settings, served.streams)
    with closing(Registry(settings.registry)) as registry:
        register_contracts(registry, settings.topics, served.streams)
    each, health = [settings.of_stream(stream) for stream in served.streams], Health()
    with closing(start_watch(each[0], others=each[1:], stages=STAGES, health=health)):
        parts = build_parts(settings, served, health)
        yield Client(build_api(parts))
        parts.close()


def give_model(settings: Settings, stream: Stream) -> None:
    models = settings.of_stream(stream).models_dir
    bundle = write_bundle(
        models / "tiny-1", names=stream.feature_names, declarations_hash=stream.declarations_hash, version="of-orders"
    )
    link_to(bundle, models / "champion")


@pytest.fixture
def settings(stack: Settings, tmp_path: Path) -> Settings:
    return settings_for(stack, "served", partitions=1).model_copy(update={"home": tmp_path / "home"})


@pytest.mark.verify  # it compiles kernels of its own
def test_each_stream_of_a_project_is_served_and_no_other_projects(settings: Settings, tmp_path: Path) -> None:
    name = f"shop-{uuid4().hex[:6]}"
    ours, theirs = (make_project(tmp_path / one, one) for one in (name, f"{name}-b"))
    with serving(settings, ours) as api, serving(settings, theirs) as other:
        _score_without_a_model(api)
        give_model(settings, ours.streams[1])
        await_true(lambda: api.post("/v1/streams/orders/score", json=ORDER).status_code == 200, "the model", 30)
        assert api.get("/readyz").json()["checks"]["model"] == "ok"
        _decide_one_id_in_both(settings, ours, api)
        for stream in ("clicks", "orders"):
            assert other.get(f"/v1/streams/{stream}/decisions/same-1").status_code == 404
        assert _look_up_customer(other)["known"] is False


def _score_without_a_model(api: Client) -> None:
    """Orders, which have labels, need a model; clicks are decided by rules, and know nothing of it."""
    began = time.monotonic()
    assert api.post("/v1/streams/clicks/score", json=CLICK).json()["decided_by"] == "rules"
    assert time.monotonic() - began < COMPILED_SECONDS
    assert _look_up_customer(api)["known"] is False
    refused = api.post("/v1/streams/orders/score", json=ORDER)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "refused")
    assert "manifest.json" in refused.json()["error"]["message"]
    assert api.get("/v1/streams/orders/features/card/c").status_code == 200
    await_true(lambda: api.get("/readyz").status_code == 200, "a look at everything", 30)
    assert api.get("/readyz").json()["checks"]["model"].startswith("orders: model bundle")
    wrong = api.post("/v1/streams/click/score", json=CLICK)
    assert (wrong.status_code, wrong.json()["error"]["message"].endswith("did you mean 'clicks'?")) == (404, True)
    assert api.post("/v1/score", json=CLICK).json()["error"]["code"] == "no_default_stream"


def _decide_one_id_in_both(settings: Settings, ours: ServedStreams, api: Client) -> None:
    """One id is an event of each stream; each decision is found under its own stream's name."""
    for stream, event in (("clicks", CLICK), ("orders", ORDER)):
        published = api.post(f"/v1/streams/{stream}/score?publish=true", json=event).json()["published"]
        assert published["topic"].endswith(f".{stream}")
    with ExitStack() as loops:
        for each in ours.streams:
            own = settings.of_stream(each)
            loops.enter_context(running(run_processor, own, instance=0))
            loops.enter_context(running(run_scorer, own, instance=0, with_index=True))
        paths = [f"/v1/streams/{stream}/decisions/same-1" for stream in ("clicks", "orders")]
        await_true(lambda: all(api.get(path).status_code == 200 for path in paths), "both decisions", 120)
        click, order = (api.get(path).json() for path in paths)
    assert (click["click_id"], order["transaction_id"]) == ("same-1", "same-1")
    assert (click["decided_by"], order["model_version"]) == ("rules", "of-orders")
    assert _look_up_customer(api)["features"]["customer_event_count_1h"] == 1.0


def _look_up_customer(api: Client) -> dict[str, Any]:
    answer = api.get(f"/v1/streams/clicks/features/customer/{CLICK['customer_id']}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_stream_whose_topics_are_missing_leaves_the_others_to_be_served(settings: Settings, tmp_path: Path) -> None:
    served = make_project(tmp_path / "shop", f"shop-{uuid4().hex[:6]}")
    some = replace(served, streams=served.streams[1:])
    give_model(settings, served.streams[1])
    ensure_topics(settings, some.streams)
    each, health = [settings.of_stream(stream) for stream in served.streams], Health()
    with closing(start_watch(each[0], others=each[1:], stages=STAGES, registry=False, health=health)):
        parts = build_parts(settings, served, health)
        api = Client(build_api(parts))
        missing = api.get("/v1/streams/clicks/features/customer/c")
        assert (missing.status_code, missing.json()["error"]["code"]) == (503, "refused")
        assert "clicks, found none" in missing.json()["error"]["message"]
        assert api.post("/v1/streams/orders/score", json=ORDER).status_code == 200
        await_true(lambda: "clicks" in api.get("/readyz").json()["checks"]["kafka"], "a look at the topics", 30)
        assert api.get("/readyz").json()["checks"]["kafka"].startswith("expected topic")
        parts.close()
