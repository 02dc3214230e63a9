"""The archive in an object store, by a server that speaks S3: the same promises, by the same oracle."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.conftest import create_deployment, settings_for
from tests.integration.archive_oracle import find_differences
from tests.integration.test_archive import publish_everything
from weir.archive.erasing import erase, find_holding
from weir.archive.forgetting import forget
from weir.archive.holding import Wanted
from weir.archive.joining import find_days, join_day, sweep, utc_now
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.reader import open_reader
from weir.archive.run import Task, find_root, list_followed, run_archiver
from weir.archive.seals.chain import Chain
from weir.archive.seals.findings import CHANGED
from weir.archive.seals.key import key_path, load_key
from weir.archive.seals.prove import prove
from weir.archive.seals.verify import verify
from weir.archive.table import find_table, no_step
from weir.archive.verify_proof import chained, judge
from weir.infra.settings import Settings
from weir.schemas.printable import to_json
from weir.schemas.streams.payments import payments

pytestmark = [pytest.mark.server, pytest.mark.verify]
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
    run_archiver(settings, Task([payments], root, until_caught_up=True), should_stop=lambda: False)


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


def test_rows_are_sealed_proved_erased_and_forgotten_there_as_here(archiving: Settings) -> None:
    root, key = find_root(archiving), load_key(key_path(archiving.home))
    publish_everything(archiving, 0, 100)
    archive(archiving, root)
    names = [each.topic for each in list_followed(archiving, [payments])]
    tables = {name: table for name in names if (table := find_table(root.below(name))) is not None}
    chain, events = Chain(root), archiving.topics.transactions
    assert verify(chain, tables, Objects(root)).findings == []
    assert chain.read_files()
    (row,) = open_reader(root, events).find("t50")
    proof = json.loads(to_json(prove(chain, tables, "t50", [row | {"table": events}])))
    judged = [judge(each, b"t50".hex(), chained(proof["seals"], proof["head"]["hash"])) for each in proof["rows"]]
    assert judged == ["as it was sealed"]
    wanted = Wanted("card-3", "card_id", is_key=True)
    for table in tables.values():
        erase(find_holding(table, wanted), wanted, chain=chain, key=key, at_ms=1, why="asked for", on_step=no_step)
    found = verify(chain, tables, Objects(root))
    assert (found.findings, found.tables[events].erased > 0) == ([], True)
    rows, later = found.tables[events].rows, utc_now() + timedelta(days=40)
    assert list(forget(tables[events], keep_days=30, chain=chain, key=key, now=later, on_step=no_step))
    found = verify(chain, tables, Objects(root))
    assert (found.findings, found.tables[events].rows, found.tables[events].forgotten) == ([], 0, rows)
    kept = next(iter(chain.read_files()))
    Objects(root).replace(kept, b"other bytes")
    assert [(each.where, each.kind) for each in verify(chain, tables, Objects(root)).findings] == [(kept, CHANGED)]


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
    task = Task([payments], root, until_caught_up=True)
    run_archiver(briefly, task, should_stop=lambda: False, on_step=archive_too)
    assert others == [1]
    topics = [each.topic for each in list_followed(archiving, [payments])]
    servers = archiving.kafka.bootstrap_servers
    assert find_differences(root.uri, servers, topics, **store) == []
