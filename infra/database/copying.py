"""One moment of the database as a SQLite file, whichever database it is of, and back into an empty one of either kind.

Out of SQLite by ``VACUUM INTO``, which reads one snapshot while others write, and leaves the bytes of deleted rows
behind, which the online backup would copy. Out of PostgreSQL by one read-only ``REPEATABLE READ`` transaction. The
file has the revision of the database and no other tables than ours.

Back in numbered steps, all in one transaction:

1. The database has no row of ours; its empty tables are dropped.
2. The tables of the copy's revision are made, and filled.
3. The migrations since then are run.
4. What belongs to the copy is put in its place by who asked, and the transaction is committed.

**Cost:** every row is read once and written once; memory of a thousand rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from weir.infra.database.engine import changing, check_known, describe, find_revision, migrate, translated
from weir.schemas.errors import Damaged, Refused, Transient

_ROWS_AT_ONCE = 1_000
"""Few enough that PostgreSQL answers a part within its time for one statement."""
_VERSIONS = "alembic_version"
Counts = dict[str, int]


def copy_out(engine: Engine, path: Path) -> tuple[str, Counts]:
    """Write one moment of a database to a new SQLite file; return its revision and the rows of each table.

    Raises:
        Refused: it has no tables, or those of a newer version.
        Transient: it is unreachable.
    """
    if engine.dialect.name == "sqlite":
        _copy_file(engine, path)
    else:
        _copy_rows(engine, path)
    return inspect_copy(path)


def inspect_copy(path: Path) -> tuple[str, Counts]:
    """Return revision and rows of each table of a copy, after a look at each of its pages.

    Raises:
        Damaged: it is no such file, or not whole.
        Refused: it is of a newer version.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            faults = file.execute("PRAGMA integrity_check(1)").fetchone()[0]
            revision = _read_revision(file) or ""
            check_known(revision, path.name)
            counts = {
                name: file.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608 # nosec B608 - ours
                for name in table_names(revision)
            }
    except (sqlite3.Error, TypeError) as error:
        raise Damaged(f"expected a copy of the database in {path.name}, found something else: {error}") from None
    if faults != "ok":
        raise Damaged(f"expected a whole copy of the database in {path.name}, found: {faults}")
    return revision, counts


