"""Run the agent of visits as if its brokers answered late; by the Python that has Faust, with the agent's flags."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Callable
from typing import Any

_FETCH_SECONDS = 0.005
_COMMITTED_SECONDS = 0.02
"""Together, so late that clicks are there to be read before the positions are known from which they are to be read."""


def main() -> None:
    """Become the agent."""
    from aiokafka import AIOKafkaConsumer  # noqa: PLC0415  (only the environment with Faust has it)
    from aiokafka.consumer.fetcher import Fetcher  # noqa: PLC0415

    AIOKafkaConsumer.committed = _after(_COMMITTED_SECONDS, AIOKafkaConsumer.committed)
    Fetcher.fetched_records = _after(_FETCH_SECONDS, Fetcher.fetched_records)
    runpy.run_module("weir.streaming.sessions.agent", run_name="__main__")


def _after(seconds: float, call: Callable[..., Any]) -> Callable[..., Any]:
    async def late(*given: Any, **named: Any) -> Any:
        await asyncio.sleep(seconds)
        return await call(*given, **named)

    return late


if __name__ == "__main__":
    main()
