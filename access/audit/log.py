"""Writes audit records in a thread behind the calls: a call that reads waits for nothing, a change for its intent.

1. A call hands its record over, with pseudonyms in place of ids, or waits until its intent is with the brokers.
2. The thread takes what was handed over, without intents that nobody waits for, and encodes it in one batch.
3. The client sends it, and says of each record whether the brokers have it.

Delivery: at least once for an intent, which is waited for. Others are lost when more wait than may, while the brokers
are unreachable for longer than they are kept, and when the process is killed. What is lost is counted, and the next
record that is written says how many were.

**Cost:** a record costs its caller a hash or two and an append to a queue. ``RECORDS_MAX`` may wait here, more in the
client.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.audit import GIVEN, SCHEMA, AuditRecord, NotAudited
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.errors import WeirError

RECORDS_MAX = 20_000
"""Some seconds of all that a process can answer, at 300 bytes each."""
INTENT_SECONDS = 2.0
"""How long a change waits. The brokers' answer takes milliseconds while they are reachable."""
MESSAGE_TIMEOUT_MS = 5_000
GATHER_SECONDS = 0.1
_BATCH_MAX = 1_000
_AGAIN_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
OnWritten = Callable[[bool], None]
IsOver = Callable[[], bool]
"""Whether nobody waits for an intent any more: its change was refused."""
_NOT_WRITTEN = "the change could not be written to the audit log; nothing was changed"
log = get_logger(__name__)


class Producer(Protocol):
    """The part of a Kafka producer that is used."""

    def produce(self, topic: str, value: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None:
        """Take a record."""
        ...

    def poll(self, timeout: float) -> int:
        """Return what happened to records."""
        ...

    def flush(self, timeout: float) -> int:
        """Wait until all are sent; return how many are not."""
        ...


class AuditLog:
    """The audit records of one process."""

    def __init__(
        self,
        producer: Producer,
        *,
        topic: str,
        schema_id: Callable[[], int],
        name: Callable[[str], str],
        records_max: int = RECORDS_MAX,
    ) -> None:
        """Begin to write.

        Args:
            producer: of its own, which keeps records for no longer than ``MESSAGE_TIMEOUT_MS``.
            topic: of the records.
            schema_id: the registry's id of their schema; may raise ``Transient``.
            name: returns the pseudonym of an id.
            records_max: that may wait.
        """
        self._producer = producer
        self._topic = topic
        self._schema_id = schema_id
        self._name = name
        self._records_max = records_max
        self._codec = BatchCodec(schema=SCHEMA)
        self._waiting: deque[tuple[AuditRecord, OnWritten | None, IsOver | None]] = deque()
        self._lock = threading.Lock()  # of the next line, which callers change too
        self._missed = 0
        self._intents = 0
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def note(self, record: AuditRecord) -> None:
        """Hand a record over; its ``about`` is the id itself, which leaves the process as a pseudonym alone."""
        if len(self._waiting) >= self._records_max:
            self._miss(1)
            return
        self._waiting.append((self._hide(record), None, None))

    async def write(self, record: AuditRecord) -> None:
        """Write a record and wait until the brokers have it.

        Raises:
            NotAudited: they do not, or not in time.
        """
        if len(self._waiting) >= self._records_max:
            raise NotAudited(_NOT_WRITTEN)
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()

        def tell(is_written: bool) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_resolve, written, is_written)

        self._waiting.append((self._hide(record), tell, written.done))
        self._news.set()
        try:
            async with asyncio.timeout(INTENT_SECONDS):
                is_written = await written
        except TimeoutError:
            is_written = False
        if not is_written:
            raise NotAudited(_NOT_WRITTEN)

    def close(self) -> None:
        """Write what waits, bounded in time, and stop."""
        self._stop.set()
        self._news.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        with suppress(WeirError):  # ahead of the first change, which would wait for the registry too
            self._schema_id()
        while not self._stop.is_set():
            self._turn()
        while self._waiting and self._send():
            pass
        self._miss(len(self._waiting) + self._producer.flush(_CLOSE_SECONDS))

    def _turn(self) -> None:
        if self._intents:
            self._producer.poll(0.02)  # returns when the brokers answer
        else:
            self._news.wait(GATHER_SECONDS)
            self._producer.poll(0)
        self._news.clear()
        if self._waiting and not self._send():
            self._stop.wait(_AGAIN_SECONDS)

    def _send(self) -> bool:
        """Send a batch; return whether it went, or is to be tried again."""
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH_MAX))]
        batch = [each for each in taken if each[2] is None or not each[2]()]
        if not batch:
            return True
        with self._lock:
            missed, self._missed = self._missed, 0
        records = [each for each, _, _ in batch]
        records[0] = replace(records[0], missed=missed)
        try:
            values = self._encode(records)
        except WeirError as error:  # the registry does not answer, or has another schema: until that is repaired
            log.warning("audit_not_written", reason=str(error), waiting=len(batch) + len(self._waiting))
            with self._lock:
                self._missed += missed
            self._waiting.extendleft(reversed(batch))
            return False
        for value, record, (_, tell, _) in zip(values, records, batch, strict=True):
            self._produce(value, 1 + record.missed, tell)
        return True

    def _hide(self, record: AuditRecord) -> AuditRecord:
        given = record.request_id.startswith(GIVEN)
        request_id = self._name(record.request_id) if given else record.request_id
        return replace(record, about=self._name(record.about), request_id=request_id)

    def _encode(self, records: Sequence[AuditRecord]) -> list[bytes]:
        schema = self._codec.arrow_schema
        columns = zip(*map(astuple, records), strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        return self._codec.encode(pa.RecordBatch.from_arrays(arrays, schema=schema), self._schema_id())

    def _produce(self, value: bytes, count: int, tell: OnWritten | None) -> None:
        self._intents += tell is not None
        try:
            self._producer.produce(self._topic, value, on_delivery=partial(self._note_delivery, count, tell))
        except Exception as error:  # noqa: BLE001 - a full queue, or a client that is lost: neither ends the thread
            self._note_delivery(count, tell, error, None)

    def _note_delivery(self, count: int, tell: OnWritten | None, error: Any, _: Any) -> None:
        if error is None:
            metrics.AUDIT_RECORDS.inc()
        else:
            self._miss(count)
        if tell is not None:
            self._intents -= 1
            tell(error is None)

    def _miss(self, count: int) -> None:
        if count:
            with self._lock:
                self._missed += count
            metrics.AUDIT_MISSED.inc(count)


def _resolve(written: asyncio.Future[bool], is_written: bool) -> None:
    if not written.done():
        written.set_result(is_written)
