"""Who is logged in: sessions in memory, each bound to an API key, idle and absolute bounds, and the token of its forms.

A session's id is 256 random bits and exists in the cookie and here alone. It is made at the login, so an id that
somebody planted in a browser before is never one. It ends by a logout, after a time without use, after a time in any
case, when its key is revoked or expires, and with the process: a new start asks everybody for a key.

The key's text is kept while the session lasts, because the API asks for it at each request. It is never written.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from weir.access.key import Key

SESSIONS_MAX = 10
"""Of one key; one more ends the key's own oldest, and nobody else's."""
_ID_BYTES = 32


@dataclass
class Session:
    """A login.

    Attributes:
        key_text: what the API is asked with.
        key: what the text opens, as it was last seen.
        began: seconds on a clock that only rises.
        used: likewise, when its user last did something.
    """

    id: str
    key_text: str
    key: Key
    began: float
    used: float


class Sessions:
    """The sessions of a process."""

    def __init__(
        self,
        find_key: Callable[[str], Key | None],
        *,
        idle_seconds: float,
        seconds_max: float,
        monotonic: Callable[[], float],
    ) -> None:
        """Begin without any.

        Args:
            find_key: returns the valid key with a text.
            idle_seconds: without use.
            seconds_max: from the login.
            monotonic: seconds on a clock that only rises.
        """
        self._find_key = find_key
        self._idle_seconds, self._seconds_max = idle_seconds, seconds_max
        self._monotonic = monotonic
        self._secret = secrets.token_bytes(_ID_BYTES)
        self._open: dict[str, Session] = {}

    def find_key(self, key_text: str) -> Key | None:
        """Return the valid key with a text, or nothing."""
        return self._find_key(key_text)

    def begin(self, key_text: str, key: Key) -> Session:
        """Return a new session for a key that may log in.

        Args:
            key_text: of the key.
            key: that ``find_key`` returned for it.
        """
        now = self._monotonic()
        for one in [one for one in self._open.values() if self._has_ended(one, now)]:
            self.end(one.id)
        own = [one.id for one in self._open.values() if one.key.id == key.id]  # the oldest first
        for session_id in own[: max(len(own) + 1 - SESSIONS_MAX, 0)]:
            self.end(session_id)
        session = Session(secrets.token_urlsafe(_ID_BYTES), key_text, key, began=now, used=now)
        self._open[session.id] = session
        return session

    def find(self, session_id: str, *, by_user: bool) -> Session | None:
        """Return a session that lasts, with its key as it is now.

        Args:
            session_id: from the cookie.
            by_user: whether its user did something; a page that refreshes itself keeps no session alive.
        """
        session = self._open.get(session_id)
        if session is None:
            return None
        now = self._monotonic()
        key = self._find_key(session.key_text)
        if key is None or self._has_ended(session, now):
            self.end(session_id)
            return None
        session.key = key
        if by_user:
            session.used = now
        return session

    def end(self, session_id: str) -> None:
        """Forget a session."""
        self._open.pop(session_id, None)

    def make_token(self, cookie: str) -> str:
        """Return what a form must hold that is sent with a cookie: another site can neither read nor make it."""
        return hmac.new(self._secret, cookie.encode(), "sha256").hexdigest()

    def check_token(self, cookie: str, token: str) -> bool:
        """Whether a form was made for a cookie."""
        return hmac.compare_digest(self.make_token(cookie).encode(), token.encode())

    def _has_ended(self, session: Session, now: float) -> bool:
        return now - session.used > self._idle_seconds or now - session.began > self._seconds_max
