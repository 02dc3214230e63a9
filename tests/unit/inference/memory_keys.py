"""Keys in memory, by their texts."""

from __future__ import annotations

from dataclasses import replace

from weir.access.key import Key, Scope
from weir.schemas.errors import Refused


class MemoryKeys:
    """The keys of a test, by their texts."""

    def __init__(self, keys: dict[str, Key]) -> None:
        self._keys = keys

    def list_keys(self) -> list[Key]:
        return list(self._keys.values())

    def revoke(self, key_id: str, *, now_ms: int, by: str) -> Key:
        ((text, key),) = [pair for pair in self._keys.items() if pair[1].id == key_id]
        admins = [one for one in self._keys.values() if Scope.ADMIN in one.scopes and one.revoked_ms is None]
        if admins == [key]:
            raise Refused(f"expected another valid key with the scope admin, found none but {key_id}")
        self._keys[text] = replace(key, revoked_ms=now_ms, revoked_by=by)
        return self._keys[text]
