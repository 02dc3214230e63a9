"""Answers on behalf of another process, which must not be held up: in a child of its own, one request at a time.

Reading an archive takes seconds of CPU and some hundred megabytes. In the process that serves requests it would hold
the interpreter from all of them; in a child of low priority it does not. The child is started by the first request.
One that does not answer in time, or that has died, is replaced by the next request.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

from weir.archive.place import first_line
from weir.schemas.errors import Damaged, Refused, Transient, WeirError

START_SECONDS_MAX: Final = 120.0
"""A child imports for some seconds, on a very busy machine for a minute; one that was ended would never be there."""
_NICE: Final = 10
_KINDS: Final = {each.__name__: each for each in (Damaged, Refused, Transient)}
_NOTHING: Final = "nothing"
Answer = Callable[..., bytes | None]


class Child:
    """The child, as its parent sees it; safe to use from several threads."""

    def __init__(self, name: str, answer: Answer, *, waiting_max: int, seconds_max: float) -> None:
        """Start nothing yet.

        Args:
            name: for messages, and of the process.
            answer: called in the child with what is asked; a function of a module, which the child imports.
            waiting_max: requests at once, one of which is being answered: each holds a thread of the server.
            seconds_max: how long an answer is waited for, and how long a request waits for its turn.
        """
        self._name = name
        self._answer = answer
        self._waiting_max = waiting_max
        self._seconds_max = seconds_max
        self._places = threading.BoundedSemaphore(waiting_max)
        self._turn = threading.Lock()
        self._child: tuple[BaseProcess, Connection] | None = None

    def ask(self, *asked: Any) -> bytes | None:
        """Return what the child answers.

        Raises:
            Damaged: what is archived cannot be read.
            Refused: there is no archive, or one that this version cannot read.
            Transient: too many ask, which its cause ``busy`` says, or there was no answer in time.
        """
        if not self._places.acquire(blocking=False):
            raise Transient(f"{self._name}: {self._waiting_max} requests are waiting already; ask again", cause="busy")
        try:
            if not self._turn.acquire(timeout=self._seconds_max):
                raise Transient(f"{self._name}: others took {self._seconds_max:g} s; ask again", cause="busy")
            try:
                kind, content = self._exchange(asked)
            finally:
                self._turn.release()
        finally:
            self._places.release()
        if kind == _NOTHING:
            return None
        if kind:
            raise _KINDS.get(kind, WeirError)(content.decode())
        return content

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            process, connection = self._child
            connection.close()
            process.kill()
            process.join()
            self._child = None

    def _exchange(self, asked: tuple[Any, ...]) -> tuple[str, bytes]:
        try:
            connection = self._find_connection()
            connection.send(asked)
            if connection.poll(self._seconds_max):
                found: tuple[str, bytes] = connection.recv()
                return found
        except (EOFError, OSError):
            self.close()
            raise Transient(f"{self._name}: the process that answers ended; ask again") from None
        self.close()
        raise Transient(f"{self._name}: no answer within {self._seconds_max:g} s; ask again")

    def _find_connection(self) -> Connection:
        if self._child is None or not self._child[0].is_alive():
            self.close()
            context = get_context("spawn")  # a fork of a process with threads may hold a lock that nobody frees
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self._answer), name=self._name, daemon=True)
            process.start()
            theirs.close()
            self._child = process, ours
            if not ours.poll(START_SECONDS_MAX):
                self.close()
                raise Transient(f"{self._name}: no process started within {START_SECONDS_MAX:g} s; ask again")
            ours.recv()  # it has imported what it needs
        return self._child[1]


def _serve(connection: Connection, answer: Answer) -> None:
    """Answer until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the parent too, who ends us
    os.nice(_NICE)
    with suppress(EOFError, OSError):
        connection.send(True)
        while True:
            connection.send(_try(answer, connection.recv()))


def _try(answer: Answer, asked: tuple[Any, ...]) -> tuple[str, bytes]:
    """Return the answer, or which error it is and its message."""
    try:
        found = answer(*asked)
    except WeirError as error:
        kind = next((each.__name__ for each in type(error).__mro__ if each.__name__ in _KINDS), "")
        return kind or type(error).__name__, str(error).encode()
    except (pa.ArrowException, DeltaError, FileNotFoundError) as error:
        return Damaged.__name__, f"the archive cannot be read: {first_line(error)}".encode()
    return (_NOTHING, b"") if found is None else ("", found)