@cache
def table_names(revision: str) -> tuple[str, ...]:
    """Return the names of our tables at a revision, those first that others refer to."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        migrate(connection, revision)
        found = tuple(table.name for table in _reflect(connection).sorted_tables)
    engine.dispose()
    return found


@contextmanager
def putting_back(engine: Engine, path: Path) -> Iterator[None]:
    """Fill an empty database from a copy; it is committed when the block ends, and left as it was where that raises.

    Raises:
        Refused: the database has rows already, or tables of a newer version; the copy is of a newer version.
        Transient: the database is unreachable, or said no.
    """
    revision, _ = inspect_copy(path)
    with changing(engine) as connection:
        _drop_empty(connection)
        migrate(connection, revision)
        _fill(connection, path, revision)
        migrate(connection)
        yield


def check_empty(engine: Engine) -> None:
    """Refuse a database that has a row of ours.

    Raises:
        Refused: it has, or a newer version has changed it.
        Transient: it is unreachable.
    """
    with translated(engine), engine.connect() as connection:
        _list_empty(connection)


def _list_empty(connection: Connection) -> tuple[str, ...]:
    """Return the names of our tables that are there and have no row."""
    where = f"database {describe(connection.engine)}"
    revision = find_revision(connection)
    check_known(revision, where)
    names = table_names(revision) if revision else ()
    there = inspect(connection).get_table_names()
    foreign = [name for name in table_names("head") if name in there and not revision]
    filled = [name for name in names if connection.execute(text(f"SELECT 1 FROM {name} LIMIT 1")).first()]  # noqa: S608 # nosec B608
    if foreign or filled:
        found = f"a table {foreign[0]} of something else" if foreign else f"rows in {filled[0]}"
        raise Refused(
            f"{where}: expected an empty one to put a backup back into, found {found}; set another WEIR_HOME or "
            "WEIR_DATABASE__URL, or move this one away"
        )
    return names


def _drop_empty(connection: Connection) -> None:
    names = _list_empty(connection)
    if names:
        _reflect(connection, names).drop_all(connection)
        connection.execute(text(f"DELETE FROM {_VERSIONS}"))  # noqa: S608 # nosec B608 - a constant


def _fill(connection: Connection, path: Path, revision: str) -> None:
    names = table_names(revision)
    tables = _reflect(connection, names).tables
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
        file.row_factory = sqlite3.Row
        for name in names:
            rows = file.execute(f"SELECT * FROM {name} ORDER BY rowid")  # noqa: S608 # nosec B608
            while part := rows.fetchmany(_ROWS_AT_ONCE):
                connection.execute(tables[name].insert(), [dict(row) for row in part])
            _advance(connection, tables[name])


def _advance(connection: Connection, table: Table) -> None:
    """Have numbers that PostgreSQL gives begin after those that were put back."""
    column = table.autoincrement_column
    if column is None or connection.dialect.name != "postgresql":
        return
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    highest = connection.execute(select(func.max(column))).scalar()
    if highest is not None and connection.execute(select(sequence)).scalar() is not None:
        connection.execute(select(func.setval(sequence, highest)))


def _copy_file(engine: Engine, path: Path) -> None:
    """Copy a SQLite file without its lock for writing, which one who writes all the time would keep from us."""
    try:
        with closing(sqlite3.connect(str(engine.url.database), timeout=10, isolation_level=None)) as connection:
            _refuse_unknown(engine, _read_revision(connection))
            connection.execute("VACUUM INTO ?", (str(path),))
    except sqlite3.Error as error:
        raise Transient(f"database {describe(engine)}: {error}") from error


def _read_revision(file: sqlite3.Connection) -> str | None:
    """Return the revision of a file's tables; nothing where it has none of ours."""
    if not file.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_VERSIONS,)).fetchone():
        return None
    found = file.execute(f"SELECT version_num FROM {_VERSIONS}").fetchone()  # noqa: S608 # nosec B608 - a constant
    return None if found is None else str(found[0])


def _refuse_unknown(engine: Engine, revision: str | None) -> str:
    where = f"database {describe(engine)}"
    if revision is None:
        raise Refused(f"{where}: expected the tables of weir, found none; is it the right one?")
    check_known(revision, where)
    return revision


def _copy_rows(engine: Engine, path: Path) -> None:
    """Copy PostgreSQL's rows; the first statement of the transaction fixes the moment."""
    snapshot = engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with translated(engine), snapshot as source:
        revision = _refuse_unknown(engine, find_revision(source))
        copy = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        with copy.begin() as target:
            migrate(target, revision)
            tables = _reflect(target, table_names(revision)).tables
            for table in _reflect(source, table_names(revision)).sorted_tables:
                for part in _each_part(source, table):
                    _insert(target, tables[table.name], part)


def _each_part(source: Connection, table: Table) -> Iterator[Sequence[Any]]:
    """Read in the order in which the rows lie: to sort them would take longer than a statement may."""
    reading = source.execution_options(stream_results=True, max_row_buffer=_ROWS_AT_ONCE)
    rows = reading.execute(select(table)).mappings()
    yield from rows.partitions(_ROWS_AT_ONCE)


def _insert(target: Connection, table: Table, rows: Sequence[Any]) -> None:
    try:
        target.execute(table.insert(), [dict(row) for row in rows])
    except SQLAlchemyError as error:  # of our own file: a full disk
        raise Transient(f"the copy of {table.name} cannot be written: {getattr(error, 'orig', error)}") from error


def _reflect(connection: Connection, names: Sequence[str] | None = None) -> MetaData:
    found = MetaData()
    found.reflect(connection, only=names or (lambda name, _: name != _VERSIONS))
    return found
