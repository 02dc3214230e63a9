"""A moment of either database as a file, and back into either: no row, byte or number differs."""

import sqlite3
import threading
from contextlib import closing

import pytest
from sqlalchemy import text

from tests.integration.casework import STREAM, build_desk, review
from tests.integration.command_line import run_in_process
from tests.integration.database import KINDS, create_settings
from tests.integration.test_keys import build
from weir.access.store import KeyStore
from weir.cases.case import Verdict
from weir.cases.intake import Intake
from weir.cases.queue import Wanted
from weir.infra.database.copying import copy_out, putting_back
from weir.infra.database.engine import connect, migrate, open_database
from weir.infra.settings import load_settings
from weir.schemas.errors import Refused

TABLES = {
    "api_keys": "id",
    "cases": "id",
    "case_events": "stream, key, event_id",
    "case_acts": "id",
    "case_links": "case_id, key, event_id",
    "case_positions": "topic_id",
    "label_outbox": "event_id",
}
ODD_ID = "card \0\\0 Ünïcode 東京 'quoted'"
LOSS = 0.1 + 0.2  # not to be had from a text of fewer digits


@pytest.fixture(params=KINDS)
def settings(request, tmp_path, server_url):
    return create_settings(request.param, tmp_path / "there", server_url)


@pytest.fixture(params=KINDS)
def other(request, tmp_path, server_url):
    return create_settings(request.param, tmp_path / "here", server_url)


@pytest.fixture
def weir(monkeypatch, capsys):
    yield from run_in_process(monkeypatch, capsys)


def work(settings):
    """Have keys, a case that is closed with its label sent, one that is held, and one of an odd id."""
    with closing(KeyStore(open_database(settings))) as store:
        for name in ("checkout", "Kasse é"):
            store.add(build(name, streams=["payments"])[0])
    engine = open_database(settings)
    intake = Intake(engine, stream=STREAM, topic_id="topic", burst_ms=60_000)
    intake.take(
        [review("t1", "c1"), review("t2", "c2", loss=LOSS), review("t3", ODD_ID, label=False)], {0: 7, 1: 2**40}
    )
    engine.dispose()
    with closing(build_desk(settings, known=[review("t9", "c9")])) as desk:
        held, odd, closed = (desk.page(Wanted(key=key)).cases[0].id for key in ("c2", ODD_ID, "c1"))
        desk.claim(held, "anna")
        desk.note(odd, "ben", "no 'quotes' are lost; nor \u00fc")
        desk.claim(closed, "ben")
        desk.link(held, "t9", "anna", "the same device")
        desk.decide(closed, "ben", Verdict.FRAUD, "the customer called")


def read(engine):
    """Read every row of every table, by SQL alone."""
    with engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name} ORDER BY {order}"))]
            for name, order in TABLES.items()
        }


def test_every_row_is_put_back_as_it_was_into_a_database_of_either_kind(settings, other, tmp_path):
    work(settings)
    there, here = connect(settings), connect(other)
    revision, counts = copy_out(there, tmp_path / "copy")
    with putting_back(here, tmp_path / "copy"):
        pass
    found = read(there)
    assert {name: len(rows) for name, rows in found.items()} == counts
    assert sorted(map(bool, found.values())) == [True] * len(TABLES)
    assert read(here) == found
    with closing(build_desk(other)) as desk:  # numbers of acts continue after those that were put back
        odd = desk.page(Wanted(key=ODD_ID)).cases[0].id
        desk.note(odd, "anna", "one more")
        assert [act.text for act in desk.show(odd).acts][-1] == "one more"
    there.dispose()
    here.dispose()
    assert revision == "0005"


def test_a_copy_is_of_one_moment_while_others_write(settings, tmp_path):
    engine, done = open_database(settings), threading.Event()
    written: list[int] = []
    begun = threading.Event()

    def write():
        """Open a case for each event, one event a case: of no moment are there more of one than of the other."""
        intake = Intake(engine, stream=STREAM, topic_id="topic", burst_ms=60_000)
        while not done.is_set():
            number = len(written)
            reviews = [review(f"t{number}-{each}", f"c{number}-{each}") for each in range(5)]
            intake.take(reviews, {0: 5 * (number + 1)})
            written.append(number)
            begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(30)
        sizes: list[int] = []
        while len(sizes) < 8 or len(set(sizes)) < 4:
            path = tmp_path / f"copy-{len(sizes)}"
            before = len(written)
            _, counts = copy_out(engine, path)
            with closing(sqlite3.connect(path)) as file:
                (position,) = file.execute("SELECT next_offset FROM case_positions").fetchone()
            assert counts["cases"] == counts["case_events"] == position
            assert before * 5 <= position <= (len(written) + 1) * 5
            sizes.append(position)
    finally:
        done.set()
        writer.join()
        engine.dispose()


def test_an_older_revision_is_changed_to_this_ones(other, tmp_path):
    old, name = load_settings({"WEIR_HOME": str(tmp_path / "old")}), "made in 0003"
    engine = connect(old)
    with engine.begin() as connection:
        migrate(connection, "0003")
        columns = "id, hash, name, scopes, streams, created_ms, created_by, revoked_ms"
        values = f"'0123abcd', x'00ff', '{name}', 'read', '', 1, 'me', 5"
        connection.execute(text(f"INSERT INTO api_keys ({columns}) VALUES ({values})"))
    assert copy_out(engine, tmp_path / "copy")[0] == "0003"
    open_database(other).dispose()  # a process may have made the tables of today meanwhile
    with closing(KeyStore(connect(other))) as store:
        with putting_back(store._engine, tmp_path / "copy"):
            pass
        (key,) = store.list_keys()
    assert (key.name, key.hash, key.revoked_ms, key.revoked_by) == (name, b"\0\xff", 5, None)
    with engine.connect() as connection:  # and what was copied is as it was
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0003"
    engine.dispose()
    open_database(other).dispose()


def test_what_was_begun_and_failed_is_nothing(settings, other, tmp_path):
    work(settings)
    there, here = connect(settings), open_database(other)
    copy_out(there, tmp_path / "copy")
    with pytest.raises(OSError, match="no room"), putting_back(here, tmp_path / "copy"):
        raise OSError("no room")
    assert not any(read(here).values())
    there.dispose()
    here.dispose()


def test_rows_of_others_and_a_newer_database_are_left_alone(settings, other, tmp_path):
    work(settings)
    there, here = connect(settings), open_database(other)
    copy_out(there, tmp_path / "copy")
    with closing(KeyStore(here)) as store:
        store.add(build("another")[0])
        with pytest.raises(Refused, match="found rows in api_keys"), putting_back(here, tmp_path / "copy"):
            pass
        assert [key.name for key in store.list_keys()] == ["another"]
    with there.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Refused, match="those of a newer one"):
        copy_out(there, tmp_path / "newer")
    assert not (tmp_path / "newer").exists()
    there.dispose()
    here.dispose()


def test_the_commands_take_a_deployment_from_one_database_to_another(weir, settings, other, tmp_path):
    work(settings)
    path = str(tmp_path / "backup.tar.xz")
    for own, *command in ((settings, "backup", path, "--calls", "none"), (other, "restore", path, "--apply")):
        code, _, said = weir(own, *command, WEIR_DATABASE__URL=own.database.url.get_secret_value())
        assert code == 0, said
    there, here = connect(settings), connect(other)
    assert read(here) == read(there)
    here.dispose()
    there.dispose()
