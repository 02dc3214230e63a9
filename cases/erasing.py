"""Takes an id out of the database for good: the cases of a key, links to its events, and the id in texts of others.

One transaction does all of it. What was deleted is still in the database's files then, and ``compact`` writes these
again without it: a SQLite file with its log, or the tables of PostgreSQL.

Delivery: a run that was broken off is repeated, and finds what is left.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Engine, Table, and_, delete, or_, select, text, update

from weir.cases.tables import ACTS, CASES, EVENTS, LINKS, OUTBOX
from weir.infra.database.engine import describe, translated
from weir.schemas.errors import Transient
from weir.schemas.printable import escape

_WORD: Final = r"[0-9A-Za-z_\-]"
"""Of what ids are made as a rule: an id that such a letter follows or precedes is another one."""
_WORD_BYTES: Final = 8


def each_key(engine: Engine, stream: str) -> Iterator[str]:
    """Yield the keys of a stream's cases and of the events that these are linked to, each once.

    Raises:
        Transient: the database is unreachable.
    """
    linked = select(LINKS.c.key).join(CASES, CASES.c.id == LINKS.c.case_id).where(CASES.c.stream == stream)
    with translated(engine), engine.connect() as connection:
        yield from connection.execute(select(CASES.c.key).where(CASES.c.stream == stream).union(linked)).scalars()


def erase_in_cases(engine: Engine, stream: str, entity_id: str, *, is_key: bool, until_ms: int) -> tuple[int, int]:
    """Delete the cases of an id and links to its events, and put a word without a meaning in its place elsewhere.

    A label of such a case that waits to be sent is not sent any more. Of a link that goes, the history of its case
    keeps who made it and why, with such a word for the event.

    Args:
        engine: of the database.
        stream: full name of the one whose cases they are.
        entity_id: the id.
        is_key: whether it is one of the stream's key; only then are there cases of it.
        until_ms: cases that were opened later stay; UTC epoch milliseconds.

    Returns:
        How many cases and links are deleted, and how many other rows were changed.

    Raises:
        Transient: the database is unreachable; nothing was changed.
    """
    with translated(engine), engine.begin() as connection:
        deleted = 0
        if is_key:
            deleted = _delete_cases(connection, stream, entity_id, until_ms)
            deleted += _delete_links(connection, stream, entity_id, until_ms)
        return deleted, _replace_all(connection, stream, entity_id, until_ms)


def compact(engine: Engine) -> None:
    """Write the files of the database again, without the bytes of what was deleted.

    Raises:
        Transient: somebody reads or writes all the time; what was deleted is deleted, and its bytes are still there.
    """
    if engine.dialect.name == "sqlite":
        _compact_sqlite(engine)
        return
    with translated(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in (ACTS, EVENTS, LINKS, OUTBOX, CASES):
            connection.execute(text(f"VACUUM FULL {table.name}"))


def _compact_sqlite(engine: Engine) -> None:
    try:
        with closing(sqlite3.connect(str(engine.url.database), timeout=10, isolation_level=None)) as connection:
            connection.execute("VACUUM")  # into the log, and from there into the file
            is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise Transient(f"database {describe(engine)}: its file cannot be written again: {error}") from error
    if is_busy:
        raise Transient(f"database {describe(engine)}: its file is read all the time and keeps what was deleted")


def _delete_cases(connection: Connection, stream: str, key: str, until_ms: int) -> int:
    of_key = and_(CASES.c.stream == stream, CASES.c.key == key, CASES.c.opened_ms <= until_ms)
    ids = list(connection.execute(select(CASES.c.id).where(of_key)).scalars())
    for case_id in ids:
        events = select(EVENTS.c.event_id).where(EVENTS.c.case_id == case_id)
        waiting = and_(OUTBOX.c.stream == stream, OUTBOX.c.key == key, OUTBOX.c.event_id.in_(events))
        connection.execute(delete(OUTBOX).where(waiting))
        connection.execute(delete(EVENTS).where(EVENTS.c.case_id == case_id))
        connection.execute(delete(LINKS).where(LINKS.c.case_id == case_id))
        connection.execute(delete(ACTS).where(ACTS.c.case_id == case_id))
        connection.execute(delete(CASES).where(CASES.c.id == case_id))
    return len(ids)


def _delete_links(connection: Connection, stream: str, key: str, until_ms: int) -> int:
    """Delete the links of other cases to events of a key, those that were taken away too; return how many."""
    own = select(CASES.c.id).where(CASES.c.stream == stream)
    to_key = and_(LINKS.c.case_id.in_(own), LINKS.c.key == key, LINKS.c.at_ms <= until_ms)
    links = connection.execute(select(LINKS.c.case_id, LINKS.c.event_id).where(to_key)).all()
    for case_id, event_id in links:
        told = escape(event_id)  # as the history has it
        put = partial(_in_text, entity_id=told, word=_make_word())
        of_case = and_(ACTS.c.case_id == case_id, ACTS.c.at_ms <= until_ms)
        _replace_in(connection, ACTS, of_case, ("text",), put, told)
    connection.execute(delete(LINKS).where(to_key))
    return len(links)


def _make_word() -> str:
    return f"erased-{secrets.token_hex(_WORD_BYTES)}"


def _replace_all(connection: Connection, stream: str, entity_id: str, until_ms: int) -> int:
    word = _make_word()
    own = select(CASES.c.id).where(CASES.c.stream == stream)
    parts = (
        (CASES, and_(CASES.c.stream == stream, CASES.c.opened_ms <= until_ms), ("reason",), _in_text),
        (ACTS, and_(ACTS.c.case_id.in_(own), ACTS.c.at_ms <= until_ms), ("text",), _in_text),
        (LINKS, and_(LINKS.c.case_id.in_(own), LINKS.c.at_ms <= until_ms), ("reason",), _in_text),
        (LINKS, and_(LINKS.c.case_id.in_(own), LINKS.c.at_ms <= until_ms), ("decision",), _in_document),
        (EVENTS, and_(EVENTS.c.stream == stream, EVENTS.c.decided_ms <= until_ms), ("decision", "label"), _in_document),
        (OUTBOX, and_(OUTBOX.c.stream == stream, OUTBOX.c.made_ms <= until_ms), ("label",), _in_document),
    )
    return sum(
        _replace_in(connection, table, where, columns, lambda found, put=put: put(found, entity_id, word), entity_id)
        for table, where, columns, put in parts
    )


def _replace_in(
    connection: Connection, table: Table, where: Any, columns: tuple[str, ...], put: Any, entity_id: str
) -> int:
    """Replace the id in some text columns; return how many rows changed."""
    spelled = {entity_id.replace("\0", ""), orjson.dumps(entity_id)[1:-1].decode()}
    near = or_(*(table.c[name].contains(each, autoescape=True) for name in columns for each in spelled))
    changed = 0
    for row in connection.execute(select(table).where(and_(where, near))).mappings().all():
        new = {name: put(row[name]) for name in columns if row[name] is not None}
        if new != {name: row[name] for name in new}:
            same = and_(*(column == row[column.name] for column in table.primary_key.columns))
            connection.execute(update(table).where(same).values(new))
            changed += 1
    return changed


def _in_text(found: str, entity_id: str, word: str) -> str:
    """Replace an id in what a person wrote.

    >>> _in_text("like card-1, not card-12", "card-1", "erased")
    'like erased, not card-12'
    """
    return re.sub(f"(?<!{_WORD}){re.escape(entity_id)}(?!{_WORD})", word, found)


def _in_document(found: str, entity_id: str, word: str) -> str:
    """Replace an id where it is a whole value in JSON.

    >>> _in_document('{"device_id":"d1","n":1}', "d1", "erased")
    '{"device_id":"erased","n":1}'
    """
    document = orjson.loads(found)
    replaced = _replace(document, entity_id, word)
    return found if replaced == document else orjson.dumps(replaced).decode()


def _replace(value: Any, entity_id: str, word: str) -> Any:
    if isinstance(value, dict):
        return {name: _replace(each, entity_id, word) for name, each in value.items()}
    if isinstance(value, list):
        return [_replace(each, entity_id, word) for each in value]
    return word if value == entity_id else value
