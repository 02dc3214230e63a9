"""Answers that are given again: by an idempotency key, in Redis, each bounded in bytes and all of an owner together.

An entry is *pending* while its request is answered, and then holds the answer. What an owner has lies under one hash
tag, so a script sees its entry and its sum, on one server as in a cluster::

    weir:<space>:answer:1:{<owner>}:<name>    ?<fingerprint><token> or =<fingerprint><answer>; expires
    weir:<space>:answers:1:{<owner>}          bytes that were kept in this window; expires with it

A name is a hash: neither ids nor keys of clients are in it. The fingerprint is one of the request.

Delivery: an entry is written by the request that made it pending, and by no other, however late it comes. A process
that dies leaves a pending entry, which expires; who asks then is answered by the application again.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from weir.infra.redis.client import Client, on_server, server_of, transient_errors

FINGERPRINT_BYTES = 32
ANSWER_BYTES_MAX = 65_536
"""Ten times the largest answer to an event; a larger one is not kept."""
KEPT_SECONDS = 86_400
PENDING_SECONDS = 120
"""Twice the longest wait for a decision that a setting allows."""
_BEGIN = """
local found = redis.call('GET', KEYS[1])
if found then return found end
if tonumber(redis.call('GET', KEYS[2]) or 0) > tonumber(ARGV[3]) then return redis.call('TTL', KEYS[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return false
"""
_FINISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('INCRBY', KEYS[2], #ARGV[2])
if redis.call('TTL', KEYS[2]) < 0 then redis.call('EXPIRE', KEYS[2], ARGV[3]) end
return 1
"""
State = Literal["begun", "pending", "other", "answered", "full"]


@dataclass(frozen=True)
class Found:
    """How a name stands.

    Attributes:
        state: ``begun`` by this call; ``pending`` by another; ``other`` request under the name; ``answered``; or
            ``full``: the owner has kept as much as it may.
        answer: that was kept.
        wait_seconds: until the owner may keep more.
    """

    state: State
    answer: bytes = b""
    wait_seconds: int = 0


@dataclass(frozen=True)
class Request:
    """One request under a name.

    Attributes:
        owner: whose names these are.
        name: that the client gave.
        fingerprint: of what is asked; ``FINGERPRINT_BYTES`` long.
        token: of this attempt alone.
    """

    owner: str
    name: str
    fingerprint: bytes
    token: bytes


class KeptAnswers:
    """Keeps answers."""

    def __init__(self, client: Client, *, space: str, bytes_max: int) -> None:
        """Bind to a server.

        Args:
            client: from ``connect``.
            space: of the deployment; see ``Settings.cluster``.
            bytes_max: that an owner may keep in a window of ``KEPT_SECONDS``; what is under way may pass it by little.
        """
        self._client = client
        self._space = space
        self._bytes_max = bytes_max

    def begin(self, request: Request) -> Found:
        """Make a name pending, or say what is under it.

        Raises:
            Transient: Redis is unreachable, or refuses to write.
        """
        reply = self._run(_BEGIN, request, _pending(request), PENDING_SECONDS, self._bytes_max)
        if reply is None:
            return Found("begun")
        if isinstance(reply, int):
            return Found("full", wait_seconds=max(reply, 1))
        if reply[1 : 1 + FINGERPRINT_BYTES] != request.fingerprint:
            return Found("other")
        return Found("answered", reply[1 + FINGERPRINT_BYTES :]) if reply[:1] == b"=" else Found("pending")

    def finish(self, request: Request, answer: bytes | None) -> None:
        """Keep the answer to what this request began, or forget that it began: ``None``, or an answer too large.

        Raises:
            Transient: Redis is unreachable, or refuses to write.
        """
        fits = answer is not None and len(answer) <= ANSWER_BYTES_MAX
        kept = b"=" + request.fingerprint + answer if fits and answer is not None else b""
        self._run(_FINISH, request, _pending(request), kept, KEPT_SECONDS)

    def _run(self, script: str, request: Request, *arguments: Any) -> Any:
        entry, total = name_keys(self._space, request)
        with transient_errors("keeping an answer"), on_server(self._client, server_of(self._client, entry)) as server:
            return server.eval(script, 2, entry, total, *arguments)


def name_keys(space: str, request: Request) -> tuple[str, str]:
    """Return the keys of an answer and of what its owner keeps in all, which are on one node of a cluster.

    Braces with nothing between them would not keep them together, so what has no owner is that of ``-``.
    """
    owner = request.owner or "-"
    name = sha256(request.name.encode()).hexdigest()
    return f"weir:{space}:answer:1:{{{owner}}}:{name}", f"weir:{space}:answers:1:{{{owner}}}"


def _pending(request: Request) -> bytes:
    return b"?" + request.fingerprint + request.token
