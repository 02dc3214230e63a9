"""One HTTP connection: uvicorn's own, bounded in time and size, its errors in the shape of ours.

What is added to ``HttpToolsProtocol``:

- time: for the headers, for the body, for an idle connection, and for a client that does not read its answer;
- size: of request line and headers together;
- number: of connections, see ``inference/api/web/crowd.py``, and of requests, see ``inference/api/web/load.py``. One
  too many is refused here, where that costs a tenth of an answer: refused by the application it would cost half;
- an ``Upgrade`` header is ignored, as RFC 9110 allows. The parser takes what follows such a head for another protocol
  and would lose the body of every request of Java's ``HttpClient``, which offers HTTP/2 that way;
- bytes that are no HTTP get an error in the one shape, and no line at level warning: what a client does wrong is its
  own, and anybody can do it a thousand times a second.

Time is kept as one deadline a connection and looked at once a second: a timer for each step of each request would cost
more than the request's own reading.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from weir.inference.api.web.crowd import Crowd
from weir.inference.api.web.errors import PROBLEM, raw_answer
from weir.inference.api.web.load import ALWAYS_ANSWERED, Load
from weir.monitoring import metrics

_UPGRADES = frozenset({b"upgrade", b"http2-settings"})
_ALWAYS_ANSWERED = frozenset(path.encode() for path in ALWAYS_ANSWERED)
SLOW_BODY = "weir.slow_body"
"""Extension of a request's scope: ``allow`` gives its body more seconds than others have."""
_LINGER_SECONDS = 1.0
"""How long a closed connection may take to send its last bytes."""


@dataclass(frozen=True)
class Limits:
    """What a connection may take.

    Attributes:
        header_seconds: from the first byte of a request, or from connecting, to the end of its headers.
        body_seconds: from there to the end of its body.
        idle_seconds: between two requests.
        write_seconds: for which a client may leave an answer unread.
        header_bytes: of request line and headers.
    """

    header_seconds: float = 5.0
    body_seconds: float = 10.0
    idle_seconds: float = 30.0
    write_seconds: float = 10.0
    header_bytes: int = 32_768


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """Logs what a client did wrong where it can be looked up and disturbs nobody."""

    @property
    def level(self) -> int:
        """As the library asks it of a logger."""
        return self.logger.level

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        self.debug(msg, *args, **kwargs)


