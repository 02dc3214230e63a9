"""Opens the database of the people who work with Weir: a SQLite file of the home folder, or PostgreSQL by URL.

Its tables are made and changed by Alembic's migrations (``infra/database/migrations``), each once, under a lock that
several processes starting at once wait for.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from weir.infra.settings import Settings
from weir.schemas.errors import Refused, Transient

BUSY_MS = 5_000
"""How long a writer waits for another one of the same file."""
_BUSY_PAUSE_S = 0.01
_POSTGRESQL = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5_000,
    "keepalives_idle": 5,
    "options": "-c statement_timeout=5000 -c lock_timeout=5000",
}
"""A server that takes a connection and answers nothing ends a look; it must not hold it."""
_LOCK = 7_305_802_112_671_449
"""Any number that no other program of the same database locks by."""


def open_database(settings: Settings) -> Engine:
    """Return the database with its tables as this version needs them.

    Raises:
        Refused: a URL of another kind, or a database that a newer version has changed.
        Transient: it is unreachable, or locked for too long.
    """
    engine = connect(settings)
    with ExitStack() as undo:
        undo.callback(engine.dispose)
        with changing(engine) as connection:
            migrate(connection)
        undo.pop_all()
    return engine


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """Yield a transaction in which tables may be changed: others that want to do so wait for it.

    Raises:
        Transient: the database is unreachable, or locked for too long; nothing was changed.
    """
    with translated(engine), engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection


def describe(engine: Engine) -> str:
    """Return where a database is, without a password."""
    return engine.url.set(query={}).render_as_string(hide_password=True)  # what follows `?` may be a password too


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn errors of the driver into ours.

    Raises:
        Transient: the database is unreachable or locked, or said no.
    """
    try:
        yield
    except SQLAlchemyError as error:
        first = (str(getattr(error, "orig", error)).strip().splitlines() or ["no reason given"])[0]
        raise Transient(f"database {describe(engine)}: {first}") from error


def find_file(settings: Settings) -> Path | None:
    """Return the file of a database that is one, whether or not it is there; nothing for a server.

    Raises:
        Refused: a URL of another kind.
    """
    url = _read_url(settings)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def connect(settings: Settings) -> Engine:
    """Return the database as it is: its tables are neither made nor changed.

    Raises:
        Refused: a URL of another kind.
    """
    url = _read_url(settings)
    if url.get_backend_name() == "postgresql":
        return create_engine(url, connect_args=_POSTGRESQL, pool_pre_ping=True)
    # opened each time: a file that was put back from a copy is another one under the same name
    engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1_000}, poolclass=NullPool)
    _prepare_file(engine, Path(url.database or ""))
    return engine


def _read_url(settings: Settings) -> URL:
    given = settings.database.url.get_secret_value()
    try:
        url = make_url(given or f"sqlite:///{settings.home.absolute() / 'weir.db'}")
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        url.get_dialect()  # of a driver that there is not
        is_server = url.drivername == "postgresql+psycopg"
        if not is_server and (url.get_backend_name() != "sqlite" or not Path(url.database or "").is_absolute()):
            raise ValueError
    except (SQLAlchemyError, ValueError, ImportError):
        # the URL may hold a password, and is not repeated
        expected = "sqlite:////path/of/a/file or postgresql://user:password@host/name"
        raise Refused(f"setting WEIR_DATABASE__URL: expected {expected}, found another URL") from None
    return url


def _prepare_file(engine: Engine, path: Path) -> None:
    """Make a file that its owner alone reads, whose writes survive a crash of the machine."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)

    @event.listens_for(engine, "connect")
    def _set(connection: Any, _: object) -> None:
        connection.isolation_level = None  # ours to begin, see below
        for pragma in (f"busy_timeout={BUSY_MS}", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        _use_wal(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # at once for writing: one that reads first and writes later could not wait for another writer
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Set write-ahead logging. A file that another connection switches is locked at once, without SQLite's own wait."""
    until = time.monotonic() + BUSY_MS / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_BUSY_PAUSE_S)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Make or change the tables within a transaction, up to a revision.

    Raises:
        Refused: a newer version has changed them.
    """
    check_known(find_revision(connection), f"database {describe(connection.engine)}")
    config = _build_config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def find_revision(connection: Connection) -> str | None:
    """Return the revision of a database's tables; nothing where there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def check_known(revision: str | None, where: str) -> None:
    """Refuse tables of a revision that this version does not know.

    Raises:
        Refused: they are of a newer one.
    """
    known = {script.revision for script in ScriptDirectory.from_config(_build_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise Refused(
            f"{where}: expected tables of this version or an older one, found those of a newer one; run that version, "
            "or restore a backup from before it"
        )


def _build_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
