"""Keys in both databases, and an API that asks for them."""

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from tests.integration.database import KINDS, create_settings
from weir.access.key import Scope, build_key, hash_text, make_text
from weir.access.keyring import Keyring
from weir.access.store import TABLES, KeyStore
from weir.cases.tables import TABLES as CASE_TABLES
from weir.infra.database.engine import open_database
from weir.infra.settings import load_settings
from weir.monitoring import metrics
from weir.schemas.errors import Refused, Transient

NOW_MS = 1_767_268_800_000
DAY_MS = 86_400_000


@pytest.fixture(params=KINDS)
def settings(request, tmp_path, server_url):
    return create_settings(request.param, tmp_path, server_url)


@pytest.fixture
def store(settings):
    with closing(KeyStore(open_database(settings))) as store:
        yield store


def build(name="checkout", scopes=(Scope.SCORE,), streams=(), **more):
    key_id, text = make_text()
    given: dict[str, Any] = {"now_ms": NOW_MS, "by": "ops"} | more
    return build_key(key_id, hash_text(text), name, scopes, streams, **given), text


def add(store, **given):
    key, _ = build(**given)
    store.add(key)
    return key


def test_a_key_is_read_as_it_was_kept(store):
    key = add(store, name="Kasse é", streams=["payments", "clicks"], expires_ms=NOW_MS + 1)
    assert store.list_keys() == [key]


def test_the_text_of_a_key_is_nowhere_in_the_database(tmp_path):
    with closing(KeyStore(open_database(load_settings({"WEIR_HOME": str(tmp_path)})))) as store:
        key, text = build()
        store.add(key)
        secret = text.rpartition("_")[2].encode()
        files = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
        assert any(key.hash in content for content in files)  # so it is these files that hold keys
        assert not any(secret in content or bytes.fromhex(secret.decode()) in content for content in files)


def test_nobody_else_of_the_machine_reads_the_file(tmp_path):
    open_database(load_settings({"WEIR_HOME": str(tmp_path / "home")})).dispose()
    assert (tmp_path / "home" / "weir.db").stat().st_mode & 0o077 == 0


def test_a_revoked_key_is_kept_and_opens_nothing(store):
    key = add(store)
    store.revoke(key.id, now_ms=NOW_MS + 5, by="me")
    assert store.list_keys() == [replace(key, revoked_ms=NOW_MS + 5, revoked_by="me")]
    assert store.revoke(key.id, now_ms=NOW_MS + 9, by="me").revoked_ms == NOW_MS + 5


@pytest.mark.parametrize(
    "other",
    [None, {"scopes": [Scope.READ]}, {"scopes": [Scope.ADMIN], "expires_ms": NOW_MS + 1}, {"streams": ["clicks"]}],
)
def test_the_last_key_that_opens_all_is_not_revoked(store, other):
    last = add(store, scopes=[Scope.ADMIN])
    if other is not None:
        add(store, **{"scopes": [Scope.ADMIN]} | other)
    with pytest.raises(Refused, match="another valid key"):
        store.revoke(last.id, now_ms=NOW_MS + 5, by="me")
    second = add(store, scopes=[Scope.ADMIN])
    store.revoke(last.id, now_ms=NOW_MS + 5, by="me")
    with pytest.raises(Refused, match="another valid key"):
        store.revoke(second.id, now_ms=NOW_MS + 5, by="me")


def test_two_who_revoke_at_once_leave_one_admin_key(settings, store):
    keys = [add(store, scopes=[Scope.ADMIN]) for _ in range(2)]
    told, begin = [], threading.Barrier(2)

    def revoke(key_id):
        with closing(KeyStore(open_database(settings))) as own:
            begin.wait()
            try:
                own.revoke(key_id, now_ms=NOW_MS + 5, by="me")
                told.append("revoked")
            except Refused:
                told.append("refused")

    _run_together([partial(revoke, key.id) for key in keys])
    assert sorted(told) == ["refused", "revoked"]


def test_a_rotated_key_has_a_successor_with_its_rights_and_ends(store):
    key = add(store, scopes=[Scope.READ, Scope.SCORE], streams=["clicks"])
    new_id, text = make_text()
    new = store.rotate(key.id, new_id, hash_text(text), now_ms=NOW_MS + 5, ends_ms=NOW_MS + DAY_MS, by="ops")
    old = replace(key, expires_ms=NOW_MS + DAY_MS)
    assert store.list_keys() == [old, new]
    assert (new.scopes, new.streams, new.replaces) == (key.scopes, key.streams, key.id)
    assert (old.find_fault(NOW_MS + DAY_MS - 1), old.find_fault(NOW_MS + DAY_MS)) == (None, "expired")


def test_a_key_that_opens_nothing_is_not_rotated(store):
    key = add(store)
    store.revoke(key.id, now_ms=NOW_MS, by="me")
    with pytest.raises(Refused, match="revoked"):
        store.rotate(key.id, "0" * 8, b"x", now_ms=NOW_MS + 5, ends_ms=NOW_MS + 6, by="ops")


def test_an_unknown_id_is_refused_without_repeating_it(store):
    with pytest.raises(Refused, match="weir keys list") as refused:
        store.revoke("weir_0123abcd_secret", now_ms=NOW_MS, by="me")
    assert "secret" not in str(refused.value)


def test_the_tables_are_those_that_the_code_knows(settings):
    engine = open_database(settings)
    with engine.connect() as connection:
        known: Any = [TABLES, CASE_TABLES]
        assert compare_metadata(MigrationContext.configure(connection), known) == []
    engine.dispose()


