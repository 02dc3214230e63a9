"""Works on uploads: one at a time in a process, and never ahead of a request for one score.

1. *Receive* the file, part by part, into the upload's folder.
2. *Read* it in a child process (``infra/uploads/reading.py``): the file as a whole is refused, or its rows are there.
3. *Score* the rows by the batches that requests are answered in. A batch is asked for once the one before it is
   answered, and after a pause as long as that took: so a lone score waits for one turn, and the busier the process is,
   the slower an upload gets.
4. *Finish*: the result is there, and the file is deleted.

**Cost:** half of the event loop's time at most; of memory a part of the file and some hundred rows.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fastapi.concurrency import run_in_threadpool

from weir.inference.api.batching import RequestBatcher
from weir.inference.api.uploads.scoring import Forgotten, score_rows
from weir.inference.api.what_if import Asked
from weir.infra.settings import Settings
from weir.infra.upload_settings import UploadSettings
from weir.infra.uploads.folders import Held, UploadFolders
from weir.infra.uploads.job import Form
from weir.infra.uploads.reading import ToRead, read_in_child
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient, WeirError
from weir.schemas.project import ServedStreams
from weir.schemas.stream import Stream

WAITING_MAX = 4
"""Uploads of a process that are being received or wait for their turn, next to the one that is worked on."""
EXPIRE_SECONDS = 600.0
"""Between two looks at what is kept too long."""
_LOOK_SECONDS = 0.5
"""Between two looks whether an upload that is being read was deleted."""
_INTERNAL = "an error of the server, which the log of the process has; upload the file again"
log = get_logger(__name__)
Scores = RequestBatcher[Asked, dict[str, Any]]
Read = Callable[[ToRead], Awaitable[int]]


class Full(Exception):
    """One more upload is not taken; the message says why, and what to do."""


@dataclass(frozen=True)
class Ordered:
    """What an upload is worked on with.

    Attributes:
        held: the upload, its file received.
        scores: of its stream.
    """

    held: Held
    stream: Stream
    scores: Scores


class UploadDesk:
    """The uploads of the streams that a process serves."""

    def __init__(
        self,
        folders: Mapping[str, UploadFolders],
        settings: UploadSettings,
        *,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1_000),
        read: Read = read_in_child,
    ) -> None:
        """Bind to folders by stream, and begin to look for what is kept too long."""
        self.settings = settings
        self._folders = folders
        self.now_ms = now_ms
        self.bytes_max = settings.mb_max << 20
        self.keep_ms = settings.keep_hours * 3_600_000
        self._read = read
        self._turn = asyncio.Lock()
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = threading.Event()
        self._expiring = threading.Thread(target=self._expire, name="uploads", daemon=True)
        self._expiring.start()

    def folders(self, stream: str) -> UploadFolders:
        """Return the uploads of a stream."""
        return self._folders[stream]

    async def begin(self, stream: str, form: Form) -> Held:
        """Take one more upload; ``order`` or ``drop`` has to follow.

        Raises:
            Full: as many are under way, or kept, as may be.
            Transient: nothing can be written.
        """
        if self._under_way > WAITING_MAX:
            raise Full(f"expected at most {WAITING_MAX + 1} uploads under way; send it again when one is done")
        self._count_under_way(1)
        try:
            return await run_in_threadpool(self._create, stream, form)
        except BaseException:
            self._count_under_way(-1)
            raise

    def _count_under_way(self, more: int) -> None:
        self._under_way += more
        metrics.UPLOADS_UNDER_WAY.inc(more)

    def _create(self, stream: str, form: Form) -> Held:
        folders, now_ms, kept_max = self._folders[stream], self.now_ms(), self.settings.kept_max
        folders.expire(now_ms, self.keep_ms)
        if len(folders.list_all(now_ms)) >= kept_max:
            raise Full(f"expected at most {kept_max} uploads of a stream; delete one that is not needed")
        try:
            return folders.create(form, now_ms)
        except OSError as error:
            raise Transient(say_disk(error)) from None

    def drop(self, stream: str, held: Held) -> None:
        """Forget an upload whose file did not come whole."""
        self._count_under_way(-1)
        held.close()
        self._folders[stream].delete(held.job.id)

    def order(self, ordered: Ordered) -> None:
        """Have an upload worked on, when it is its turn."""
        self._start(self._work_in_turn(ordered))

    def close(self) -> None:
        """Stop looking; what is under way is abandoned with the process, and says so to who asks next."""
        self._closed.set()
        self._expiring.join()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps none
        task.add_done_callback(self._tasks.discard)

    async def _work_in_turn(self, ordered: Ordered) -> None:
        try:
            with ordered.held:
                async with self._turn:
                    await self._work(ordered)
        finally:
            self._count_under_way(-1)

    async def _work(self, ordered: Ordered) -> None:
        held = ordered.held
        held.save(held.job.start(self.now_ms()))
        try:
            async with asyncio.timeout(self.settings.seconds_max):
                await self._read_and_score(ordered)
            held.save(held.job.finish(self.now_ms()))
            metrics.UPLOADS_ENDED.labels(state="done").inc()
        except Exception as error:  # noqa: BLE001 - whatever a file does, it fails alone
            if not held.is_forgotten:
                held.result.unlink(missing_ok=True)
                held.save(held.job.fail(self._say_why(error), self.now_ms()))
                metrics.UPLOADS_ENDED.labels(state="failed").inc()

    def _say_why(self, error: Exception) -> str:
        """Return why an upload failed, as one sentence."""
        if isinstance(error, TimeoutError):
            seconds = self.settings.seconds_max
            return f"expected the file to be scored within {seconds} s, found it too large; send it in several files"
        if isinstance(error, WeirError):
            return str(error)
        log.error("upload_failed", exc_info=error)
        return say_disk(error) if isinstance(error, OSError) else _INTERNAL

    async def _read_and_score(self, ordered: Ordered) -> None:
        held = ordered.held
        wanted = ToRead(held.events, held.job.form, ordered.stream, held.rows, self.settings.rows_max)
        reading = asyncio.ensure_future(self._read(wanted))
        try:
            while not reading.done():
                if held.is_forgotten:
                    raise Forgotten
                await asyncio.wait({reading}, timeout=_LOOK_SECONDS)
        finally:
            reading.cancel()
        held.save(held.job.know_total(reading.result()))
        await score_rows(held, ordered.stream, ordered.scores.ask, self.now_ms)

    def _expire(self) -> None:
        while True:
            for folders in self._folders.values():
                with suppress(OSError):
                    folders.expire(self.now_ms(), self.keep_ms)
            if self._closed.wait(EXPIRE_SECONDS):
                return


def say_disk(error: OSError) -> str:
    """Return that nothing can be written, and why."""
    return f"the file or its result cannot be written: {(error.strerror or str(error)).lower()}; free some space"


def build_uploads(settings: Settings, served: ServedStreams) -> UploadDesk:
    """Return what works on the uploads of the streams that are served."""
    folders = {each.name: UploadFolders(settings.of_stream(each).uploads_dir) for each in served.streams}
    return UploadDesk(folders, settings.uploads)
