"""An API key: what its text looks like, what is kept of it, and whether it opens a door just now.

The text is ``weir_``, eight hexadecimal digits that name the key, ``_`` and 64 of secret: a fixed prefix and length, so
that scanners of repositories and logs find a key that leaked. A hash of the text is kept and nothing else. SHA-256 is
right here, where it would be wrong for a password: the secret has 256 random bits, so there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from weir.schemas.checks.expression_types import nearest
from weir.schemas.errors import Refused

PREFIX = "weir_"
ID_BYTES, SECRET_BYTES = 4, 32
NAME_CHARACTERS_MAX = 80
RATE_MIN, RATE_MAX, BURST_MAX = 0.001, 100_000.0, 100_000
"""Requests a second, and at once: from one in a quarter of an hour to more than a process answers."""
_TEXT = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * ID_BYTES}}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")


class Scope(StrEnum):
    """What a key may do. Each opens its own doors; ``admin`` opens all."""

    SCORE = "score"
    """Score, publish and have decided."""
    READ = "read"
    """Look up features, decisions, models and metrics."""
    REVIEW = "review"
    """Work on cases and give verdicts."""
    RULES = "rules"
    """Change rules, lists and thresholds."""
    ADMIN = "admin"
    """All of these, and keys."""


@dataclass(frozen=True)
class Key:
    """What is kept of a key. Times are milliseconds since 1970.

    Attributes:
        id: names the key in its text, in logs and on the command line; no secret.
        hash: of the text.
        streams: it is bound to; empty for all.
        expires_ms: it opens nothing from then on; ``None`` for never.
        revoked_ms: when it was revoked; ``None`` while it was not.
        revoked_by: who did that; ``None`` where a version of before kept no name.
        used_ms: about when it was last used; ``None`` for never.
        replaces: id of the key that it was rotated from.
        rate_per_second: how many requests it may send on average; ``None`` for the deployment's setting.
        burst: how many at once, after a pause; given with the rate.
    """

    id: str
    hash: bytes
    name: str
    scopes: frozenset[Scope]
    streams: frozenset[str]
    created_ms: int
    created_by: str
    expires_ms: int | None = None
    revoked_ms: int | None = None
    revoked_by: str | None = None
    used_ms: int | None = None
    replaces: str | None = None
    rate_per_second: float | None = None
    burst: int | None = None

    def find_fault(self, now_ms: int) -> str | None:
        """Return ``revoked`` or ``expired``, or nothing for a key that is valid."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and self.expires_ms <= now_ms else None

    def may(self, scope: Scope) -> bool:
        """Whether it has a scope.

        >>> build_key("ab12", b"", "till", [Scope.SCORE], [], now_ms=0, by="me").may(Scope.READ)
        False
        """
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def reaches(self, stream: str) -> bool:
        """Whether it is bound to a stream, or to none."""
        return not self.streams or stream in self.streams


def make_text() -> tuple[str, str]:
    """Return the id and the text of a new key."""
    key_id = secrets.token_hex(ID_BYTES)
    return key_id, f"{PREFIX}{key_id}_{secrets.token_hex(SECRET_BYTES)}"


def read_id(text: str) -> str | None:
    """Return the id in a key's text, or nothing for text that is no key.

    >>> read_id("weir_0123abcd_" + 64 * "0"), read_id("Bearer me")
    ('0123abcd', None)
    """
    found = _TEXT.fullmatch(text)
    return found[1] if found else None


def hash_text(text: str) -> bytes:
    """Return what is kept of a key's text."""
    return hashlib.sha256(text.encode()).digest()


def build_key(
    key_id: str,
    text_hash: bytes,
    name: str,
    scopes: Iterable[Scope],
    streams: Iterable[str],
    *,
    now_ms: int,
    by: str,
    expires_ms: int | None = None,
) -> Key:
    """Return a new key, without a rate of its own.

    Raises:
        Refused: no name or an overlong one, no scope, or a time of expiry that has passed.
    """
    if not 0 < len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
        raise Refused(f"expected a name of 1 to {NAME_CHARACTERS_MAX} printable characters, such as who uses the key")
    found = frozenset(scopes)
    if not found:
        raise Refused(f"expected at least one scope of {', '.join(Scope)}, found none")
    if expires_ms is not None and expires_ms <= now_ms:
        raise Refused("expected a time of expiry to come, found one that has passed")
    return Key(key_id, text_hash, name, found, frozenset(streams), now_ms, by, expires_ms)


def check_rate(rate_per_second: float | None, burst: int | None) -> tuple[float | None, int | None]:
    """Return a rate with its burst, which is a second's requests where it is not given.

    Raises:
        Refused: a burst without a rate, or one of them out of range.

    >>> check_rate(0.5, None), check_rate(100, None), check_rate(None, None)
    ((0.5, 1), (100, 100), (None, None))
    """
    if rate_per_second is None:
        if burst is not None:
            raise Refused("expected a rate with the burst, found none; give both")
        return None, None
    if not RATE_MIN <= rate_per_second <= RATE_MAX:
        raise Refused(f"expected a rate of {RATE_MIN:g} to {RATE_MAX:g} requests a second, found another")
    burst = burst if burst is not None else max(math.ceil(rate_per_second), 1)
    if not 1 <= burst <= BURST_MAX:
        raise Refused(f"expected a burst of 1 to {BURST_MAX} requests, found another")
    return rate_per_second, burst


def parse_scopes(text: str) -> frozenset[Scope]:
    """Return the scopes of a list with commas.

    Raises:
        Refused: one is unknown.

    >>> sorted(parse_scopes("score,read"))
    [<Scope.READ: 'read'>, <Scope.SCORE: 'score'>]
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    known = [str(scope) for scope in Scope]
    for name in names:
        if name not in known:
            raise Refused(f"expected scopes of {', '.join(known)}; found another{nearest(name[:32], known)}")
    return frozenset(map(Scope, names))