def test_several_that_start_at_once_make_the_tables_once(settings):
    failed: list[Exception] = []

    def start():
        begin.wait()
        try:
            open_database(settings).dispose()
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            failed.append(error)

    begin = threading.Barrier(4)
    _run_together([start] * 4)
    assert failed == []


def test_a_file_that_another_writes_is_waited_for_before_its_log_is_switched(tmp_path):
    # SQLite's own wait is not used here: it would end in a deadlock of two that switch
    with closing(sqlite3.connect(tmp_path / "weir.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.1, other.execute, ["ROLLBACK"])
        release.start()
        try:
            open_database(load_settings({"WEIR_HOME": str(tmp_path)})).dispose()
        finally:
            release.join()


def test_a_database_of_a_newer_version_is_left_alone(settings):
    engine = open_database(settings)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Refused, match="newer"):
        open_database(settings)
    engine.dispose()


def test_a_server_that_is_away_is_said_without_its_password(tmp_path):
    url = "postgresql://weir:hunter2@127.0.0.1:1/weir"
    with pytest.raises(Transient) as away:
        open_database(load_settings({"WEIR_HOME": str(tmp_path), "WEIR_DATABASE__URL": url}))
    assert "hunter2" not in str(away.value)
    assert "127.0.0.1" in str(away.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://a:hunter2@b/c",
        "hunter2",
        "postgresql+nothing://hunter2@b/c",
        "postgresql+asyncpg://a:hunter2@b/c",
        "postgresql://a:hunter2@b:notaport/c",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///relative-hunter2.db",
    ],
)
def test_another_url_is_refused_without_repeating_it(tmp_path, url):
    with pytest.raises(Refused, match="WEIR_DATABASE__URL") as refused:
        open_database(load_settings({"WEIR_HOME": str(tmp_path), "WEIR_DATABASE__URL": url}))
    assert "hunter2" not in str(refused.value)


def test_a_keyring_follows_what_is_made_and_revoked(store):
    now_ms = NOW_MS
    key, text = build()
    with closing(Keyring(store, lambda: now_ms, look_seconds=0.01)) as ring:
        assert ring.is_empty
        assert ring.find(text) is None
        store.add(key)
        _await(lambda: ring.find(text) is not None)
        assert ring.find(text[:-1] + ("0" if text[-1] != "0" else "1")) is None
        store.revoke(key.id, now_ms=NOW_MS, by="me")
        _await(lambda: ring.find(text) is None)
    assert store.list_keys()[0].used_ms == NOW_MS


def test_a_keyring_keeps_what_it_knows_while_the_database_is_away(tmp_path):
    settings = load_settings({"WEIR_HOME": str(tmp_path)})
    store = KeyStore(open_database(settings))
    key, text = build()
    store.add(key)
    with closing(Keyring(store, lambda: NOW_MS, look_seconds=0.01)) as ring:
        with sqlite3.connect(tmp_path / "weir.db") as other:
            other.execute("ALTER TABLE api_keys RENAME TO elsewhere")
        other.close()
        _await(lambda: _is_up() == 0)
        assert ring.find(text) == key


def test_a_keyring_outlives_whatever_goes_wrong_and_sees_the_next_revocation(store, monkeypatch):
    key, text = build()
    store.add(key)
    read = store.list_keys
    with closing(Keyring(store, lambda: NOW_MS, look_seconds=0.01)) as ring:
        monkeypatch.setattr(store, "list_keys", _fail)
        _await(lambda: _is_up() == 0)
        store.revoke(key.id, now_ms=NOW_MS, by="me")
        monkeypatch.setattr(store, "list_keys", read)
        _await(lambda: ring.find(text) is None)


def test_a_database_that_takes_no_writes_still_says_what_is_revoked(store, monkeypatch):
    monkeypatch.setattr("weir.access.keyring.NOTE_SECONDS", 0.0)
    monkeypatch.setattr(store, "note_used", _fail)
    key, text = build()
    store.add(key)
    with closing(Keyring(store, lambda: NOW_MS, look_seconds=0.01)) as ring:
        assert ring.find(text) == key
        store.revoke(key.id, now_ms=NOW_MS, by="me")
        _await(lambda: ring.find(text) is None)


def test_a_file_that_was_put_back_from_a_copy_is_the_one_that_counts(tmp_path):
    settings = load_settings({"WEIR_HOME": str(tmp_path)})
    store = KeyStore(open_database(settings))
    key, text = build()
    store.add(key)
    with closing(Keyring(store, lambda: NOW_MS, look_seconds=0.01)) as ring:
        copy = tmp_path / "copy.db"
        with closing(sqlite3.connect(tmp_path / "weir.db")) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        copy.rename(tmp_path / "weir.db")
        with closing(KeyStore(open_database(settings))) as other:
            other.revoke(key.id, now_ms=NOW_MS, by="me")
        _await(lambda: ring.find(text) is None)


def test_a_scope_of_a_newer_version_opens_nothing_and_ends_nothing(settings, store):
    key = add(store, scopes=[Scope.READ])
    engine = open_database(settings)
    with engine.begin() as connection:
        connection.execute(text("UPDATE api_keys SET scopes = 'cases,read'"))
    engine.dispose()
    assert store.list_keys() == [key]


def _fail(*_):
    raise LookupError("what nobody thought of")


def _is_up():
    return metrics.DEPENDENCY_UP.labels(dependency="database")._value.get()


def _run_together(functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _await(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
