"""What an error reply of Redis means, in words that name the true cause.

A server that is full, that cannot save or that does not let us in answers: to call it "away" sends its operator to the
network. The client's own text is kept only where we know no better words, and without the command that it quotes: a
key holds an id.
"""

from __future__ import annotations

from typing import Literal

import redis
from redis import exceptions

Cause = Literal["away", "full", "unsaved", "forbidden", "loading", "replica", "incomplete", "refused"]

_WORDS: dict[Cause, str] = {
    "full": (
        "full: maxmemory is reached and every write is refused; give it more with `redis-cli config set maxmemory "
        "<bytes>`, and set it in the server's file"
    ),
    "unsaved": (
        "refuses every write because it could not save to disk; free its disk, or see rdb_last_bgsave_status and "
        "aof_last_write_status in `redis-cli info persistence`"
    ),
    "forbidden": (
        "does not let us in, or refuses the command; check WEIR_REDIS__USERNAME, WEIR_REDIS__PASSWORD and its ACL"
    ),
    "loading": "loading its file after a start; it answers when that is done",
    "replica": "a replica that takes no writes; the address leads to a server that was demoted",
    "incomplete": "a cluster without a server for some keys; look at `redis-cli cluster info`",
}
_BY_CLASS: tuple[tuple[type[Exception], Cause], ...] = (
    (exceptions.OutOfMemoryError, "full"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.ReadOnlyError, "replica"),
    (exceptions.AuthenticationError, "forbidden"),
    (exceptions.NoPermissionError, "forbidden"),
    (exceptions.ClusterDownError, "incomplete"),
    (exceptions.MasterDownError, "incomplete"),
)
_BY_CODE: dict[str, Cause] = {
    "OOM": "full",
    "MISCONF": "unsaved",
    "NOREPLICAS": "unsaved",
    "NOAUTH": "forbidden",
    "NOPERM": "forbidden",
    "WRONGPASS": "forbidden",
    "LOADING": "loading",
    "READONLY": "replica",
    "CLUSTERDOWN": "incomplete",
    "MASTERDOWN": "incomplete",
}
_QUOTED = " of pipeline caused error: "
"""Before it the client quotes the command, and with it a key."""


def find_cause(error: BaseException) -> Cause:
    """Return what kind of trouble an error is.

    >>> find_cause(redis.ResponseError("MISCONF Redis is configured to save RDB snapshots"))
    'unsaved'
    >>> find_cause(redis.ConnectionError("Error 111 connecting to 127.0.0.1:6379."))
    'away'
    """
    by_class = next((cause for kind, cause in _BY_CLASS if isinstance(error, kind)), None)
    if by_class is not None:
        return by_class
    if isinstance(error, redis.ResponseError):
        return _BY_CODE.get(_reply(error).partition(" ")[0], "refused")
    return "away"


def explain(error: BaseException) -> str:
    """Return one line on an error, without what it quotes of our command.

    >>> explain(redis.ResponseError("Command # 1 (SET card:4111 x) of pipeline caused error: ERR no"))
    'ERR no'
    """
    return _WORDS.get(find_cause(error)) or _reply(error)


def _reply(error: BaseException) -> str:
    text = str(error)
    return text.rpartition(_QUOTED)[2] if _QUOTED in text else text
