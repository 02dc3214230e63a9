"""Answers for decisions on behalf of another process, which must not be held up: in a child of its own, one at a time.

Reading an archive and loading models takes whole seconds of CPU and some hundred megabytes. In the process that serves
requests it would hold the interpreter from all of them; in a child of low priority it does not. The child is started by
the first request. One that does not answer in time, or that has died, is replaced by the next request.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

from weir.archive.evidence.case import NothingArchived, collect, describe
from weir.archive.place import first_line
from weir.archive.run import find_root
from weir.infra.settings import load_settings
from weir.schemas.errors import Damaged, Refused, Transient, WeirError
from weir.schemas.printable import to_json
from weir.schemas.project import find_stream

WAITING_MAX: Final = 4
"""Requests at once, one of which is being answered: each holds a thread of the server."""
SECONDS_MAX: Final = 30.0
"""A new child takes some seconds to start, an answer below one; a store far away may take longer."""
_NICE: Final = 10
_KINDS: Final = {each.__name__: each for each in (NothingArchived, Damaged, Refused, Transient)}


class EvidenceWorker:
    """The child, as its parent sees it; safe to use from several threads."""

    def __init__(self, seconds_max: float = SECONDS_MAX) -> None:
        """Start nothing yet."""
        self._seconds_max = seconds_max
        self._places = threading.BoundedSemaphore(WAITING_MAX)
        self._turn = threading.Lock()
        self._child: tuple[BaseProcess, Connection] | None = None

    def answer(self, stream: str, event_id: str) -> bytes | None:
        """Return the evidence on an event as JSON bytes, or ``None`` where nothing of it is archived.

        Raises:
            Damaged: what is archived cannot be read.
            Refused: there is no archive, or one that this version cannot read.
            Transient: too many ask, or there was no answer in time.
        """
        if not self._places.acquire(blocking=False):
            raise Transient(f"evidence: {WAITING_MAX} requests are waiting already; ask again")
        try:
            with self._turn:
                kind, content = self._ask(stream, event_id)
        finally:
            self._places.release()
        if kind == NothingArchived.__name__:
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

    def _ask(self, stream: str, event_id: str) -> tuple[str, bytes]:
        if self._child is None or not self._child[0].is_alive():
            self.close()
            self._child = _start()
        connection = self._child[1]
        try:
            connection.send((stream, event_id))
            if connection.poll(self._seconds_max):
                found: tuple[str, bytes] = connection.recv()
                return found
        except (EOFError, OSError):
            self.close()
            raise Transient("evidence: the process that answers ended; ask again") from None
        self.close()
        raise Transient(f"evidence: no answer within {self._seconds_max:g} s; ask again")


def _start() -> tuple[BaseProcess, Connection]:
    context = get_context("spawn")  # a fork of a process with threads may hold a lock that nobody frees
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), name="evidence", daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _serve(connection: Connection) -> None:
    """Answer until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the parent too, who ends us
    os.nice(_NICE)
    with suppress(EOFError, OSError):
        while True:
            connection.send(_answer(*connection.recv()))


def _answer(stream: str, event_id: str) -> tuple[str, bytes]:
    """Return the answer, or which error it is and its message."""
    try:
        settings = load_settings()
        settings, root = settings.of_stream(find_stream(Path.cwd(), stream)), find_root(settings)
        return "", to_json(describe(settings, root, collect(settings, root, event_id))).encode()
    except WeirError as error:
        return type(error).__name__, str(error).encode()
    except (pa.ArrowException, DeltaError, FileNotFoundError) as error:
        return Damaged.__name__, f"the archive cannot be read: {first_line(error)}".encode()
