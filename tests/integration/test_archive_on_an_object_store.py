"""The archive in an object store, by a server that speaks S3: the same promises, by the same oracle."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.conftest import create_deployment, settings_for
from tests.integration.archive_oracle import find_differences
from tests.integration.test_archive import publish_everything
from weir.archive.joining import find_days, join_day, sweep, utc_now
from weir.archive.place import Place
from weir.archive.reader import open_reader
from weir.archive.run import find_root, list_followed, run_archiver
from weir.archive.table import find_table, no_step
from weir.infra.settings import Settings
from weir.schemas.streams.payments import payments

pytestmark = [pytest.mark.server, pytest.mark.long]
SERVER = Path(__file__).parents[2] / "build" / "peers" / "bin" / "moto_server"
START_SECONDS = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A server with an empty bucket: the options that lead to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "store.log").open("wb") as log:
        server = subprocess.Popen([SERVER, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    try:
        _make_bucket(f"{url}/bucket")
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
        }
    finally:
        server.terminate()
        server.wait(10)


def _make_bucket(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=10).close()
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the store did not start"
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def archiving(stack: Settings, store: dict[str, str], request: pytest.FixtureRequest) -> Settings:
    settings = settings_for(stack, request.node.name)
    options = {"root": "s3://bucket/archive", "storage_options": SecretStr(json.dumps(store)), "commit_rows_max": 60}
    settings = settings.model_copy(update={"archive": settings.archive.model_copy(update=options)})
    create_deployment(settings)
    return settings


def archive(settings: Settings, root: Place) -> None:
    run_archiver(settings, [payments], root=root, should_stop=lambda: False, until_caught_up=True)


def test_every_record_has_one_row_also_after_joining_and_is_found(archiving: Settings, store: dict[str, str]) -> None:
    root = find_root(archiving)
    for first in (0, 100):
        publish_everything(archiving, first, 100)
        archive(archiving, root)
    topics = [each.topic for each in list_followed(archiving, [payments])]
    assert root.list_folders() == sorted(topics)
    table = find_table(root.below(archiving.topics.transactions))
    assert table is not None
    (day,) = find_days(table, utc_now(), open_too=True)
    assert join_day(table, day, no_step).is_done
    assert sweep(table) == 0
    servers = archiving.kafka.bootstrap_servers
    assert find_differences(root.uri, servers, topics, **store) == []
    (found,) = open_reader(root, archiving.topics.transactions).find("t150")
    assert found["amount_minor"] == 1_250
    assert open_reader(root, archiving.topics.transactions).history(b"card-3").num_rows > 1


def test_an_archiver_that_was_overtaken_begins_again_when_the_other_has_ended(
    archiving: Settings, store: dict[str, str]
) -> None:
    publish_everything(archiving, 0, 100)
    root = find_root(archiving)
    others = [0]

    def archive_too(step: str) -> None:
        if step == "archive_written" and not others[0]:
            others[0] += 1
            archive(archiving, root)

    briefly = archiving.model_copy(update={"archive": archiving.archive.model_copy(update={"commit_seconds": 0.1})})
    run_archiver(briefly, [payments], root=root, should_stop=lambda: False, until_caught_up=True, on_step=archive_too)
    assert others == [1]
    topics = [each.topic for each in list_followed(archiving, [payments])]
    servers = archiving.kafka.bootstrap_servers
    assert find_differences(root.uri, servers, topics, **store) == []
