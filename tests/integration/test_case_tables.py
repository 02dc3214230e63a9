"""Tables of cases that a release before made, with data, in both databases: nothing is lost, and all of it works."""

from contextlib import closing
from importlib.resources import files
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from tests.integration.casework import BURST_MS, NOW_MS, STREAM, build_desk, review
from tests.integration.database import KINDS, create_settings
from weir.cases.case import Verdict
from weir.cases.intake import Intake
from weir.cases.outbox import Outbox
from weir.cases.queue import Wanted
from weir.infra.database.engine import connect, open_database

OF_0004: dict[str, list[dict[str, Any]]] = {
    "api_keys": [{"id": "0123abcd", "hash": b"x" * 32, "name": "till", "scopes": "score,review", "streams": "clicks",
                  "created_ms": 1, "created_by": "ops", "expires_ms": None, "revoked_ms": 9, "used_ms": 5,
                  "replaces": None, "rate_per_second": 2.5, "burst": 7, "revoked_by": "lead"}],
    "cases": [
        {"id": "aaaaaaaaaaaa", "stream": STREAM, "key": "c\\0\\\\", "state": "open", "holder": None,
         "opened_ms": NOW_MS, "newest_ms": NOW_MS, "expected_loss": 12.5, "events": 1,
         "verdict": None, "reason": None, "version": 0, "verdict_ms": None, "closed_ms": None},
        {"id": "bbbbbbbbbbbb", "stream": STREAM, "key": "c2", "state": "closed", "holder": "anna",
         "opened_ms": NOW_MS, "newest_ms": NOW_MS + 5, "expected_loss": 1.0, "events": 2, "verdict": "legitimate",
         "reason": "a receipt", "version": 2, "verdict_ms": NOW_MS + 9, "closed_ms": NOW_MS + 7},
    ],
    "case_events": [
        {"stream": STREAM, "key": key, "event_id": event_id, "case_id": case_id, "event_ms": NOW_MS,
         "decided_ms": NOW_MS, "expected_loss": 1.0, "decision": f'{{"transaction_id":"{event_id}"}}', "label": label}
        for key, event_id, case_id, label in (
            ("c\\0\\\\", "t1", "aaaaaaaaaaaa", None),
            ("c2", "t2", "bbbbbbbbbbbb", '{"transaction_id":"t2"}'),
            ("c2", "t3", "bbbbbbbbbbbb", None),
        )
    ],
    "case_acts": [
        {"case_id": case_id, "at_ms": NOW_MS + at, "by": by, "act": act, "text": text}
        for at, (case_id, by, act, text) in enumerate((
            ("aaaaaaaaaaaa", "weir", "opened", None), ("bbbbbbbbbbbb", "weir", "opened", None),
            ("bbbbbbbbbbbb", "anna", "claimed", None), ("bbbbbbbbbbbb", "anna", "note", "the shop is known"),
            ("bbbbbbbbbbbb", "anna", "fraud", "called"), ("bbbbbbbbbbbb", "anna", "legitimate", "a receipt"),
        ))
    ],
    "case_positions": [{"topic_id": "topic", "partition": 3, "next_offset": 42}],
    "label_outbox": [{"stream": STREAM, "key": "c2", "event_id": "t2", "version": 2, "label": '{"is_fraud":false}',
                      "made_ms": NOW_MS + 9, "sent_ms": None}],
}  # fmt: skip
"""What release 0004 of the tables may hold, as its columns have it: each table, in an order that keeps references."""
SINCE_0002 = {"api_keys": ("rate_per_second", "burst", "revoked_by")}
"""Columns that releases after 0002 added."""


def make_old(settings, revision, rows):
    """Make a database as a release before had it, by the migrations up to then, and fill it by its own columns."""
    engine = connect(settings)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(files("weir.infra.database") / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for table, values in rows.items():
            for row in values:
                columns = ", ".join(f'"{name}"' for name in row)
                named = ", ".join(f":{name}" for name in row)
                connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({named})"), row)
    engine.dispose()


def read_rows(settings, rows):
    """Return what tables hold in the columns that some rows have."""
    engine = open_database(settings)
    with engine.begin() as connection:
        found = {}
        for table, values in rows.items():
            names = list(values[0])
            columns = ", ".join(f'"{name}"' for name in names)
            read = connection.execute(text(f"SELECT {columns} FROM {table}")).mappings()
            found[table] = [{name: as_plain(row[name]) for name in names} for row in read]
    engine.dispose()
    return found


def as_plain(value):
    return bytes(value) if isinstance(value, memoryview) else value


def sort_rows(rows):
    return {table: sorted(values, key=repr) for table, values in rows.items()}


@pytest.fixture(params=KINDS)
def settings(request, tmp_path, server_url):
    return create_settings(request.param, tmp_path, server_url)


@pytest.mark.parametrize("revision", ["0002", "0004"])
def test_a_database_of_a_release_before_keeps_every_value_and_can_be_worked_on(settings, revision):
    added = SINCE_0002 if revision == "0002" else {}
    rows = {
        table: [{name: row[name] for name in row if name not in added.get(table, ())} for row in values]
        for table, values in OF_0004.items()
    }
    make_old(settings, revision, rows)
    assert sort_rows(read_rows(settings, rows)) == sort_rows(rows)
    engine = open_database(settings)
    assert Intake(engine, stream=STREAM, topic_id="topic", burst_ms=BURST_MS).position(3) == 42
    assert [waiting.event_id for waiting in Outbox(engine, stream=STREAM).read()] == ["t2"]
    engine.dispose()
    with closing(build_desk(settings, known=[review("t9", "c9")])) as desk:
        opened, closed = desk.page(Wanted()).cases
        assert (opened.key, closed.version) == ("c\0\\", 2)
        assert [case.id for case in desk.page(Wanted(event="t3")).cases] == [closed.id]
        desk.link(closed.id, "t9", "ben", "the same device")
        assert [link.event_id for link in desk.show(closed.id).links] == ["t9"]
        assert [act.act for act in desk.show(closed.id).acts] == [
            "opened", "claimed", "note", "fraud", "legitimate", "linked",
        ]  # fmt: skip
        corrected = desk.decide(closed.id, "ben", Verdict.FRAUD, "the receipt was forged")
        assert (corrected.version, corrected.verdict_ms) == (3, NOW_MS + 10)
