"""Keys in the database: made, listed, revoked, replaced. Every change is one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    select,
    text,
)

from weir.access.key import Key, Scope
from weir.infra.database.engine import translated
from weir.schemas.errors import Refused

TABLES = MetaData()
KEYS = Table(
    "api_keys",
    TABLES,
    Column("id", String(8), primary_key=True),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("name", String(80), nullable=False),
    Column("scopes", String(200), nullable=False),
    Column("streams", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("revoked_by", String(200)),
    Column("used_ms", BigInteger),
    Column("replaces", String(8)),
    Column("rate_per_second", Float),
    Column("burst", Integer),
)


class KeyStore:
    """The keys of a deployment."""

    def __init__(self, engine: Engine) -> None:
        """Bind to a database that is open."""
        self._engine = engine

    def list_keys(self) -> list[Key]:
        """Return every key, the oldest first, those that are revoked or expired too.

        Raises:
            Transient: the database is unreachable.
        """
        with translated(self._engine), self._engine.begin() as connection:
            return _read(connection)

    def add(self, key: Key) -> None:
        """Keep a new key.

        Raises:
            Transient: the database is unreachable.
        """
        with translated(self._engine), self._engine.begin() as connection:
            connection.execute(KEYS.insert().values(_as_row(key)))

    def revoke(self, key_id: str, *, now_ms: int, by: str) -> Key:
        """Have a key open nothing from now on, and return it.

        Args:
            key_id: of the key; one that is revoked stays as it is.
            now_ms: UTC epoch ms.
            by: who does it.

        Raises:
            Refused: no key has this id, or it is the last one that is valid with the scope ``admin``.
            Transient: the database is unreachable.
        """
        with translated(self._engine), self._engine.begin() as connection:
            _lock(connection)
            key = _find(connection, key_id)
            if key.revoked_ms is not None:
                return key
            _check_last_admin(connection, key, now_ms=now_ms)
            connection.execute(KEYS.update().where(KEYS.c.id == key_id).values(revoked_ms=now_ms, revoked_by=by))
        return replace(key, revoked_ms=now_ms, revoked_by=by)

    def rotate(
        self, key_id: str, successor_id: str, successor_hash: bytes, *, now_ms: int, ends_ms: int, by: str
    ) -> Key:
        """Add a key with the rights of another one, which ends at ``ends_ms`` or earlier, and return the new one.

        Raises:
            Refused: no key has this id, or it opens nothing any more.
            Transient: the database is unreachable.
        """
        with translated(self._engine), self._engine.begin() as connection:
            _lock(connection)
            key = _find(connection, key_id)
            if fault := key.find_fault(now_ms):
                raise Refused(f"expected a key that is valid, found one that is {fault}; create another")
            successor = replace(
                key,
                id=successor_id,
                hash=successor_hash,
                created_ms=now_ms,
                created_by=by,
                used_ms=None,
                replaces=key_id,
            )
            ends_ms = ends_ms if key.expires_ms is None else min(ends_ms, key.expires_ms)
            connection.execute(KEYS.insert().values(_as_row(successor)))
            connection.execute(KEYS.update().where(KEYS.c.id == key_id).values(expires_ms=ends_ms))
        return successor

    def note_used(self, used_ms: Mapping[str, int]) -> None:
        """Keep when keys were last used.

        Raises:
            Transient: the database is unreachable.
        """
        with translated(self._engine), self._engine.begin() as connection:
            for key_id, at in sorted(used_ms.items()):  # in one order, or two processes could wait for each other
                newer = KEYS.c.used_ms.is_(None) | (KEYS.c.used_ms < at)
                connection.execute(KEYS.update().where((KEYS.c.id == key_id) & newer).values(used_ms=at))

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()


def _lock(connection: Connection) -> None:
    """Have two that revoke wait for each other, or each could revoke the other's last key; SQLite does so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE"))


def _read(connection: Connection) -> list[Key]:
    rows = connection.execute(select(KEYS).order_by(KEYS.c.created_ms, KEYS.c.id)).mappings()
    return [_as_key(row) for row in rows]


def _find(connection: Connection, key_id: str) -> Key:
    found = connection.execute(select(KEYS).where(KEYS.c.id == key_id)).mappings().one_or_none()
    if found is None:
        raise Refused("expected the id of a key, found another text; `weir keys list` shows the ids")
    return _as_key(found)


def _check_last_admin(connection: Connection, key: Key, *, now_ms: int) -> None:
    def opens_all(one: Key) -> bool:
        return Scope.ADMIN in one.scopes and not one.streams and one.find_fault(now_ms) is None

    others = [one for one in _read(connection) if one.id != key.id]
    if opens_all(key) and not any(map(opens_all, others)):
        raise Refused(
            f"expected another valid key with the scope admin, found none but {key.id}; "
            "create one first with `weir keys create NAME --scopes admin`"
        )


def _as_row(key: Key) -> dict[str, Any]:
    return {**vars(key), "scopes": ",".join(sorted(key.scopes)), "streams": ",".join(sorted(key.streams))}


def _as_key(row: Any) -> Key:
    """Return a row's key; a scope that a newer version added opens nothing here."""
    known = {str(scope) for scope in Scope}
    scopes = frozenset(Scope(name) for name in row["scopes"].split(",") if name in known)
    streams = frozenset(name for name in row["streams"].split(",") if name)
    return Key(**{**row, "hash": bytes(row["hash"]), "scopes": scopes, "streams": streams})