class Connection(HttpToolsProtocol):
    """Reads requests off one connection and writes their answers."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        crowd: Crowd,
        limits: Limits,
        load: Load,
        error_type: str = PROBLEM,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = _Quiet(self.logger, {})  # type: ignore[assignment]
        self.deadline = 0.0
        self._crowd = crowd
        self._limits = limits
        self._load = load
        self._error_type = error_type
        self._head_bytes = 0
        self._in_head = True
        self._closing = False
        self._is_shed = False  # the request that is being read, which is answered when it is whole
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection in, or refuse it."""
        super().connection_made(transport)
        self._wait_for_head()
        if not self._crowd.enter(self):
            self._refuse("crowded", 503, "busy", "expected fewer requests at a time", retry_after_seconds=1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave."""
        self._closing = True
        self._crowd.leave(self)
        self._load.leave(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the way back open for a client that has sent all it wants to and still listens."""
        waits_for_answer = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if waits_for_answer:
            self.cycle.keep_alive = False
        return waits_for_answer

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within bounds."""
        if self._closing:
            return
        if self._in_head:
            self._crowd.begin(self)
            self._head_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse("no_http", 400, "no_http", "expected a request of HTTP/1.1, found bytes that are none")
            return
        if self._in_head and self._head_bytes > self._limits.header_bytes:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Start the clock of a request's headers."""
        super().on_message_begin()
        self.scope["extensions"] = {SLOW_BODY: {"allow": self._allow_slow_body}}
        self._wait_for_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, but for those that ask for another protocol."""
        if name.lower() not in _UPGRADES:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, and the clock of its body."""
        self._in_head = False
        self.deadline = self.loop.time() + self._limits.body_seconds
        if self._upgrades():
            return
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self._limits.header_bytes:
            self._refuse_head()
        elif not self._closing:
            self._is_shed = self._is_one_too_many()
            if not self._is_shed:
                self._load.begin(self)
                super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if not self._closing and not self._is_shed:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        if self._closing or self._upgrades():
            return
        if self._is_shed:
            self._shed()
            return
        super().on_message_complete()
        self._head_bytes, self._in_head = 0, True
        self._settle()

    def on_response_complete(self) -> None:
        """Note that the answer is written."""
        self._load.end(self)
        super().on_response_complete()
        if not self.cycle.response_complete:
            self._load.begin(self)  # the next one of a pipeline
        # ours: the library's timer is unset by any byte, and a line break is no request
        self._unset_keepalive_if_required()
        self._settle()

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._limits.write_seconds, self._abort_unread)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def shutdown(self) -> None:
        """Stop: an answer that is being made is still sent, a request that is half sent is not waited for."""
        super().shutdown()
        if self.cycle is not None and not self.cycle.response_complete and self.cycle.more_body:
            self.give_up(crowded=True)

    def give_up(self, *, crowded: bool) -> None:
        """Close a connection that waits for its client; see ``inference.web.crowd.Member``."""
        if self._closing:
            return
        idle = self._in_head and not self._head_bytes
        if idle:
            metrics.HTTP_CONNECTIONS_CLOSED.labels(cause="idle").inc()
            self._close(b"")
        elif crowded:
            self._refuse("crowded", 503, "busy", "expected fewer connections, found this one waiting longest",
                         retry_after_seconds=1)  # fmt: skip
        else:
            part = "headers" if self._in_head else "body"
            seconds = self._limits.header_seconds if self._in_head else self._limits.body_seconds
            message = f"expected the whole {part} of a request within {seconds:g} s"
            self._refuse(f"{part}_timeout", 408, "too_slow", message)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            method = self.parser.get_method()
            if method == b"CONNECT":
                raise httptools.HttpParserError from None
            # the same head once more, now without its offer of another protocol
            head = [method + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
            head += [name + b": " + value for name, value in self.headers]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._feed(b"\r\n".join([*head, b"", b""]) + data[upgrade.args[0] :])

    def _allow_slow_body(self, seconds: float) -> None:
        if not self._in_head:
            self.deadline = self.loop.time() + seconds

    def _upgrades(self) -> bool:
        upgrades: bool = self.parser.should_upgrade()
        return upgrades

    def _wait_for_head(self) -> None:
        self._in_head = True
        self.deadline = self.loop.time() + self._limits.header_seconds

    def _settle(self) -> None:
        """Tell the crowd what this connection is doing, at the end of a request or of an answer."""
        if self._closing or self.transport.is_closing():
            return
        if not self.cycle.response_complete or self.pipeline:
            if not self.cycle.more_body:
                self._crowd.answer(self)
        elif self._in_head and not self._head_bytes:
            self.deadline = self.loop.time() + self._limits.idle_seconds
            self._crowd.rest(self)
        else:
            self._crowd.begin(self)

    def _is_one_too_many(self) -> bool:
        """Whether the request whose headers are read is refused; never one that is only answered after another."""
        if not self._load.is_over or (self.cycle is not None and not self.cycle.response_complete):
            return False
        asks_first = self.expect_100_continue or self.parser.get_method() == b"HEAD"
        return not asks_first and self.url.partition(b"?")[0] not in _ALWAYS_ANSWERED

    def _shed(self) -> None:
        metrics.HTTP_REFUSED.labels(cause="load").inc()
        self._is_shed, self._head_bytes = False, 0
        keeps = self.parser.should_keep_alive()
        self.transport.write(raw_answer(503, "busy", "expected fewer requests at a time", content_type=self._error_type,
                                        retry_after_seconds=1, closes=not keeps))  # fmt: skip
        if not keeps:
            self._close(b"")
            return
        self._in_head = True
        self.deadline = self.loop.time() + self._limits.idle_seconds
        self._crowd.rest(self)

    def _refuse_head(self) -> None:
        message = f"expected at most {self._limits.header_bytes} bytes of request line and headers"
        self._refuse("headers_too_large", 431, "headers_too_large", message)

    def _refuse(self, cause: str, status: int, code: str, message: str, *, retry_after_seconds: int = 0) -> None:
        metrics.HTTP_CONNECTIONS_CLOSED.labels(cause=cause).inc()
        self.logger.debug("refused a connection: %s", cause)
        self._close(b"" if self._is_answered() else
                    raw_answer(status, code, message, content_type=self._error_type,
                               retry_after_seconds=retry_after_seconds))  # fmt: skip

    def _is_answered(self) -> bool:
        """Whether the request that is being read has its answer, or a part of it."""
        if self.cycle is None or self._is_shed:
            return False
        return self.cycle.response_started and not (self._in_head and self.cycle.response_complete)

    def _close(self, last_words: bytes) -> None:
        self._closing = True
        self._crowd.leave(self)
        if self.cycle is not None and not self.cycle.response_complete:
            # a handler that still reads the body learns that no more of it will come, and its answer goes nowhere
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if last_words:
            self.transport.write(last_words)
        self.transport.close()
        self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def _abort_unread(self) -> None:
        metrics.HTTP_CONNECTIONS_CLOSED.labels(cause="unread_answer").inc()
        self.transport.abort()
