"""Dependencies that misbehave inside one worker: what cannot be done to a server from outside."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from tests.faults.load import HANGER, KILLER
from tests.faults.patch import replace
from weir.inference.decide import Decided, Decider
from weir.infra.kafka.sink import TransactionalOutput
from weir.infra.redis.state_view import StateView
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.errors import Transient
from weir.streaming import isolation
from weir.streaming.feature_rows import FeatureBatch

Steps = Callable[[str], None]
LOSE_EVERY = 4
ABORT_EVERY = 10
"""Units begin again after each, one by one, and nothing is computed ahead meanwhile."""
SLOW_SECONDS = 0.05
AHEAD_SECONDS = 0.15
"""Long enough for the next batch to be gathered and computed."""
DAY_SECONDS = 86_400
HANG_SECONDS = 3.0
FULL_BYTES = 24_000
"""Less than a data file of the archive takes, more than what a run says of itself until then."""


def lose_apply_reply(steps: Steps) -> None:
    """Every fourth apply is done and its reply is lost."""
    apply, calls = StateView.apply, [0]

    def lossy(view: StateView, *arguments: Any, **named: Any) -> Any:
        answer = apply(view, *arguments, **named)
        calls[0] += 1
        if calls[0] % LOSE_EVERY == 0:
            steps("reply_lost")
            raise Transient("redis: the reply was lost on purpose")
        return answer

    replace(StateView, apply=lossy)


def slow_apply(steps: Steps) -> None:
    """Every apply takes long enough for the next batch to be computed meanwhile."""
    del steps
    apply = StateView.apply

    def slow(view: StateView, *arguments: Any, **named: Any) -> Any:
        time.sleep(SLOW_SECONDS)
        return apply(view, *arguments, **named)

    replace(StateView, apply=slow)


def hold_apply(steps: Steps) -> None:
    """No write reaches Redis."""

    def hold(view: StateView, *arguments: Any, **named: Any) -> Any:
        del view, arguments, named
        steps("held")
        raise Transient("redis: held back on purpose")

    replace(StateView, apply=hold)


def clock_ahead(steps: Steps) -> None:
    """The machine's clock is a day ahead."""
    steps("clock_ahead")
    read = time.time
    replace(time, time=lambda: read() + DAY_SECONDS)


class _LossyProducer:
    """A producer whose every fourth commit is made, and reported as timed out."""

    def __init__(self, producer: Any, steps: Steps) -> None:
        self._producer, self._steps, self._calls, self._lost = producer, steps, 0, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def commit_transaction(self, timeout: float) -> None:
        if self._lost:  # called again, the client finds that it had been made
            self._lost = False
            return
        self._producer.commit_transaction(timeout)
        self._calls += 1
        if self._calls % LOSE_EVERY == 0:
            self._lost = True
            self._steps("commit_reply_lost")
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the reply was lost on purpose", False, True))


def lose_commit_reply(steps: Steps) -> None:
    """Every fourth commit is made and its reply is lost."""
    init = TransactionalOutput.__init__

    def wrapped(output: TransactionalOutput, producer: Any) -> None:
        init(output, producer)
        replace(output, _producer=_LossyProducer(producer, steps))

    replace(TransactionalOutput, __init__=wrapped)


def abort_commits(steps: Steps) -> None:
    """Every tenth transaction is aborted in the place of its commit, when the next batch was computed on it."""
    commit, calls = TransactionalOutput._commit, [0]

    def commit_or_abort(output: TransactionalOutput) -> None:
        calls[0] += 1
        if calls[0] % ABORT_EVERY:
            return commit(output)
        time.sleep(AHEAD_SECONDS)
        steps("aborting")
        raise KafkaException(KafkaError(KafkaError._STATE, "aborted on purpose", False, False, True))

    replace(TransactionalOutput, _commit=commit_or_abort)


