"""Answers the requests of one turn of the event loop together: one round trip to Redis, one batch for the kernel.

What a batch costs whatever its size is most of what a single request costs: a command to Redis, a pass of the kernel
for each entity, a call of the model. So a request waits for the end of the turn of the loop in which it was read, and
all that were read in it are answered at once. Nobody waits for a timer: alone, a request is a batch of one; while a
batch is computed, the next one gathers in the sockets, and batches grow with load.

**Cost:** a few microseconds a request, a turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from weir.schemas.errors import WeirError

BATCH_MAX = 32
"""Bounds what the loop does at a stretch, and so how long an answer of another kind waits: some 3 ms of scores."""

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
AnswerAll = Callable[[Sequence[Asked]], Sequence[Answer | Exception]]
"""Answers in the order of what was asked; an exception is for the request at its place, a raised one for all."""


class RequestBatcher(Generic[Asked, Answer]):
    """Gathers what is asked during a turn of the event loop; one thread, the loop's."""

    def __init__(self, answer_all: AnswerAll[Asked, Answer], *, batch_max: int = BATCH_MAX) -> None:
        """Wrap a function that answers many at once, and blocks the loop while it does."""
        self._answer_all = answer_all
        self._batch_max = batch_max
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []

    async def ask(self, asked: Asked) -> Answer:
        """Return the answer.

        Raises:
            Exception: what was answered for this request, or raised for its batch.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        if not self._waiting:
            # in a context of no request: it is for all of them
            loop.call_soon(self._answer_waiting, loop, context=Context())
        self._waiting.append((asked, answer))
        return await answer

    def _answer_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting[: self._batch_max], self._waiting[self._batch_max :]
        if self._waiting:
            loop.call_soon(self._answer_waiting, loop)
        answers = self._answer([asked for asked, _ in batch])
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # the client that asked has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _answer(self, batch: list[Asked]) -> Sequence[Answer | Exception]:
        try:
            return self._answer_all(batch)
        except WeirError as error:  # of a dependency: it concerns all of them
            return [error] * len(batch)
        except Exception as error:  # noqa: BLE001 - our own bug, met by one request: the others are answered
            return [error] if len(batch) == 1 else [answer for asked in batch for answer in self._answer([asked])]