def _survive(values: Any, *, is_child: bool) -> None:
    """End or hang this process, as a decoder would whose native code meets such bytes."""
    bodies = [value for value in values if value is not None]
    if is_child and any(HANGER.encode() in body for body in bodies):
        time.sleep(DAY_SECONDS)
    if any(marker.encode() in body for body in bodies for marker in (KILLER, HANGER)):
        os.kill(os.getpid(), signal.SIGKILL)


def _make_fragile(*, is_child: bool) -> None:
    decode = BatchCodec.decode

    def decode_or_end(codec: BatchCodec, values: Any, schema_of: Any) -> Any:
        _survive(values, is_child=is_child)
        return decode(codec, values, schema_of)

    replace(BatchCodec, decode=decode_or_end)


_decode_each = isolation.decode_each


def decode_each_fragile(*given: Any) -> None:
    """Be a child whose decoder is no better than its parent's."""
    _make_fragile(is_child=True)
    _decode_each(*given)


def fragile(steps: Steps) -> None:
    """Some records end the decoder, in the processor as in its children, where some hang it instead."""
    del steps
    _make_fragile(is_child=False)
    replace(isolation, decode_each=decode_each_fragile, ANSWER_SECONDS=HANG_SECONDS)


def crashing_model(steps: Steps) -> None:
    """The library that scores rows ends the process as soon as it is given any."""
    decide = Decider.decide

    def crash(decider: Decider, batch: FeatureBatch) -> Decided:
        if len(batch):
            steps("crashing")
            os.kill(os.getpid(), signal.SIGKILL)
        return decide(decider, batch)

    replace(Decider, decide=crash)


def failing_store(steps: Steps) -> None:
    """Of the archive's commits every third is made and its answer lost, every third is not made; half a file stays."""
    from deltalake import DeltaTable  # noqa: PLC0415 - the fork server must not have a library with threads of its own

    from weir.archive import files  # noqa: PLC0415

    commit, write, calls = DeltaTable.create_write_transaction, files._write_rows, [0, 0]

    def commit_or_fail(table: Any, *arguments: Any, **named: Any) -> None:
        calls[0] += 1
        if calls[0] % 3 == 1:
            steps("store_refused")
            raise OSError("the store is away on purpose")
        commit(table, *arguments, **named)
        if calls[0] % 3 == 2:
            steps("store_answer_lost")
            raise OSError("the store's answer was lost on purpose")

    def write_or_fail(place: Any, path: str, rows: Any) -> None:
        calls[1] += 1
        write(place, path, rows.slice(0, len(rows) // 2) if calls[1] % 5 == 0 else rows)
        if calls[1] % 5 == 0:
            raise OSError("the store went away in the middle of a file, on purpose")

    replace(DeltaTable, create_write_transaction=commit_or_fail)
    replace(files, _write_rows=write_or_fail)


def full_disk(steps: Steps) -> None:
    """No file may grow beyond a few kilobytes: what a full disk says, of the files of this process alone."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))
    steps("disk_full")


def watch(steps: Steps) -> None:
    """No quirk: the process looks at its dependencies meanwhile, as ``weir process`` does (``worker.py``)."""
    del steps


def upkeep_due(steps: Steps) -> None:
    """An archiver keeps its tables up at once, and takes today for a closed day."""
    from weir.archive import joining, upkeep  # noqa: PLC0415 - of an archiver alone: it brings Delta with it

    del steps
    now = joining.utc_now
    replace(upkeep, FIRST_SECONDS=0.0, utc_now=lambda: now() + timedelta(days=2))


QUIRKS: dict[str, Callable[[Steps], None]] = {
    "lose_apply_reply": lose_apply_reply,
    "slow_apply": slow_apply,
    "hold_apply": hold_apply,
    "clock_ahead": clock_ahead,
    "lose_commit_reply": lose_commit_reply,
    "abort_commits": abort_commits,
    "fragile": fragile,
    "crashing_model": crashing_model,
    "failing_store": failing_store,
    "full_disk": full_disk,
    "watch": watch,
    "upkeep_due": upkeep_due,
}
